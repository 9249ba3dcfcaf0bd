// How long what is finished is remembered, what is left of it, and what of all this is kept in memory.
#include <gtest/gtest.h>

#include "service/store_requests.h"
#include "service/transaction/keys.h"
#include "service/transaction/machines.h"
#include "service/transaction/page_size.h"
#include "service/transaction/testing_transactions.h"

namespace lockstep::service::transaction::testing {
namespace {

using Fault = service::testing::WatchedStore::Fault;

class RememberingTest : public TransactionTest {
 protected:
  void begin(std::size_t finished_max, std::size_t remembered_max) {
    mine_ = options();
    mine_.finished_kept = 60s;
    mine_.finished_max = finished_max;
    mine_.remembered_max = remembered_max;
    take_over();
  }
  void take_over() {
    coordinator = std::make_unique<Coordinator>(world.context, participants, mine_);
    world.settle();
    coordinator->lead(true);
    world.settle();
  }
  // Committed at once: it has no branches.
  Status finish(const std::string& gid) {
    LS_RETURN_IF_ERROR(submit(gid, Mode::tcc, "{}"));
    return decide(gid, true);
  }
  std::string keys() {
    std::string text;
    for (const std::string_view prefix : {definitions_prefix, finished_prefix, remembered_prefix}) {
      store::RangeRequest request;
      request.key = prefix;
      request.range_end = end_of_prefix(prefix);
      world.store.range(request, {}, [&](const Result<store::RangeResponse>& answer) {
        for (const store::KeyValue& kv : answer->kvs) text += kv.key.substr(12) + " ";
      });
    }
    return text;
  }
  void put(const std::string& key, const std::string& value) {
    store::PutRequest request;
    request.key = key;
    request.value = value;
    world.store.put(request, {}, [](const Result<store::PutResponse>& done) { LS_MUST(done.ok()); });
    world.settle();
  }
  CoordinatorOptions mine_;
  std::optional<Running<Result<TransactionView>>> skipping_;
};

TEST_F(RememberingTest, BeyondANumberOnlyTheEndIsLeftAndTheGidIsTaken) {
  begin(2, 100);
  for (const char* gid : {"a", "b", "c", "d"}) EXPECT_EQ(finish(gid), Status());
  world.advance(5s);
  EXPECT_EQ(keys(), "d/c d/d f/c f/d r/a r/b ");
  Submission again;
  again.gid = "a";
  again.mode = Mode::tcc;
  again.document = "{}";
  const Result<Submitted> known = run(transactions.submit(again, {}));
  ASSERT_TRUE(known.ok());
  EXPECT_TRUE(known->existed);
  EXPECT_EQ(known->transaction.state.verdict, Verdict::committed);
  again.document = R"({"timeout":"9s"})";
  EXPECT_EQ(run(transactions.submit(again, {})).status(), errors::transaction_exists());
  again.document = "{}";
  again.mode = Mode::xa;
  EXPECT_EQ(run(transactions.submit(again, {})).status(), errors::transaction_exists());
  EXPECT_EQ(verdict("a"), "committed");
  EXPECT_EQ(decide("a", true), Status()) << "an owner, or a recovery, that asks again";
  EXPECT_EQ(decide("a", false), errors::decided_otherwise(true));
  EXPECT_EQ(run(transactions.documents("a", {})).status(), errors::transaction_forgotten());
  EXPECT_EQ(run(transactions.forward("a", {"ann", ""}, {})).status(), errors::transaction_forgotten());
  EXPECT_EQ(run(transactions.force_finish("a", {"ann", ""}, {})).status(), errors::transaction_finished());
  EXPECT_EQ(keys_under(std::string(unfinished_prefix)), 0U);
}

TEST_F(RememberingTest, AfterTheirTimeAllAreForgotten) {
  begin(2, 100);
  for (const char* gid : {"a", "b", "c"}) EXPECT_EQ(finish(gid), Status());
  world.advance(50s);
  EXPECT_EQ(keys(), "d/b d/c f/b f/c r/a ");
  world.advance(15s);
  EXPECT_EQ(keys(), "");
  EXPECT_EQ(finish("a"), Status());
  EXPECT_EQ(keys_under(std::string(audit_prefix)), 0U);
}

// However often it changes who coordinates.
TEST_F(RememberingTest, WhatIsShortenedKeepsItsTimeAcrossTakeOvers) {
  begin(0, 100);
  EXPECT_EQ(submit("open", Mode::tcc, two_branches(R"(,"timeout":"1h")")), Status());
  EXPECT_EQ(finish("a"), Status());
  world.advance(5s);
  EXPECT_EQ(keys(), "d/open r/a ");
  for (int i = 0; i < 3; ++i) {
    kill();
    take_over();
    world.advance(18s);
    EXPECT_EQ(keys(), "d/open r/a ") << i;
  }
  world.advance(10s);
  EXPECT_EQ(keys(), "d/open ");
}

TEST_F(RememberingTest, RatherThanForgetEarlyNoMoreAreTaken) {
  begin(2, 10);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(finish("a" + std::to_string(i)), Status());
  world.advance(3s);
  EXPECT_EQ(finish("late"), errors::too_many_remembered());
  EXPECT_EQ(submit("a3", Mode::tcc, "{}"), Status()) << "those that are known are answered";
  kill();
  take_over();
  world.advance(3s);
  EXPECT_EQ(finish("late"), errors::too_many_remembered());
  world.advance(60s);
  EXPECT_EQ(finish("late"), Status());
}

TEST_F(RememberingTest, WhateverFailsNothingIsForgottenEarly) {
  for (const Fault fault : {Fault::refused, Fault::unknown_done, Fault::unknown_not_done}) {
    for (std::size_t call = 0; call < 12; ++call) {
      const std::string gid = std::to_string(static_cast<int>(fault)) + "-" + std::to_string(call);
      if (coordinator == nullptr) begin(0, 1000);
      EXPECT_EQ(finish(gid), Status());
      world.store.fail_call(call, fault);
      world.advance(6s);
      world.store.fail_call(1'000'000, fault);
      EXPECT_EQ(verdict(gid), "committed") << gid;
      EXPECT_EQ(submit(gid, Mode::tcc, R"({"timeout":"9s"})"), errors::transaction_exists()) << gid;
    }
  }
}

// A dead letter that is sent again while it is being shortened.
TEST_F(RememberingTest, WhatIsTakenUpAgainIsNotShortened) {
  begin(1, 100);
  participants.answer("deliver 1", {409, 200});
  EXPECT_EQ(submit("n", Mode::notification, R"({"targets":[{"url":"http://a/"}]})"), Status());
  world.advance(1s);
  EXPECT_EQ(verdict("n"), "failed");
  EXPECT_TRUE(run(transactions.forward("n", {"ann", ""}, {})).ok());
  EXPECT_EQ(finish("b"), Status());
  world.advance(5s);
  EXPECT_EQ(verdict("n"), "committed");
  EXPECT_EQ(finish("c"), Status());
  world.advance(5s);
  EXPECT_EQ(keys_under(std::string(finished_prefix)), 1U);
  EXPECT_EQ(keys_under(std::string(remembered_prefix)), 2U);
}

// An operator was faster with the last of it; the time of this end is not the next one's.
TEST_F(RememberingTest, WhatEndsOnceMoreIsRememberedFromThen) {
  begin(100, 100);
  participants.answer("deliver 1", {500, 200});
  participants.answer("deliver 2", {500, 200});
  participants.on_call = [&](const ScriptedParticipants::Heard& heard) {
    if (heard.branch != "2" || heard.attempt != 2) return;
    // Before its answer comes, and before the coordinator hears of it.
    world.store.strand.schedule(world.store.strand.now() + participants.latency, [&] {
      skipping_.emplace(transactions.skip("n", "2", {"ann", "by hand"}, {}));
    });
  };
  EXPECT_EQ(submit("n", Mode::notification,
                   R"({"targets":[{"url":"http://a/","retry":{"attempts_max":1}},{"url":"http://b/"}]})"),
            Status());
  world.advance(3s);
  ASSERT_TRUE(skipping_->result().ok());
  EXPECT_EQ(coordinator->figures().conflicts, 1U);
  EXPECT_EQ(verdict("n"), "failed");
  world.advance(40s);
  EXPECT_TRUE(run(transactions.forward("n", {"ann", "it is back"}, {})).ok());
  world.advance(1s);
  EXPECT_EQ(verdict("n"), "committed");
  world.advance(50s);
  EXPECT_EQ(verdict("n"), "committed") << "90 s after its first end, 50 s after its last";
  world.advance(12s);
  EXPECT_EQ(keys(), "");
}

// ---- what cannot be read

TEST_F(RememberingTest, WhatIsOverNeedsNoDefinitionToTellHowItEnded) {
  begin(100, 100);
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), Status());
  store::DeleteRangeRequest removal;
  removal.key = definition_key("t1");
  world.store.delete_range(removal, {},
                           [](const Result<store::DeleteRangeResponse>& done) { LS_MUST(done.ok()); });
  EXPECT_EQ(run(transactions.get("t1", {})).status(), errors::definition_gone());
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), errors::definition_gone()) << "it is begun";
  EXPECT_TRUE(run(transactions.force_finish("t1", {"ann", "gone"}, {})).ok());
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), Status());
  EXPECT_EQ(submit("t1", Mode::tcc, R"({"branches":[]})"), errors::transaction_exists());
  EXPECT_EQ(verdict("t1"), "failed");
  EXPECT_EQ(state("t1").reason, "finished by force by ann: gone");
  EXPECT_EQ(run(transactions.wait("t1", {}))->state.verdict, Verdict::failed);
  EXPECT_EQ(run(transactions.force_finish("t1", {"ann", ""}, {})).status(), errors::transaction_finished());
  EXPECT_EQ(run(transactions.documents("t1", {})).status(), errors::definition_gone());
  EXPECT_EQ(run(transactions.forward("t1", {"ann", ""}, {})).status(), errors::definition_gone());
  EXPECT_EQ(run(transactions.register_branch("t1", "{}", {})).status(), errors::transaction_not_open());
  EXPECT_EQ(decide("t1", true), errors::transaction_finished());
  world.advance(1s);
  EXPECT_EQ(coordinator->figures().unfinished, 0U);
  EXPECT_EQ(coordinator->figures().need_operator, 0U);
}

