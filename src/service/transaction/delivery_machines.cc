// Transactional messages and notifications: what is sent to each target until it has it.
#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "service/transaction/document.h"
#include "service/transaction/machines.h"

namespace lockstep::service::transaction {
namespace {

constexpr Duration check_after_default = 10s;
constexpr std::string_view check_branch_name = "check";

// Targets, each of which is sent to once.
class Deliveries {
 public:
  explicit Deliveries(std::vector<Target> targets) {
    for (Target& target : targets) {
      bytes_ += bytes_of(target);
      all_.push_back({std::move(target), Stage::open});
    }
  }
  // With `dead`, those that are no more to be sent to, for good or until revived.
  Status learn(const Entry& entry, bool may_die) {
    const auto found = std::find_if(all_.begin(), all_.end(), [&](const Delivery& one) {
      return one.stage == Stage::open && one.target.id == entry.branch;
    });
    if (found == all_.end() || entry.operation != Operation::deliver || entry.outcome == Outcome::dropped)
      return errors::entry_does_not_fit();
    const bool has_it = entry.outcome == Outcome::done || entry.outcome == Outcome::skipped;
    if (!has_it && !may_die) return errors::entry_does_not_fit();
    found->stage = has_it ? Stage::delivered : Stage::dead;
    return {};
  }
  void add_calls(bool may_refuse, std::vector<Call>& calls) const {
    for (const Delivery& one : all_) {
      if (one.stage != Stage::open || calls.size() == calls_at_once_max) continue;
      Call call = call_of(one.target, Operation::deliver, one.target.forward);
      call.may_refuse = may_refuse;
      call.round = one.round;
      if (!may_refuse) call.retry.attempts_max = 0;
      calls.push_back(std::move(call));
    }
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t open() const { return count(Stage::open); }
  [[nodiscard]] std::size_t dead() const { return count(Stage::dead); }
  [[nodiscard]] std::string describe_dead() const {
    std::string text = std::to_string(dead()) + " of " + std::to_string(all_.size()) + " not delivered:";
    std::size_t named = 0;
    for (const Delivery& one : all_) {
      if (one.stage == Stage::dead && named++ < 8) text += " " + one.target.id;
    }
    return named > 8 ? text + " ..." : text;
  }
  void give_up() { change(Stage::open, Stage::dead); }
  void revive() {
    for (Delivery& one : all_) one.round += one.stage == Stage::dead ? 1 : 0;
    change(Stage::dead, Stage::open);
  }

 private:
  enum class Stage : std::uint8_t { open, delivered, dead };
  struct Delivery {
    Target target;
    Stage stage = Stage::open;
    int round = 0;  // how often it was dead and sent to again
  };
  [[nodiscard]] std::size_t count(Stage stage) const {
    return static_cast<std::size_t>(
        std::count_if(all_.begin(), all_.end(), [&](const Delivery& one) { return one.stage == stage; }));
  }
  void change(Stage from, Stage to) {
    for (Delivery& one : all_) {
      if (one.stage == from) one.stage = to;
    }
  }
  std::vector<Delivery> all_;
  std::size_t bytes_ = 0;
};

class MessageMachine final : public Machine {
 public:
  explicit MessageMachine(Document document)
      : check_after_(document.check_after.value_or(check_after_default)),
        deliveries_(std::move(document.targets)) {
    check_.branch = check_branch_name;
    check_.operation = Operation::check;
    check_.url = std::move(document.check);
    check_.headers = std::move(document.headers);
    check_.retry = document.retry;
    check_.retry.attempts_max = 0;
    check_.delay = check_after_;
  }

  Status learn(const Entry& entry) override {
    if (entry.kind == Entry::Kind::decision) {
      if (verdict_ != Verdict::waiting) {
        return errors::decided_otherwise(verdict_ == Verdict::committing || verdict_ == Verdict::committed);
      }
      decide(entry.commit, "its sender said abort");
      return {};
    }
    if (entry.kind != Entry::Kind::outcome) return errors::entry_does_not_fit();
    if (verdict_ == Verdict::committing) {
      LS_RETURN_IF_ERROR(deliveries_.learn(entry, false));
      if (deliveries_.open() == 0) verdict_ = Verdict::committed;
      return {};
    }
    const bool fits = verdict_ == Verdict::waiting && entry.operation == Operation::check &&
                      entry.branch == check_.branch && entry.outcome != Outcome::gave_up &&
                      entry.outcome != Outcome::dropped;
    if (!fits) return errors::entry_does_not_fit();
    // What an operator skips is not sent: nothing is known of it.
    decide(entry.outcome == Outcome::done, entry.outcome == Outcome::skipped
                                               ? "an operator skipped the check"
                                               : "the check said that it did not happen");
    return {};
  }

  [[nodiscard]] Next next() const override {
    Next next;
    next.verdict = verdict_;
    next.reason = reason_;
    if (verdict_ == Verdict::waiting) next.calls.push_back(check_);
    if (verdict_ == Verdict::committing || LS_PLANTED(message_sent_undecided))
      deliveries_.add_calls(false, next.calls);
    return next;
  }
  [[nodiscard]] std::size_t bytes() const override { return deliveries_.bytes() + headers_bytes_max; }

 private:
  void decide(bool commit, const char* why_not) {
    verdict_ = commit ? Verdict::committing : Verdict::aborted;
    if (!commit) reason_ = why_not;
  }

  Duration check_after_;
  Call check_;
  Deliveries deliveries_;
  Verdict verdict_ = Verdict::waiting;
  std::string reason_;
};

class NotificationMachine final : public Machine {
 public:
  explicit NotificationMachine(Document document)
      : time_limit_(document.timeout.value_or(Duration{})), deliveries_(std::move(document.targets)) {}

  Status learn(const Entry& entry) override {
    if (entry.kind == Entry::Kind::forward) {
      if (deliveries_.dead() == 0) return errors::entry_does_not_fit();
      deliveries_.revive();
      return {};
    }
    if (deliveries_.open() == 0) return errors::entry_does_not_fit();
    if (entry.kind == Entry::Kind::outcome) return deliveries_.learn(entry, true);
    if (entry.kind != Entry::Kind::timed_out) return errors::entry_does_not_fit();
    deliveries_.give_up();
    return {};
  }

  [[nodiscard]] Next next() const override {
    Next next;
    deliveries_.add_calls(true, next.calls);
    if (deliveries_.open() > 0) return next;
    next.verdict = deliveries_.dead() == 0 ? Verdict::committed : Verdict::failed;
    if (deliveries_.dead() > 0) next.reason = deliveries_.describe_dead();
    return next;
  }
  [[nodiscard]] Duration time_limit() const override { return time_limit_; }
  [[nodiscard]] std::size_t bytes() const override { return deliveries_.bytes(); }

 private:
  Duration time_limit_;
  Deliveries deliveries_;
};

}  // namespace

Result<std::unique_ptr<Machine>> make_message(std::string_view document, Rules rules) {
  LS_ASSIGN_OR_RETURN(Document parsed, parse_document(Mode::message, document, rules));
  return std::unique_ptr<Machine>(std::make_unique<MessageMachine>(std::move(parsed)));
}

Result<std::unique_ptr<Machine>> make_notification(std::string_view document, Rules rules) {
  LS_ASSIGN_OR_RETURN(Document parsed, parse_document(Mode::notification, document, rules));
  return std::unique_ptr<Machine>(std::make_unique<NotificationMachine>(std::move(parsed)));
}

}  // namespace lockstep::service::transaction
