// Random sagas that meet random outcomes, and a checker that knows nothing of the machine but what it named:
// who began when, who may have had an effect, who was undone.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/prng.h"
#include "service/transaction/saga/saga.h"

namespace lockstep::service::transaction::saga {

struct RandomSaga {
  std::string document;
  bool is_steps = true;
  bool is_parallel = false;
  std::map<std::string, std::vector<std::string>> after;  // of steps: those it waits for
  std::set<std::string> compensated;                      // names that have a compensation
};

inline RandomSaga random_steps(Prng& prng) {
  RandomSaga saga;
  saga.is_parallel = prng.chance(1, 2);
  saga.document = std::string("{\"compensation\": \"") + (saga.is_parallel ? "parallel" : "newest_first") +
                  "\", \"timeout\": \"1m\", \"on_failure\": \"" +
                  (prng.chance(1, 5) ? "forward" : "compensate") + "\", \"steps\": [";
  const std::uint64_t count = prng.chance(1, 20) ? prng.between(70, 90) : prng.between(1, 12);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string name = "s" + std::to_string(i);
    saga.document += std::string(i == 0 ? "" : ", ") + "{\"name\": \"" + name +
                     "\", \"action\": \"http://a/" + name + "\"";
    if (!prng.chance(1, 6)) {
      saga.document += R"(, "compensate": "http://a/undo", "compensate_retry": {"attempts_max": 2})";
      saga.compensated.insert(name);
    }
    std::vector<std::string>& after = saga.after[name];
    if (prng.chance(1, 2)) {
      if (i > 0) after.push_back("s" + std::to_string(i - 1));
    } else {
      for (std::uint64_t j = 0; j < i; ++j) {
        if (prng.chance(1, 3)) after.push_back("s" + std::to_string(j));
      }
      saga.document += ", \"after\": [";
      for (const std::string& before : after)
        saga.document += (&before == after.data() ? "\"" : ", \"") + before + "\"";
      saga.document += "]";
    }
    saga.document += "}";
  }
  saga.document += "]}";
  return saga;
}

// Tasks lead onwards, choices anywhere.
inline RandomSaga random_states(Prng& prng) {
  RandomSaga saga;
  saga.is_steps = false;
  const std::uint64_t count = prng.between(1, 10);
  std::string states;
  const auto name = [](std::uint64_t i) { return "\"s" + std::to_string(i) + "\""; };
  for (std::uint64_t i = 0; i < count; ++i) {
    states += name(i) + ": {";
    const auto later = [&] { return name(prng.between(i + 1, count)); };
    if (prng.chance(1, 5)) {
      states += R"("Type": "Choice", "Choices": [{"Expression": "[v] == 1", "Next": )" +
                name(prng.between(0, count)) +
                R"json(}, {"Expression": "[v] == 2 or not ([v] != 3)", "Next": )json" + later() + "}]";
      if (prng.chance(2, 3)) states += ", \"Default\": " + later();
    } else if (prng.chance(1, 10)) {
      states +=
          prng.chance(1, 2) ? R"("Type": "Fail", "ErrorCode": "E")" : R"("Type": "CompensationTrigger")";
    } else {
      states +=
          R"("Type": "ServiceTask", "ServiceName": "s", "ServiceMethod": "m", "Input": ["$.[v]", "$Sequence"])";
      if (prng.chance(3, 4)) {
        states += R"(, "CompensateMethod": "undo")";
        saga.compensated.insert("s" + std::to_string(i));
      }
      if (prng.chance(1, 8)) states += R"(, "IsAsync": true)";
      if (prng.chance(1, 2)) states += R"(, "Output": {"v": "$.#root"})";
      if (prng.chance(1, 3)) states += R"(, "Catch": [{"Exceptions": ["Refused"], "Next": )" + later() + "}]";
      states += ", \"Next\": " + later();
    }
    states += "}, ";
  }
  saga.document = R"({"definition": {"StartState": "s0", "RecoverStrategy": ")" +
                  std::string(prng.chance(1, 5) ? "Forward" : "Compensate") + R"(", "States": {)" + states +
                  name(count) +
                  R"(: {"Type": "Succeed"}}}, "services": {"s": "http://s"}, "input": {"v": 0}})";
  return saga;
}