TEST_F(RememberingTest, AListGoesOnBehindKeysThatAreNoTransactions) {
  const std::string state = R"({"mode":"tcc","state":"trying"})";
  const std::string over = R"({"mode":"tcc","state":"committed"})";
  for (const std::string& prefix : {std::string(unfinished_prefix), std::string(finished_prefix)}) {
    const std::string& value = prefix == unfinished_prefix ? state : over;
    for (const char* gid : {"a", "b", "b0", "c"}) put(prefix + gid, value);
    for (const std::string& name : {std::string(), std::string("/x"), std::string("a b"),
                                    std::string("\xff\xff"), std::string("c\xff"), std::string(200, 'd')})
      put(prefix + name, value);
    // More than one call looks at.
    for (int i = 0; i < 2100; ++i) put(prefix + "b/" + std::to_string(i), value);
  }
  for (const std::size_t limit : {std::size_t{1}, std::size_t{100}}) {
    ListRequest request;
    request.limit = limit;
    std::string found;
    for (int page = 0; page < 100; ++page) {
      const Result<Listed> listed = run(transactions.list(request, {}));
      ASSERT_TRUE(listed.ok()) << request.cursor;
      for (const TransactionView& one : listed->transactions) found += one.gid + " ";
      request.cursor = listed->cursor;
      if (request.cursor.empty()) break;
    }
    EXPECT_EQ(found, "a b b0 c a b b0 c ") << limit;
    EXPECT_EQ(request.cursor, "") << limit;
  }
  for (const char* wrong : {"x:a", "t", "t:a b", "t:a/", "t:a/2", "t:a/2f2f", "t:a/2F", "t:a//2f", "t:/"}) {
    ListRequest request;
    request.cursor = wrong;
    EXPECT_EQ(run(transactions.list(request, {})).status(), errors::list_request_wrong()) << wrong;
  }
  for (const char* end : {"f:/ff", "f:~/ff"}) {
    ListRequest request;
    request.cursor = end;
    EXPECT_TRUE(run(transactions.list(request, {}))->transactions.empty());
  }
}

