// Machines as scripts: what each is told, and what it names next. And documents: what is refused, and why.
#include "service/transaction/machines.h"

#include <optional>
#include <sstream>

#include <gtest/gtest.h>

#include "service/transaction/keys.h"
#include "service/transaction/state.h"
#include "service/transaction/transactions.h"

namespace lockstep::service::transaction {
namespace {

std::string show(const Next& next) {
  std::string text(to_string(next.verdict));
  for (const Call& call : next.calls) {
    text += (&call == next.calls.data() ? ": " : ", ") + std::string(to_string(call.operation)) + " " +
            call.branch;
  }
  return next.reason.empty() ? text : text + " (" + next.reason + ")";
}

// "done try a", "refused deliver 1", "commit", "abort", "late", "forward"
Entry entry_of(const std::string& text) {
  Entry entry;
  std::istringstream words(text);
  std::string first;
  std::string operation;
  words >> first >> operation >> entry.branch;
  if (first == "commit" || first == "abort") {
    entry.kind = Entry::Kind::decision;
    entry.commit = first == "commit";
  } else if (first == "late") {
    entry.kind = Entry::Kind::timed_out;
  } else if (first == "forward") {
    entry.kind = Entry::Kind::forward;
  } else {
    entry.outcome = parse_outcome(first).value();
    entry.operation = parse_operation(operation).value();
  }
  return entry;
}

// What it is told, and what it answers to it; an entry that does not fit is answered with "-".
std::string play(Mode mode, const std::string& document, const std::vector<std::string>& script,
                 const std::vector<std::string>& registered = {}) {
  const auto machine = make_machine(mode, document, registered, "g");
  if (!machine.ok()) return machine.status().to_string();
  std::string text = show((*machine)->next()) + "\n";
  for (const std::string& line : script) {
    const std::string before = show((*machine)->next());
    const Status told = (*machine)->learn(entry_of(line));
    const std::string after = show((*machine)->next());
    if (!told.ok()) EXPECT_EQ(before, after) << "what is refused changes nothing: " << line;
    text += line + " -> " + (told.ok() ? after : "-") + "\n";
  }
  return text;
}

constexpr const char* tried =
    R"({"branches":[{"id":"a","try":"http://a/","confirm":"http://a/","cancel":"http://a/"},)"
    R"({"id":"b","try":"http://b/","confirm":"http://b/","cancel":"http://b/"}]})";
constexpr const char* prepared =
    R"({"branches":[{"id":"a","prepare":"http://a/","commit":"http://a/","rollback":"http://a/"},)"
    R"({"id":"b","prepare":"http://b/","commit":"http://b/","rollback":"http://b/"}]})";
constexpr const char* owned =
    R"({"branches":[{"id":"a","confirm":"http://a/","cancel":"http://a/"},{"id":"b","confirm":"http://b/","cancel":"http://b/"}]})";

TEST(TransactionMachinesTest, TccIsConfirmedNewestFirst) {
  EXPECT_EQ(play(Mode::tcc, tried,
                 {"done try b", "done try b", "done try a", "done confirm a", "done confirm b",
                  "refused confirm a", "done confirm a", "abort", "late"}),
            "submitted: try a, try b\n"
            "done try b -> submitted: try a\n"
            "done try b -> -\n"
            "done try a -> committing: confirm b\n"
            "done confirm a -> -\n"
            "done confirm b -> committing: confirm a\n"
            "refused confirm a -> -\n"
            "done confirm a -> committed\n"
            "abort -> -\n"
            "late -> -\n");
}

TEST(TransactionMachinesTest, XaIsCommittedOldestFirst) {
  EXPECT_EQ(
      play(Mode::xa, prepared, {"done prepare a", "done prepare b", "skipped commit a", "done commit b"}),
      "submitted: prepare a, prepare b\n"
      "done prepare a -> submitted: prepare b\n"
      "done prepare b -> committing: commit a\n"
      "skipped commit a -> committing: commit b\n"
      "done commit b -> committed\n");
}

TEST(TransactionMachinesTest, WhatMayHaveHadItsEffectIsUndone) {
  EXPECT_EQ(play(Mode::tcc, tried, {"refused try a", "done try b", "done cancel b"}),
            "submitted: try a, try b\n"
            "refused try a -> aborting: cancel b (branch a refused)\n"
            "done try b -> -\n"
            "done cancel b -> aborted (branch a refused)\n");
  EXPECT_EQ(play(Mode::xa, prepared, {"gave_up prepare b", "done rollback a", "done rollback b"}),
            "submitted: prepare a, prepare b\n"
            "gave_up prepare b -> aborting: rollback a (branch b did not answer)\n"
            "done rollback a -> aborting: rollback b (branch b did not answer)\n"
            "done rollback b -> aborted (branch b did not answer)\n");
}

TEST(TransactionMachinesTest, TheFirstDecisionCounts) {
  EXPECT_EQ(play(Mode::tcc, owned, {"forward", "late", "commit", "done cancel b"}),
            "trying\n"
            "forward -> -\n"
            "late -> aborting: cancel b (not decided within its time limit)\n"
            "commit -> -\n"
            "done cancel b -> aborting: cancel a (not decided within its time limit)\n");
  EXPECT_EQ(play(Mode::tcc, "{}", {"commit"}), "trying\ncommit -> committed\n");
  EXPECT_EQ(play(Mode::tcc, tried, {"commit", "abort"}),
            "submitted: try a, try b\n"
            "commit -> -\n"
            "abort -> aborting: cancel b (its owner said abort)\n");
}

TEST(TransactionMachinesTest, AMessageGoesOutAfterTheFirstYes) {
  constexpr const char* message =
      R"({"check":"http://s/","targets":[{"url":"http://a/"},{"url":"http://b/"}]})";
  EXPECT_EQ(play(Mode::message, message,
                 {"commit", "done check check", "refused deliver 1", "done deliver 2", "done deliver 1"}),
            "trying: check check\n"
            "commit -> committing: deliver 1, deliver 2\n"
            "done check check -> -\n"
            "refused deliver 1 -> -\n"
            "done deliver 2 -> committing: deliver 1\n"
            "done deliver 1 -> committed\n");
  EXPECT_EQ(play(Mode::message, message, {"refused check check", "commit"}),
            "trying: check check\n"
            "refused check check -> aborted (the check said that it did not happen)\n"
            "commit -> -\n");
}

TEST(TransactionMachinesTest, ANotificationKeepsItsDeadLetters) {
  constexpr const char* notification = R"({"targets":[{"url":"http://a/"},{"url":"http://b/"}]})";
  EXPECT_EQ(play(Mode::notification, notification,
                 {"forward", "gave_up deliver 1", "done deliver 2", "forward", "late", "forward",
                  "done deliver 1"}),
            "submitted: deliver 1, deliver 2\n"
            "forward -> -\n"
            "gave_up deliver 1 -> submitted: deliver 2\n"
            "done deliver 2 -> failed (1 of 2 not delivered: 1)\n"
            "forward -> submitted: deliver 1\n"
            "late -> failed (1 of 2 not delivered: 1)\n"
            "forward -> submitted: deliver 1\n"
            "done deliver 1 -> committed\n");
}

// What today's rules refuse was taken once, and is under way.
TEST(TransactionMachinesTest, StricterRulesAreForWhatIsSubmittedNotForWhatIsStored) {
  const std::string more =
      R"("retry":{"timeout":"2m"},"headers":{"X_Y":"kept","Tenant":"t","Connection":"Lockstep-Token",)"
      R"("Lockstep_Branch":"forged","te":"trailers",")" +
      std::string(200, 'n') + R"(":"long"})";
  const std::string branch = R"({"id":"a","confirm":"http://a/","cancel":"http://a/",)" + more + "}";
  const std::vector<std::tuple<Mode, std::string, std::vector<std::string>>> all = {
      {Mode::tcc,
       R"({"branches":[{"id":"a","try":"http://a/","confirm":"http://a/","cancel":"http://a/"}],)" + more +
           "}",
       {}},
      {Mode::xa,
       R"({"branches":[{"id":"a","prepare":"http://a/","commit":"http://a/","rollback":"http://a/",)" + more +
           "}]}",
       {}},
      {Mode::message, R"({"check":"http://c/","targets":[{"url":"http://a/"}],)" + more + "}", {}},
      {Mode::notification, R"({"targets":[{"url":"http://a/",)" + more + "}]}", {}},
      {Mode::saga, R"({"steps":[{"action":"http://a/"}],)" + more + "}", {}},
      {Mode::saga, R"({"steps":[{"action":"http://a/",)" + more + "}]}", {}},
      {Mode::tcc, "{}", {branch}}};
  for (const auto& [mode, document, registered] : all) {
    EXPECT_EQ(make_machine(mode, document, registered, "g").status().code(), Code::invalid_argument)
        << document;
    const auto machine = make_machine(mode, document, registered, "g", Rules::stored);
    ASSERT_TRUE(machine.ok()) << document << machine.status().to_string();
    if (!registered.empty() || mode == Mode::message) {
      Entry commit;
      commit.kind = Entry::Kind::decision;
      commit.commit = true;
      ASSERT_TRUE((*machine)->learn(commit).ok());
    }
    const Next next = (*machine)->next();
    ASSERT_EQ(next.calls.size(), 1U) << document;
    EXPECT_EQ(next.calls[0].retry.timeout, attempt_time_max) << document;
    std::string names;
    for (const auto& [name, value] : next.calls[0].headers) names += name.substr(0, 8) + " ";
    for (const char* name : {"X_Y ", "Tenant ", "nnnnnnnn "})
      EXPECT_NE(names.find(name), std::string::npos) << names;
    EXPECT_EQ(next.calls[0].headers.size(), 3U) << names;
  }
  std::string targets;
  for (int i = 0; i < 300; ++i) targets += std::string(i == 0 ? "" : ",") + R"({"url":"http://a/"})";
  const std::string large =
      R"({"headers":{"A":")" + std::string(16'000, 'x') + R"("},"targets":[)" + targets + "]}";
  EXPECT_EQ(make_machine(Mode::notification, large, {}, "g").status().code(), Code::resource_exhausted);
  EXPECT_TRUE(make_machine(Mode::notification, large, {}, "g", Rules::stored).ok());
}

TEST(TransactionMachinesTest, NoMoreThanSoManyCallsAtOnceAndAllOfThemInTheEnd) {
  std::string document = R"({"targets":[)";
  for (int i = 0; i < 200; ++i) document += (i == 0 ? "" : ",") + std::string(R"({"url":"http://a/"})");
  const auto machine = make_machine(Mode::notification, document + "]}", {}, "g");
  ASSERT_TRUE(machine.ok());
  int delivered = 0;
  while (!final((*machine)->next().verdict)) {
    const Next next = (*machine)->next();
    ASSERT_LE(next.calls.size(), calls_at_once_max);
    Entry entry;
    entry.operation = Operation::deliver;
    entry.branch = next.calls.back().branch;
    ASSERT_EQ((*machine)->learn(entry), Status());
    ++delivered;
  }
  EXPECT_EQ(delivered, 200);
}

TEST(TransactionMachinesTest, DocumentsThatAreWrongSayWhereAndWhy) {
  const auto wrong = [](Mode mode, const std::string& document) {
    const auto machine = make_machine(mode, document, {}, "g");
    return machine.ok() ? std::string("taken") : std::string(machine.status().message());
  };
  EXPECT_EQ(wrong(Mode::tcc, "[]"), "transaction: the document: it is not an object");
  EXPECT_EQ(wrong(Mode::tcc, "{"), "transaction: the document: it is not JSON");
  EXPECT_EQ(wrong(Mode::tcc, R"({"branches":[{"id":"a","confirm":"http://a/","cancle":"http://a/"}]})"),
            "transaction: /branches/0/cancle: unknown, did you mean cancel?");
  EXPECT_EQ(wrong(Mode::tcc, R"({"branches":[{"confirm":"http://a/"}]})"),
            "transaction: /branches/0/cancel: it is missing");
  EXPECT_EQ(wrong(Mode::tcc, R"({"branches":[{"confirm":"ftp://a/","cancel":"http://a/"}]})"),
            "transaction: /branches/0/confirm: it is no http:// or https:// URL");
  EXPECT_EQ(wrong(Mode::notification, R"({"targets":[]})"), "transaction: /targets: it is empty");
  EXPECT_EQ(wrong(Mode::message, R"({"targets":[{"url":"http://a/"}]})"),
            "transaction: /check: it is missing");
  EXPECT_EQ(
      wrong(Mode::notification, R"({"targets":[{"url":"http://a/","headers":{"Lockstep-Token":"1"}}]})"),
      "transaction: /targets/0/headers/Lockstep-Token: the coordinator sets it");
  const auto header = [&](const std::string& name) {
    return wrong(Mode::notification,
                 R"({"targets":[{"url":"http://a/","headers":{")" + name + R"(":"1"}}]})");
  };
  for (const std::string name : {"LOCKSTEP-TOKEN", "Idempotency-Key", "Connection", "EXPECT", "upgrade",
                                 "Host", "Transfer-Encoding", "Content-Length", "TE", "Keep-Alive"}) {
    EXPECT_EQ(header(name), "transaction: /targets/0/headers/" + name + ": the coordinator sets it");
  }
  for (const std::string name : {"Lockstep_Branch", "Idempotency_Key", "", "a b", "a:"}) {
    EXPECT_EQ(header(name), "transaction: /targets/0/headers: a header's name is letters, digits and \"-\"");
  }
  EXPECT_EQ(wrong(Mode::notification, R"({"targets":[{"url":"http://a/"}],"retry":{"backoff":0.5}})"),
            "transaction: /retry/backoff: not within 1 to 100");
  EXPECT_EQ(wrong(Mode::tcc, std::string(1000, '[')), "transaction: the document: nested deeper than 64");
  EXPECT_EQ(wrong(Mode::tcc, std::string(definition_bytes_max + 1, ' ')),
            "transaction: a document has at most 1 MiB");
  std::string many = R"({"targets":[)";
  for (int i = 0; i < 10'000; ++i) many += (i == 0 ? "" : ",") + std::string(R"({"url":"http://a/"})");
  EXPECT_EQ(wrong(Mode::notification, many + "]}"), "transaction: /targets: more than 1000");
}

TEST(TransactionStateTest, WhatIsWrittenIsReadAgain) {
  State state;
  state.mode = Mode::tcc;
  state.verdict = Verdict::aborting;
  state.reason = "\"no\"\n";
  state.created_ms = 5;
  state.deadline_ms = 7;
  state.branches = 2;
  state.needs_operator = "why";
  CallState call;
  call.branch = "a b%";
  call.operation = Operation::cancel;
  call.attempts = 3;
  call.due_ms = 99;
  call.status = 503;
  call.error = "status 503\nno";
  state.calls.push_back(call);
  JournalLine line;
  line.entry.branch = "x y";
  line.entry.operation = Operation::attempt;
  line.entry.outcome = Outcome::refused;
  line.entry.status = 409;
  line.entry.output = "{\"a\":\n1} 100%";
  append_to_journal(state.journal, line);
  line.entry = Entry{};
  line.entry.kind = Entry::Kind::decision;
  append_to_journal(state.journal, line);
  const Result<State> again = parse_state(encode(state));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, state);
  const auto journal = parse_journal(again->journal);
  ASSERT_TRUE(journal.ok());
  ASSERT_EQ(journal->size(), 2U);
  EXPECT_EQ(journal->at(0).entry.branch, "x y");
  EXPECT_EQ(journal->at(0).entry.output, "{\"a\":\n1} 100%");
  EXPECT_EQ(journal->at(1).entry.kind, Entry::Kind::decision);
}

TEST(TransactionStateTest, WhatIsDamagedSaysSo) {
  for (const char* text : {"", "{}", R"({"mode":"tcc"})", R"({"mode":"tcc","state":"no"})",
                           R"({"mode":"tcc","state":"trying","created_ms":-1})",
                           R"({"mode":"tcc","state":"trying","audits":9999999999})",
                           R"({"mode":"tcc","state":"trying","branches":9223372036854775807})",
                           "{\"mode\":\"tcc\",\"state\":\"trying\"}\ncall confirm a 1 2\n",
                           "{\"mode\":\"tcc\",\"state\":\"trying\"}\ncall no a 1 2 3 4 5\n"}) {
    const Result<State> state = parse_state(text);
    ASSERT_FALSE(state.ok()) << text;
    EXPECT_EQ(state.status().code(), Code::failed_precondition);
  }
  for (const char* text :
       {"x", "at 1 2\n", "at 1 2 3 done try\n", "at 1 2 3 decision maybe\n", "at 1 2 3 forward x\n"}) {
    EXPECT_FALSE(parse_journal(text).ok()) << text;
  }
}

TEST(TransactionStateTest, GidsAreWords) {
  EXPECT_EQ(check_gid("order-17:a"), Status());
  EXPECT_EQ(check_gid(std::string(128, 'x')), Status());
  for (const std::string& bad :
       {std::string(), std::string("a/b"), std::string("a b"), std::string(129, 'x')}) {
    EXPECT_EQ(check_gid(bad), errors::gid_wrong()) << bad;
  }
}

}  // namespace
}  // namespace lockstep::service::transaction