class RandomSagaRun {
 public:
  explicit RandomSagaRun(std::uint64_t seed) : prng_(seed) {
    saga_ = prng_.chance(1, 2) ? random_steps(prng_) : random_states(prng_);
    Result<std::unique_ptr<Machine>> made = make_saga(saga_.document, "g");
    if (!made.ok()) {
      complain("the definition is refused: " + made.status().to_string());
      return;
    }
    machine_ = *std::move(made);
    // A saga that goes round may begin every branch there can be, and each may be held some times.
    for (std::size_t turn = 0; turn < 20'000 && problems_.empty(); ++turn) {
      const Next next = machine_->next();
      look(next);
      if (transaction::final(next.verdict)) {
        at_end(next);
        return;
      }
      learn_something(next);
    }
    if (problems_.empty()) complain("it does not end");
  }

  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }
  [[nodiscard]] const std::string& document() const { return saga_.document; }
  [[nodiscard]] Verdict verdict() const { return machine_->next().verdict; }

 private:
  enum class Effect { none, done, may_be, undone, left };
  struct Branch {
    std::size_t began = 0;
    Effect effect = Effect::none;
    bool is_done = false;  // as far as those behind it are concerned
    bool under_way = true;
  };

  void complain(const std::string& what) { problems_.push_back(what); }
  [[nodiscard]] bool has_undo(const std::string& branch) const {
    return saga_.compensated.contains(branch.substr(0, branch.find('#')));
  }
  [[nodiscard]] static bool is_left(const Branch& branch) {
    return branch.effect == Effect::done || branch.effect == Effect::may_be;
  }

  // Whether `later` waited, step by step, for `earlier`.
  [[nodiscard]] bool depends(const std::string& later, const std::string& earlier) const {
    std::vector<std::string> due = {later};
    std::set<std::string> seen;
    while (!due.empty()) {
      const std::string name = due.back();
      due.pop_back();
      for (const std::string& before : saga_.after.at(name)) {
        if (before == earlier) return true;
        if (seen.insert(before).second) due.push_back(before);
      }
    }
    return false;
  }

  void look(const Next& next) {
    if (next.verdict < verdict_) complain("a verdict goes back");
    verdict_ = next.verdict;
    if (next.calls.size() > calls_at_once_max) complain("too many calls at once");
    std::set<std::pair<std::string, Operation>> named;
    for (const Call& call : next.calls) {
      if (!named.emplace(call.branch, call.operation).second) complain(call.branch + " is named twice");
      call.operation == Operation::action ? look_at_action(next, call) : look_at_undo(call);
    }
    for (const auto& call : named_) {
      const bool is_held = std::ranges::find(next.held_calls, call) != next.held_calls.end();
      if (!named.contains(call) && !is_held && learned_ != call)
        complain(call.first + " is not named any more");
    }
    named_ = named;
  }

  void look_at_action(const Next& next, const Call& call) {
    const auto [branch, is_new] = branches_.try_emplace(call.branch);
    if (!is_new) return;
    branch->second.began = branches_.size();
    if (next.verdict != Verdict::running) complain(call.branch + " begins although the saga is given up");
    if (!saga_.is_steps) return;
    for (const std::string& before : saga_.after[call.branch]) {
      if (!branches_.contains(before) || !branches_[before].is_done)
        complain(call.branch + " begins before " + before);
    }
  }

  void look_at_undo(const Call& call) {
    const auto found = branches_.find(call.branch);
    if (found == branches_.end()) return complain(call.branch + " is undone and never began");
    if (!has_undo(call.branch)) complain(call.branch + " has no compensation");
    if (!is_left(found->second)) complain(call.branch + " is undone and there is nothing to undo");
    if (call.may_refuse) complain("a compensation may not be refused");
    for (const auto& [name, other] : branches_) {
      if (other.under_way) complain(call.branch + " is undone while " + name + " is under way");
      if (name == call.branch || !is_left(other) || !has_undo(name)) continue;
      const bool first = saga_.is_parallel ? depends(name, call.branch) : other.began > found->second.began;
      if (first) complain(call.branch + " is undone before " + name);
    }
  }

  void learn_something(const Next& next) {
    learned_ = {};
    Entry entry;
    const std::uint64_t draw = prng_.below(200);
    if (draw == 0) entry.kind = Entry::Kind::timed_out;
    if (draw == 1) entry.kind = Entry::Kind::compensate;
    if (draw == 2 || (next.held && prng_.chance(1, next.calls.empty() ? 2 : 10)))
      entry.kind = Entry::Kind::forward;
    if (draw == 3) entry.kind = Entry::Kind::decision;
    if (entry.kind == Entry::Kind::outcome && !fill_outcome(next, &entry)) return;
    const Status status = machine_->learn(entry);
    if (!status.ok()) {
      if (entry.kind == Entry::Kind::outcome) complain("an outcome is refused: " + status.to_string());
      return;
    }
    journal_.push_back(entry);
    if (entry.kind == Entry::Kind::outcome) note(entry);
    if (prng_.chance(1, 20)) compare_with_replay();
  }

  bool fill_outcome(const Next& next, Entry* entry) {
    std::vector<std::pair<std::string, Operation>> all(named_.begin(), named_.end());
    all.insert(all.end(), next.held_calls.begin(), next.held_calls.end());
    if (all.empty()) {
      complain("nothing is to be done, and it is not over");
      return false;
    }
    learned_ = all[prng_.below(all.size())];
    entry->branch = learned_.first;
    entry->operation = learned_.second;
    const bool is_held = std::ranges::find(next.held_calls, learned_) != next.held_calls.end();
    const std::uint64_t draw = prng_.below(40);
    entry->outcome = is_held || draw == 0 ? Outcome::skipped : draw == 1 ? Outcome::gave_up : Outcome::done;
    if (!is_held && draw >= 36) entry->outcome = draw == 39 ? Outcome::gave_up : Outcome::refused;
    entry->output = std::to_string(prng_.below(4));
    return true;
  }

  void note(const Entry& entry) {
    Branch& branch = branches_[entry.branch];
    if (entry.operation == Operation::compensate) {
      if (entry.outcome == Outcome::done) branch.effect = Effect::undone;
      if (entry.outcome == Outcome::skipped) branch.effect = Effect::left;
      return;
    }
    branch.under_way = false;
    branch.is_done = entry.outcome == Outcome::done || entry.outcome == Outcome::skipped;
    constexpr Effect effects[] = {Effect::done, Effect::none, Effect::may_be, Effect::may_be};
    branch.effect = effects[static_cast<std::size_t>(entry.outcome)];
  }

  void compare_with_replay() {
    Result<std::unique_ptr<Machine>> again = make_saga(saga_.document, "g");
    for (const Entry& entry : journal_) {
      if (!(*again)->learn(entry).ok()) return complain("the journal does not fit a second machine");
    }
    const Next a = machine_->next();
    const Next b = (*again)->next();
    const auto same = [](const Call& x, const Call& y) {
      return x.branch == y.branch && x.operation == y.operation && x.body == y.body && x.url == y.url &&
             x.retry.attempts_max == y.retry.attempts_max;
    };
    if (a.verdict != b.verdict || a.reason != b.reason || a.held_calls != b.held_calls ||
        !std::ranges::equal(a.calls, b.calls, same) || machine_->result() != (*again)->result())
      complain("two machines of one journal differ");
  }

  void at_end(const Next& next) {
    compare_with_replay();
    bool any_left = false;
    for (const auto& [name, branch] : branches_) {
      any_left |= branch.effect == Effect::left;
      if (branch.under_way) complain("it ends while " + name + " is under way");
      if (next.verdict != Verdict::committed && is_left(branch) && has_undo(name))
        complain(name + " is not undone");
      if (next.verdict == Verdict::committed && branch.effect == Effect::undone)
        complain(name + " is undone");
      if (next.verdict == Verdict::committed && saga_.is_steps && !branch.is_done)
        complain(name + " is not done");
    }
    if (any_left != (next.verdict == Verdict::failed)) complain("failed is for what an operator left");
    if (next.verdict == Verdict::committed && saga_.is_steps && branches_.size() != saga_.after.size())
      complain("steps were left out");
  }

  Prng prng_;
  RandomSaga saga_;
  std::unique_ptr<Machine> machine_;
  std::vector<Entry> journal_;
  std::map<std::string, Branch> branches_;
  std::set<std::pair<std::string, Operation>> named_;
  std::pair<std::string, Operation> learned_;
  Verdict verdict_ = Verdict::running;
  std::vector<std::string> problems_;
};

}  // namespace lockstep::service::transaction::saga
