// TCC and XA: try or prepare, decide, then confirm or cancel (commit or roll back) until each branch is done.
#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "service/transaction/document.h"
#include "service/transaction/machines.h"

namespace lockstep::service::transaction {

namespace errors {
Status decided_otherwise(bool committed) {
  return {Code::failed_precondition,
          committed ? "transaction: it was decided to commit, by a decision recorded before"
                    : "transaction: it was decided to abort, by a decision recorded before"};
}
Status entry_does_not_fit() {
  return {Code::failed_precondition, "transaction: that does not fit where it stands"};
}
}  // namespace errors

namespace {

constexpr Duration time_limit_default = 35s;

class TwoPhaseMachine final : public Machine {
 public:
  TwoPhaseMachine(Mode mode, Document document, std::vector<Target> registered)
      : mode_(mode), time_limit_(document.timeout.value_or(time_limit_default)) {
    const bool called = !document.targets.empty() && !document.targets[0].attempt.empty();
    for (std::vector<Target>* targets : {&document.targets, &registered}) {
      for (Target& target : *targets) {
        bytes_ += bytes_of(target);
        branches_.push_back({std::move(target), Trying::untried, false});
      }
    }
    if (!called) return;
    ours_ = true;
    verdict_ = Verdict::running;
    begin_more();
  }

  Status learn(const Entry& entry) override {
    switch (entry.kind) {
      case Entry::Kind::outcome:
        return verdict_ == Verdict::running ? learn_of_first_phase(entry) : learn_of_second_phase(entry);
      case Entry::Kind::decision:
        if (verdict_ != Verdict::waiting && verdict_ != Verdict::running) {
          return errors::decided_otherwise(verdict_ == Verdict::committing || verdict_ == Verdict::committed);
        }
        if (entry.commit && ours_) return errors::entry_does_not_fit();
        decide(entry.commit, entry.commit ? "" : "its owner said abort");
        return {};
      case Entry::Kind::timed_out:
        if (verdict_ != Verdict::waiting && verdict_ != Verdict::running) return errors::entry_does_not_fit();
        decide(LS_PLANTED(transaction_presumed_commit), "not decided within its time limit");
        return {};
      case Entry::Kind::forward:
      case Entry::Kind::compensate:
        return errors::entry_does_not_fit();
    }
    return errors::entry_does_not_fit();
  }

  [[nodiscard]] Next next() const override {
    Next next;
    next.verdict = verdict_;
    next.reason = reason_;
    if (verdict_ == Verdict::running) {
      const Operation operation = mode_ == Mode::tcc ? Operation::attempt : Operation::prepare;
      for (const Branch& branch : branches_) {
        if (branch.trying == Trying::under_way) {
          next.calls.push_back(call_of(branch.target, operation, branch.target.attempt));
        }
      }
    } else if (const Branch* branch = in_turn()) {
      const bool forward = verdict_ == Verdict::committing;
      Call call =
          call_of(branch->target, second_operation(), forward ? branch->target.forward : branch->target.back);
      call.may_refuse = false;
      call.retry.attempts_max = 0;
      next.calls.push_back(std::move(call));
    }
    return next;
  }

  [[nodiscard]] Duration time_limit() const override { return time_limit_; }
  [[nodiscard]] std::size_t bytes() const override { return bytes_; }

 private:
  enum class Trying : std::uint8_t { untried, under_way, tried, refused };
  struct Branch {
    Target target;
    Trying trying = Trying::untried;
    bool finished = false;  // its second phase
  };

  [[nodiscard]] Operation second_operation() const {
    if (mode_ == Mode::tcc) return verdict_ == Verdict::committing ? Operation::confirm : Operation::cancel;
    return verdict_ == Verdict::committing ? Operation::commit : Operation::rollback;
  }
  // Whose second phase it is: tcc's newest first, xa's oldest.
  [[nodiscard]] const Branch* in_turn() const {
    if (verdict_ != Verdict::committing && verdict_ != Verdict::aborting) return nullptr;
    const auto waits = [](const Branch& branch) { return !branch.finished; };
    if (mode_ == Mode::xa || LS_PLANTED(transaction_undone_oldest_first)) {
      const auto found = std::find_if(branches_.begin(), branches_.end(), waits);
      return found == branches_.end() ? nullptr : &*found;
    }
    const auto found = std::find_if(branches_.rbegin(), branches_.rend(), waits);
    return found == branches_.rend() ? nullptr : &*found;
  }