TEST_F(RememberingTest, AnOperatorEndsWhatIsDamaged) {
  begin(100, 100);
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), Status());
  EXPECT_EQ(submit("t2", Mode::tcc, two_branches()), Status());
  EXPECT_TRUE(run(transactions.retry_now("t1", {"ann", "once"}, {})).ok());
  put(unfinished_key("t1"), R"({"mode":"tcc","state":"trying","audits":9999999999})");
  put(unfinished_key("t2"), "torn");
  world.advance(1s);
  EXPECT_EQ(alarms.size(), 2U);
  EXPECT_EQ(run(transactions.retry_now("t1", {"ann", ""}, {})).status().code(), Code::failed_precondition);
  for (const char* gid : {"t1", "t2"}) {
    EXPECT_TRUE(run(transactions.force_finish(gid, {"ann", "torn", "u7"}, {})).ok());
    EXPECT_EQ(verdict(gid), "failed");
  }
  EXPECT_EQ(run(transactions.force_finish("none", {"ann", ""}, {})).status(),
            errors::transaction_not_found());
  const Result<std::vector<Audit>> audits = run(transactions.audits("t1", {}));
  ASSERT_EQ(audits->size(), 2U) << "none was written over";
  EXPECT_EQ(audits->at(1).action + " " + audits->at(1).by + " " + audits->at(1).user, "finish ann u7");
  EXPECT_EQ(state("t1").mode, Mode::tcc);
  world.advance(1s);
  EXPECT_EQ(coordinator->figures().unfinished, 0U);
  EXPECT_EQ(coordinator->figures().need_operator, 0U);
}

