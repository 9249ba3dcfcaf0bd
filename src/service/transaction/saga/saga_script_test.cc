// Replays the stories in testdata/: a definition, then what is learned, and what the machine says to it. With
// --rewrite the files get what happens now: review the difference line by line, it is the specification.
//
//   saga                       followed by the document's lines
//   BRANCH action|compensate done [ANSWER] | refused | gave_up | skipped
//   lint | simulate [TASK=JSON …]   followed by the document's lines
//   timed_out | forward | compensate | decide | result | retries
//
// Whatever is learned, a second machine is made of the document and the journal, and must say the same.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

#include "base/text_values.h"
#include "service/transaction/saga/lint.h"
#include "service/transaction/saga/saga.h"
#include "service/transaction/saga/simulate.h"

namespace lockstep::service::transaction {
namespace {

bool rewrite = false;

constexpr std::string_view verdicts[] = {"running",   "waiting", "committing", "aborting",
                                         "committed", "aborted", "failed"};

std::string_view word_of(Operation operation) {
  return operation == Operation::action ? "action" : "compensate";
}

std::string show(const Next& next) {
  std::string text(verdicts[static_cast<std::size_t>(next.verdict)]);
  if (!next.reason.empty()) text += ": " + next.reason;
  text += "\n";
  for (const Call& call : next.calls) {
    text += "  " + call.branch + " " + std::string(word_of(call.operation)) + " -> ";
    text += (call.url.empty() ? "nobody" : call.url) + " " + call.body;
    for (const auto& [name, value] : call.headers) text += " " + name + "=" + value;
    if (call.operation == Operation::action && call.retry.attempts_max == 1) text += " (last attempt)";
    text += "\n";
  }
  for (const auto& [branch, operation] : next.held_calls)
    text += "  held: " + branch + " " + std::string(word_of(operation)) + "\n";
  EXPECT_EQ(next.held, !next.held_calls.empty());
  return text;
}

std::string show_retries(const Next& next) {
  std::string text;
  for (const Call& call : next.calls) {
    const RetryRule& rule = call.retry;
    text += "  " + call.branch + " timeout " + show_duration(rule.timeout) + ", every " +
            show_duration(rule.interval) + " to " + show_duration(rule.interval_max) + " times " +
            std::to_string(rule.backoff).substr(0, 4) + ", attempts_max " +
            std::to_string(rule.attempts_max) + ", attempts_alarm " + std::to_string(rule.attempts_alarm) +
            (call.may_refuse ? ", may refuse" : "") + "\n";
  }
  return text;
}

class Story {
 public:
  std::string run(const std::vector<std::string>& lines) {
    std::istringstream words(lines[0]);
    std::string first;
    words >> first;
    if (first == "saga") return begin(lines);
    if (first == "lint") return saga::to_text(saga::lint(text_of(lines)));
    if (first == "simulate") return simulated(lines, words);
    if (machine_ == nullptr) return "there is no saga\n";
    if (first == "result") return machine_->result() + "\n";
    if (first == "retries") return show_retries(machine_->next());
    const Entry entry = read(first, words);
    const Next before = machine_->next();
    const Status status = machine_->learn(entry);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), Code::failed_precondition);
      EXPECT_EQ(show(machine_->next()), show(before)) << "what is refused changes nothing";
      return std::string(status.message()) + "\n";
    }
    journal_.push_back(entry);
    check_replay();
    return show(machine_->next());
  }

 private:
  static std::string text_of(const std::vector<std::string>& lines) {
    std::string text;
    for (std::size_t i = 1; i < lines.size(); ++i) text += lines[i] + "\n";
    return text;
  }

  static std::string simulated(const std::vector<std::string>& lines, std::istringstream& words) {
    std::map<std::string, std::string> answers;
    for (std::string word; words >> word;)
      answers[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
    const Result<saga::Simulation> simulation = saga::simulate(text_of(lines), answers);
    if (!simulation.ok()) return simulation.status().to_string() + "\n";
    // An empty line would end what came of a command.
    std::string text = saga::to_text(*simulation);
    for (std::size_t at = text.find("\n\n"); at != std::string::npos; at = text.find("\n\n", at))
      text.erase(at, 1);
    return text;
  }

  std::string begin(const std::vector<std::string>& lines) {
    document_ = text_of(lines);
    journal_.clear();
    machine_ = nullptr;
    Result<std::unique_ptr<Machine>> made = make_saga(document_, "g1");
    if (!made.ok()) return made.status().to_string() + "\n";
    machine_ = *std::move(made);
    std::string text = show(machine_->next());
    if (machine_->time_limit() != Duration::zero())
      text += "  time limit " + show_duration(machine_->time_limit()) + "\n";
    return text;
  }

  static Entry read(const std::string& first, std::istringstream& words) {
    Entry entry;
    std::string word;
    if (first == "timed_out") entry.kind = Entry::Kind::timed_out;
    if (first == "forward") entry.kind = Entry::Kind::forward;
    if (first == "compensate") entry.kind = Entry::Kind::compensate;
    if (first == "decide") entry.kind = Entry::Kind::decision;
    if (first == "decide" || entry.kind != Entry::Kind::outcome) return entry;
    entry.branch = first;
    words >> word;
    entry.operation = word == "compensate" ? Operation::compensate : Operation::action;
    words >> word;
    constexpr std::string_view outcomes[] = {"done", "refused", "gave_up", "skipped"};
    entry.outcome = static_cast<Outcome>(std::ranges::find(outcomes, word) - outcomes);
    EXPECT_LE(entry.outcome, Outcome::skipped) << word;
    entry.status = entry.outcome == Outcome::done ? 200 : entry.outcome == Outcome::refused ? 409 : 0;
    std::getline(words >> std::ws, entry.output);
    return entry;
  }

  void check_replay() const {
    Result<std::unique_ptr<Machine>> again = make_saga(document_, "g1");
    ASSERT_TRUE(again.ok());
    for (const Entry& entry : journal_) ASSERT_TRUE((*again)->learn(entry).ok());
    EXPECT_EQ(show((*again)->next()), show(machine_->next()));
    EXPECT_EQ((*again)->result(), machine_->result());
  }

  std::string document_;
  std::vector<Entry> journal_;
  std::unique_ptr<Machine> machine_;
};

