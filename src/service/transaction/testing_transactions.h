// A store, a clock, participants by script, and coordinators, for tests of transactions.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "env/http_client.h"
#include "service/testing/watched_store.h"
#include "service/transaction/coordinator.h"
#include "service/transaction/transactions.h"

namespace lockstep::service::transaction::testing {

using service::testing::Running;
using service::testing::World;

// Participants by script: whatever is called is noted, "confirm stock 1", and answered as the script says.
class ScriptedParticipants final : public env::HttpClient {
 public:
  struct Heard {
    std::string gid;
    std::string operation;
    std::string branch;
    std::string url;
    std::string body;
    std::int64_t attempt = 0;
    std::int64_t token = 0;
    std::string round;
    [[nodiscard]] std::string show() const {
      return operation + " " + branch + " " + std::to_string(attempt);
    }
  };
  // What "OPERATION BRANCH" is answered with; those that are used up leave the last one.
  static constexpr int silence = -1;    // never: the deadline
  static constexpr int reset = -2;      // an error at once, of unknown outcome
  static constexpr int forbidden = -3;  // permission_denied
  static constexpr int garbage = -4;    // an answer that is too long
  static constexpr int crowded = -5;    // not sent: there are too many calls

  explicit ScriptedParticipants(watch::testing::ManualStrand& strand) : strand_(strand) {}

  void call(env::HttpCall call, TimePoint deadline,
            std::move_only_function<void(Result<env::HttpReply>)> done) override {
    Heard heard = heard_of(call);
    if (call.time_max > Duration{}) deadline = std::min(deadline, strand_.now() + call.time_max);
    ++under_way;
    under_way_max = std::max(under_way_max, under_way);
    const int status = answer_to(heard);
    heard_.push_back(heard);
    if (on_call) on_call(heard);
    const TimePoint when = status == silence ? deadline : strand_.now() + latency;
    strand_.schedule(when, [this, status, done = std::move(done)]() mutable {
      --under_way;
      done(reply_of(status));
    });
  }

  void answer(const std::string& operation_and_branch, std::vector<int> statuses) {
    script_[operation_and_branch] = std::move(statuses);
  }
  [[nodiscard]] const std::vector<Heard>& heard() const { return heard_; }
  // "try stock 1, confirm stock 1", since it was asked last.
  std::string show() {
    std::string text;
    for (; shown_ < heard_.size(); ++shown_) text += (text.empty() ? "" : ", ") + heard_[shown_].show();
    return text;
  }

  std::function<void(const Heard&)> on_call;
  Duration latency = 1ms;
  std::string retry_after;
  std::string more_in_answer;  // ,"name":value
  int under_way = 0;
  int under_way_max = 0;

 private:
  static Heard heard_of(const env::HttpCall& call) {
    Heard heard;
    heard.url = call.url;
    heard.body = call.body;
    for (const auto& [name, value] : call.headers) {
      if (name == "Lockstep-Transaction") heard.gid = value;
      if (name == "Lockstep-Operation") heard.operation = value;
      if (name == "Lockstep-Branch") heard.branch = value;
      if (name == "Lockstep-Attempt") heard.attempt = std::stoll(value);
      if (name == "Lockstep-Token") heard.token = std::stoll(value);
      if (name == "Lockstep-Round") heard.round = value;
    }
    return heard;
  }
  int answer_to(const Heard& heard) {
    const auto found = script_.find(heard.operation + " " + heard.branch);
    if (found == script_.end()) return 200;
    const int status = found->second.front();
    if (found->second.size() > 1) found->second.erase(found->second.begin());
    return status;
  }
  Result<env::HttpReply> reply_of(int status) const {
    if (status == silence || status == reset) return Status(Code::unknown_outcome, "no answer");
    if (status == forbidden) return Status(Code::permission_denied, "that address may not be called");
    if (status == crowded) return Status(Code::deadline_exceeded, "waited until no time was left");
    if (status == garbage) return Status(Code::resource_exhausted, "the answer is too long");
    return env::HttpReply{status, "{\"status\":" + std::to_string(status) + more_in_answer + "}",
                          retry_after};
  }

  watch::testing::ManualStrand& strand_;
  std::map<std::string, std::vector<int>> script_;
  std::vector<Heard> heard_;
  std::size_t shown_ = 0;
};

class TransactionTest : public ::testing::Test {
 protected:
  void TearDown() override {
    coordinator.reset();
    other.reset();
    world.advance(10ms);
  }
  [[nodiscard]] CoordinatorOptions options() {
    CoordinatorOptions options;
    options.alarm = [this](const Alarm& alarm) { alarms.push_back(alarm.gid + ": " + alarm.reason); };
    return options;
  }
  void start() {
    coordinator = std::make_unique<Coordinator>(world.context, participants, options());
    world.settle();
  }
  // As a process that is killed: nothing it sent is heard of any more.
  void kill() { coordinator.reset(); }
  void restart() {
    kill();
    start();
    coordinator->lead(true);
    world.settle();
  }

  template <class T>
  T run(Task<T> task) {
    Running<T> running(std::move(task));
    world.settle();
    for (int step = 0; step < 1000 && running.waits(); ++step) world.advance(10ms);
    return std::move(running.result());
  }
  Status submit(const std::string& gid, Mode mode, const std::string& document) {
    Submission submission;
    submission.gid = gid;
    submission.mode = mode;
    submission.document = document;
    return run(transactions.submit(submission, {})).status();
  }
  Status decide(const std::string& gid, bool commit) {
    return run(transactions.decide(gid, commit, {})).status();
  }
  State state(const std::string& gid) {
    const Result<TransactionView> view = run(transactions.get(gid, {}));
    return view.ok() ? view->state : State{};
  }
  std::string verdict(const std::string& gid) {
    const Result<TransactionView> view = run(transactions.get(gid, {}));
    return view.ok() ? std::string(to_string(view->state.verdict)) : view.status().to_string();
  }
  // Two branches, stock and pay, tried by whoever began it.
  static std::string two_branches(const std::string& more = "") {
    return R"({"branches":[{"id":"stock","confirm":"http://stock/confirm","cancel":"http://stock/cancel"},)"
           R"({"id":"pay","confirm":"http://pay/confirm","cancel":"http://pay/cancel"}])" +
           more + "}";
  }
  // The same, tried by the coordinator.
  static std::string tried_branches(const std::string& more = "") {
    return R"({"branches":[{"id":"stock","try":"http://stock/try","confirm":"http://stock/c","cancel":"http://stock/x"},)"
           R"({"id":"pay","try":"http://pay/try","confirm":"http://pay/c","cancel":"http://pay/x"}])" +
           more + "}";
  }
  std::size_t keys_under(const std::string& prefix) {
    store::RangeRequest request;
    request.key = prefix;
    request.range_end = end_of_prefix(prefix);
    request.count_only = true;
    std::size_t count = 0;
    world.store.range(request, {}, [&](const Result<store::RangeResponse>& answer) {
      count = static_cast<std::size_t>(answer->count);
    });
    return count;
  }

  World world;
  ScriptedParticipants participants{world.store.strand};
  Transactions transactions{world.context};
  std::vector<std::string> alarms;
  std::unique_ptr<Coordinator> coordinator;
  std::unique_ptr<Coordinator> other;
};

}  // namespace lockstep::service::transaction::testing