  void begin_more() {
    auto under_way =
        static_cast<std::size_t>(std::count_if(branches_.begin(), branches_.end(), [](const Branch& branch) {
          return branch.trying == Trying::under_way;
        }));
    for (Branch& branch : branches_) {
      if (branch.trying != Trying::untried || under_way == calls_at_once_max) continue;
      branch.trying = Trying::under_way;
      ++under_way;
    }
  }

  void decide(bool commit, std::string reason) {
    verdict_ = commit ? Verdict::committing : Verdict::aborting;
    reason_ = std::move(reason);
    for (Branch& branch : branches_) {
      const bool nothing_to_undo =
          ours_ && (branch.trying == Trying::refused || branch.trying == Trying::untried ||
                    (LS_PLANTED(transaction_unknown_not_undone) && branch.trying == Trying::under_way));
      if (!commit && nothing_to_undo) branch.finished = true;
    }
    finish_if_done();
  }
  void finish_if_done() {
    if (in_turn() != nullptr) return;
    verdict_ = verdict_ == Verdict::committing ? Verdict::committed : Verdict::aborted;
  }

  Status learn_of_first_phase(const Entry& entry) {
    const Operation operation = mode_ == Mode::tcc ? Operation::attempt : Operation::prepare;
    const auto found = std::find_if(branches_.begin(), branches_.end(), [&](const Branch& branch) {
      return branch.trying == Trying::under_way && branch.target.id == entry.branch;
    });
    if (found == branches_.end() || entry.operation != operation || entry.outcome == Outcome::dropped)
      return errors::entry_does_not_fit();
    if (entry.outcome == Outcome::refused || entry.outcome == Outcome::refused_late) {
      // After an attempt of unknown outcome there may be something to undo.
      if (entry.outcome == Outcome::refused) found->trying = Trying::refused;
      decide(false, "branch " + entry.branch + " refused");
    } else if (entry.outcome == Outcome::gave_up) {
      decide(false, "branch " + entry.branch + " did not answer");
    } else {
      found->trying = Trying::tried;
      begin_more();
      const bool all = std::all_of(branches_.begin(), branches_.end(),
                                   [](const Branch& branch) { return branch.trying == Trying::tried; });
      if (all) decide(true, "");
    }
    return {};
  }

  Status learn_of_second_phase(const Entry& entry) {
    const Branch* expected = in_turn();
    const bool fits = expected != nullptr && entry.branch == expected->target.id &&
                      entry.operation == second_operation() &&
                      (entry.outcome == Outcome::done || entry.outcome == Outcome::skipped);
    if (!fits) return errors::entry_does_not_fit();
    branches_[static_cast<std::size_t>(expected - branches_.data())].finished = true;
    finish_if_done();
    return {};
  }

  Mode mode_;
  Duration time_limit_;
  std::vector<Branch> branches_;
  std::size_t bytes_ = 0;
  bool ours_ = false;  // to call the first phase, and to decide
  Verdict verdict_ = Verdict::waiting;
  std::string reason_;
};

}  // namespace

Result<std::unique_ptr<Machine>> make_two_phase(Mode mode, std::string_view document,
                                                const std::vector<std::string>& registered, Rules rules) {
  LS_ASSIGN_OR_RETURN(Document parsed, parse_document(mode, document, rules));
  std::size_t called = 0;
  for (const Target& target : parsed.targets) called += target.attempt.empty() ? 0 : 1;
  const std::string name = mode == Mode::tcc ? "\"try\"" : "\"prepare\"";
  if (called != 0 && called != parsed.targets.size()) {
    return Status(Code::invalid_argument, "transaction: /branches: all have " + name + ", or none has");
  }
  std::vector<Target> later;
  for (const std::string& text : registered) {
    LS_ASSIGN_OR_RETURN(Target target, parse_branch(mode, text, parsed, rules));
    if (called != 0 || !target.attempt.empty()) {
      return Status(Code::invalid_argument,
                    "transaction: a branch that is registered is called by whoever "
                    "began the transaction: neither it nor others have " +
                        name);
    }
    const auto same = [&](const Target& other) { return other.id == target.id; };
    if (std::any_of(parsed.targets.begin(), parsed.targets.end(), same) ||
        std::any_of(later.begin(), later.end(), same)) {
      return Status(Code::invalid_argument, "transaction: there is another branch \"" + target.id + "\"");
    }
    later.push_back(std::move(target));
  }
  if (parsed.targets.size() + later.size() > branches_max) {
    return Status(Code::resource_exhausted,
                  "transaction: more than " + std::to_string(branches_max) + " branches");
  }
  return std::unique_ptr<Machine>(
      std::make_unique<TwoPhaseMachine>(mode, std::move(parsed), std::move(later)));
}

}  // namespace lockstep::service::transaction