// Commands, "----", what came of them, an empty line. Comments stand before a command.
std::string replay(const std::string& text) {
  Story story;
  std::istringstream in(text);
  std::string out;
  std::vector<std::string> command;
  bool skipping = false;
  for (std::string line; std::getline(in, line);) {
    if (skipping) {
      skipping = !line.empty();
      continue;
    }
    if (line != "----") {
      out += line + "\n";
      if (!line.starts_with("#") && !line.empty()) command.push_back(line);
      continue;
    }
    out += "----\n" + story.run(command) + "\n";
    command.clear();
    skipping = true;
  }
  EXPECT_TRUE(command.empty()) << "a command without ----";
  return out;
}

TEST(SagaStories, GoAsTheyAreTold) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator("src/service/transaction/saga/testdata")) {
    if (entry.path().extension() == ".txt") paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  ASSERT_FALSE(paths.empty()) << "run in the source folder";
  for (const auto& path : paths) {
    std::ostringstream expected;
    expected << std::ifstream(path).rdbuf();
    const std::string actual = replay(expected.str());
    if (rewrite) {
      std::ofstream(path) << actual;
    } else {
      EXPECT_EQ(actual, expected.str()) << path;
    }
  }
}

// Half a megabyte of text that counts as more than one: each number is a value and its digits.
TEST(SagaPayloads, WhatCannotBeSentIsRefusedWithItsPlace) {
  std::string numbers = "[1.55";
  for (int i = 0; i < 98'000; ++i) numbers += ",1.55";
  numbers += "]";
  const std::string too_large = ": what is made is larger than 1048576 bytes";
  const auto made = [](const std::string& step) {
    return make_saga(R"({"steps":[{"action":"http://h/a"},{"action":"http://h/b",)" + step + "}]}", "g1")
        .status();
  };
  EXPECT_EQ(made(R"("payload":)" + numbers),
            Status(Code::resource_exhausted, "/steps/1/payload" + too_large));
  EXPECT_EQ(made(R"("compensate":"http://h/x","compensate_payload":)" + numbers),
            Status(Code::resource_exhausted, "/steps/1/compensate_payload" + too_large));
  EXPECT_EQ(made(R"("payload":[1.55])"), Status());
}

// Users copy from it.
TEST(SagaPage, ItsDefinitionsCanBeRun) {
  std::ifstream page("docs/transactions/sagas.md");
  std::string block;
  bool inside = false;
  int count = 0;
  for (std::string line; std::getline(page, line);) {
    if (inside && line == "```") {
      const saga::LintReport report = saga::lint(block);
      EXPECT_TRUE(report.runnable) << block << saga::to_text(report);
      ++count;
    }
    if (line.starts_with("```")) {
      inside = line == "```json";
      block.clear();
    } else if (inside) {
      block += line + "\n";
    }
  }
  EXPECT_GE(count, 3);
}

TEST(SagaLimits, WhatIsTooLargeIsRefusedAsSuch) {
  const auto refused = [](const std::string& document) {
    const Status status = make_saga(document, "g").status();
    EXPECT_EQ(status.code(), Code::resource_exhausted);
    return status.to_string();
  };
  EXPECT_EQ(refused(std::string(definition_bytes_max + 1, ' ')),
            "resource_exhausted: a definition has at most 1048576 bytes, this one has 1048577");
  std::string steps;
  std::string states;
  for (int i = 0; i < 10'000; ++i) {
    steps += std::string(i == 0 ? "" : ",") + R"({"action": "http://a"})";
    states += std::string(i == 0 ? "" : ",") + "\"s" + std::to_string(i) + R"(": {"Type": "Succeed"})";
  }
  EXPECT_EQ(refused("{\"steps\": [" + steps + "]}"),
            "resource_exhausted: /steps: a saga has at most 1000 steps, this one has 10000");
  EXPECT_EQ(refused(R"({"StartState": "s0", "States": {)" + states + "}}"),
            "resource_exhausted: /States: a saga has at most 1000 states, this one has 10000");
}

TEST(SagaLimits, OutputsAreFewAndKeptTogether) {
  const auto made = [](const std::string& outputs) {
    return make_saga(R"({"definition": {"States": [
      {"Name": "A", "Type": "ServiceTask", "ServiceName": "s", "ServiceMethod": "m", "Output": {)" +
                         outputs + R"(}}]},
      "services": {"s": "http://s"}})",
                     "g");
  };
  std::string outputs;
  for (int i = 0; i < 64; ++i)
    outputs += std::string(i == 0 ? "" : ",") + "\"v" + std::to_string(i) + R"(": "$.#root")";
  const Status refused = made(outputs + R"(, "w": 1)").status();
  EXPECT_EQ(refused.code(), Code::resource_exhausted);
  EXPECT_TRUE(refused.message().ends_with("/Output: a state keeps at most 64 outputs"))
      << refused.to_string();
  Result<std::unique_ptr<Machine>> machine = made(outputs);
  ASSERT_TRUE(machine.ok()) << machine.status().to_string();
  Entry entry;
  entry.branch = "A";
  entry.output = "\"" + std::string(1'000, 'x') + "\"";
  ASSERT_TRUE((*machine)->learn(entry).ok());
  EXPECT_EQ((*machine)->next().verdict, Verdict::committed);
  EXPECT_GT((*machine)->result().size(), 64'000U);
  machine = made(outputs);
  entry.output = "\"" + std::string(output_bytes_max - 2, 'x') + "\"";
  ASSERT_TRUE((*machine)->learn(entry).ok());
  EXPECT_EQ((*machine)->next().verdict, Verdict::aborted) << "64 times 16 KiB and what goes with it";
  EXPECT_EQ((*machine)->next().reason, "the variables are larger than 1048576 bytes");
}

// The largest saga that there may be, once through and back.
TEST(SagaLimits, AThousandStepsAtOnce) {
  std::string steps;
  for (std::size_t i = 0; i + 1 < branches_max; ++i)
    steps += R"({"action": "http://a", "compensate": "http://b", "after": []},)";
  Result<std::unique_ptr<Machine>> machine = make_saga(
      R"({"compensation": "parallel", "steps": [)" + steps + R"({"name": "last", "action": "http://z"}]})",
      "g");
  ASSERT_TRUE(machine.ok()) << machine.status().to_string();
  std::size_t undone = 0;
  for (Next next = (*machine)->next(); !final(next.verdict); next = (*machine)->next()) {
    EXPECT_LE(next.calls.size(), calls_at_once_max);
    ASSERT_FALSE(next.calls.empty());
    for (const Call& call : next.calls) {
      Entry entry;
      entry.branch = call.branch;
      entry.operation = call.operation;
      if (call.branch == "last") entry.outcome = Outcome::refused;
      undone += call.operation == Operation::compensate ? 1 : 0;
      ASSERT_TRUE((*machine)->learn(entry).ok());
    }
  }
  EXPECT_EQ((*machine)->next().verdict, Verdict::aborted);
  EXPECT_EQ(undone, branches_max - 1);
}

// Every answer makes the variables larger, and every request is all of them.
TEST(SagaLimits, VariablesThatGrowAreBounded) {
  Result<std::unique_ptr<Machine>> machine = make_saga(R"({"definition": {"States": [
    {"Name": "A", "Type": "ServiceTask", "ServiceName": "s", "ServiceMethod": "m", "CompensateMethod": "n",
     "Input": [["$.#root", "$.#root"]], "Output": {"v": ["$.#root", "$.#root", "$.#root"]}, "Next": "C"},
    {"Name": "C", "Type": "Choice", "Choices": [{"Expression": "1 == 1", "Next": "A"}]}]},
    "services": {"s": "http://s"}})",
                                                       "g");
  ASSERT_TRUE(machine.ok()) << machine.status().to_string();
  const std::string output = "\"" + std::string(output_bytes_max - 2, 'x') + "\"";
  std::size_t calls = 0;
  for (Next next = (*machine)->next(); !final(next.verdict); next = (*machine)->next()) {
    Entry entry;
    entry.branch = next.calls.at(0).branch;
    entry.operation = next.calls.at(0).operation;
    if (entry.operation == Operation::action) entry.output = output;
    ASSERT_TRUE((*machine)->learn(entry).ok());
    ++calls;
  }
  EXPECT_EQ((*machine)->next().reason, "what its tasks are sent is larger than 4194304 bytes together");
  EXPECT_LT(calls, 200U);
}