TEST(AuditKeyTest, TooManyAuditsAreAnError) {
  EXPECT_EQ(*audit_key("g", 1), "lockstep/tx/a/g/0000000001");
  EXPECT_EQ(audit_key("g", 10'000'000'000).status().code(), Code::resource_exhausted);
  EXPECT_EQ(audit_key("g", -1).status().code(), Code::resource_exhausted);
}

TEST_F(RememberingTest, WhoSubmittedAndWhoEditedIsKept) {
  begin(100, 100);
  Submission submission;
  submission.gid = "t1";
  submission.mode = Mode::tcc;
  submission.document = two_branches();
  submission.user = "bob";
  EXPECT_TRUE(run(transactions.submit(submission, {})).ok());
  EXPECT_TRUE(run(transactions.retry_now("t1", {"ann, she says", "why", "eve"}, {})).ok());
  EXPECT_EQ(state("t1").user, "bob");
  const Audit audit = run(transactions.audits("t1", {}))->at(0);
  EXPECT_EQ(audit.by + "; " + audit.user, "ann, she says; eve");
}

// ---- memory

TEST(PageSizeTest, PagesAreAboutSoManyBytes) {
  const auto page = [](std::size_t keys, std::size_t bytes) {
    return std::vector<store::KeyValue>(keys, store::KeyValue{.key = "k", .value = std::string(bytes, 'x')});
  };
  PageSize size(500);
  EXPECT_EQ(size.keys(), 16);
  size.saw(page(16, 100));
  EXPECT_EQ(size.keys(), 64);
  size.saw(page(64, 100));
  size.saw(page(256, 100));
  EXPECT_EQ(size.keys(), 500);
  size.saw(page(4, 1 << 20));
  EXPECT_EQ(size.keys(), 1);
  size.saw(page(1, 100));
  EXPECT_EQ(size.keys(), 4);
}

TEST(MachineBytesTest, AMachineSaysWhatItHolds) {
  std::string targets;
  for (int i = 0; i < 200; ++i) targets += std::string(i == 0 ? "" : ",") + R"({"url":"http://a/"})";
  const std::string document =
      R"({"headers":{"A":")" + std::string(10'000, 'x') + R"("},"targets":[)" + targets + "]}";
  const auto machine = make_machine(Mode::notification, document, {}, "g");
  ASSERT_TRUE(machine.ok());
  EXPECT_GT((*machine)->bytes(), 2'000'000U) << "common headers are in each";
  const auto too_large = make_machine(Mode::notification,
                                      R"({"headers":{"A":")" + std::string(16'000, 'x') +
                                          R"("},"targets":[)" + targets + "," + targets + "]}",
                                      {}, "g");
  EXPECT_EQ(too_large.status(),
            Status(Code::resource_exhausted,
                   "transaction: /targets: their headers are larger than 4 MiB together"));
}

TEST(MachineBytesTest, ASagaCountsWhatItLearns) {
  const std::string saga = R"({"steps":[{"name":"a","action":"http://a/","payload":")" +
                           std::string(50'000, 'x') + R"("},{"name":"b","action":"http://b/"}]})";
  const auto machine = make_machine(Mode::saga, saga, {}, "g");
  ASSERT_TRUE(machine.ok());
  const std::size_t before = (*machine)->bytes();
  EXPECT_GT(before, 50'000U);
  Entry entry;
  entry.branch = "a";
  entry.output = "\"" + std::string(10'000, 'y') + "\"";
  EXPECT_EQ((*machine)->learn(entry), Status());
  EXPECT_GT((*machine)->bytes(), before + 10'000);
}

TEST_F(RememberingTest, AListHoldsNoJournals) {
  begin(100, 100);
  EXPECT_EQ(finish("a"), Status());
  EXPECT_FALSE(state("a").journal.empty());
  const Result<Listed> listed = run(transactions.list({}, {}));
  ASSERT_EQ(listed->transactions.size(), 1U);
  EXPECT_TRUE(listed->transactions[0].state.journal.empty());
}

}  // namespace
}  // namespace lockstep::service::transaction::testing