// Tasks that do not wait for one another are all begun at once: of a document of 1 MiB that must not make 1
// GiB.
TEST(SagaLimits, WhatManyTasksAreSentIsBoundedTogether) {
  std::string states;
  for (int i = 0; i < 900; ++i) {
    states += "\"T" + std::to_string(i) +
              R"(": {"Type": "ServiceTask", "ServiceName": "s", "ServiceMethod": "m", "IsAsync": true,
                 "Input": ["$.[x]"], "Next": "T)" +
              std::to_string(i + 1) + "\"},";
  }
  const Result<std::unique_ptr<Machine>> machine =
      make_saga(R"({"services": {"s": "http://s"}, "input": {"x": ")" + std::string(700'000, 'x') +
                    R"("}, "definition": {"StartState": "T0", "States": {)" + states +
                    R"("T900": {"Type": "Succeed"}}}})",
                "g");
  ASSERT_TRUE(machine.ok()) << machine.status().to_string();
  EXPECT_EQ((*machine)->next().verdict, Verdict::aborted);
  EXPECT_EQ((*machine)->next().reason, "what its tasks are sent is larger than 4194304 bytes together");
}

TEST(SagaLimits, ATaskThatIsItsOwnCatchEnds) {
  const Result<std::unique_ptr<Machine>> machine =
      make_saga(R"({"services": {"s": "http://s"}, "input": {"x": ")" + std::string(600'000, 'x') +
                    R"("}, "definition": {"StartState": "A", "States": {
          "A": {"Type": "ServiceTask", "ServiceName": "s", "ServiceMethod": "m", "Input": ["$.[x]", "$.[x]"],
                "Catch": [{"Exceptions": ["java.lang.Throwable"], "Next": "A"}], "Next": "B"},
          "B": {"Type": "Succeed"}}}})",
                "g");
  ASSERT_TRUE(machine.ok()) << machine.status().to_string();
  EXPECT_EQ((*machine)->next().verdict, Verdict::aborted);
  EXPECT_EQ((*machine)->next().reason, "more than 1000 tasks were begun");
}

}  // namespace
}  // namespace lockstep::service::transaction

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  lockstep::service::transaction::rewrite = argc > 1 && std::string_view(argv[1]) == "--rewrite";
  return RUN_ALL_TESTS();
}
