#include "service/transaction/saga/saga_machine.h"

#include <utility>

#include "base/assert.h"
#include "base/text_values.h"
#include "service/transaction/saga/saga.h"

namespace lockstep::service::transaction {

Result<std::unique_ptr<Machine>> make_saga(std::string_view document, std::string_view gid, Rules rules) {
  saga::Problems problems;
  std::optional<saga::Definition> definition = saga::read_definition(document, {.rules = rules}, &problems);
  if (!definition.has_value()) return problems.status();
  return std::unique_ptr<Machine>(std::make_unique<saga::SagaMachine>(*std::move(definition), gid));
}

namespace saga {

namespace {

// Its body is counted with what is sent.
std::size_t bytes_of(const Target& target) {
  std::size_t bytes = target.url.size();
  for (const auto& [name, value] : target.headers)
    bytes += sizeof(std::string) * 2 + name.size() + value.size();
  return bytes;
}

}  // namespace

SagaMachine::SagaMachine(Definition definition, std::string_view gid)
    : definition_(std::move(definition)), gid_(gid), variables_(definition_.input) {
  const std::size_t count = definition_.states.size();
  LS_MUST(count > 0);
  visits_.resize(count);
  variables_bytes_ = size_of(variables_).bytes;
  definition_bytes_ = variables_bytes_;
  for (const State& state : definition_.states) {
    definition_bytes_ += sizeof(State) + bytes_of(state.action);
    if (state.compensate.has_value()) definition_bytes_ += bytes_of(*state.compensate);
  }
  if (definition_.language == SagaLanguage::states) {
    enter(definition_.start);
  } else {
    followers_.resize(count);
    missing_.resize(count);
    instance_of_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      missing_[i] = definition_.states[i].after.size();
      for (const std::size_t before : definition_.states[i].after) followers_[before].push_back(i);
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (missing_[i] == 0) start_step(i);
    }
  }
  goes_on();
}

// ---- what is learned

Status SagaMachine::learn(const Entry& entry) {
  if (phase_ == Phase::over) return {Code::failed_precondition, "the saga is over"};
  switch (entry.kind) {
    case Entry::Kind::outcome:
      return learn_outcome(entry);
    case Entry::Kind::timed_out:
      return learn_timed_out();
    case Entry::Kind::forward:
      return learn_forward();
    case Entry::Kind::compensate:
      return learn_compensate();
    case Entry::Kind::decision:
      break;
  }
  return {Code::failed_precondition, "a saga is decided by its steps"};
}

Status SagaMachine::learn_outcome(const Entry& entry) {
  const auto found = by_branch_.find(entry.branch);
  if (found == by_branch_.end())
    return {Code::failed_precondition, "there is no branch " + shorten(entry.branch)};
  Instance& instance = instances_[found->second];
  if (entry.operation == Operation::action) return learn_action(instance, entry);
  if (entry.operation == Operation::compensate) return learn_undo(instance, entry);
  return {Code::failed_precondition, "a saga has actions and compensations only"};
}

Status SagaMachine::learn_action(Instance& instance, const Entry& entry) {
  const bool skips = instance.doing == Doing::held && entry.outcome == Outcome::skipped;
  if (instance.doing != Doing::running && !skips)
    return {Code::failed_precondition, "nobody waits for the action of " + instance.branch};
  if (entry.outcome == Outcome::dropped) {
    if (phase_ != Phase::draining)
      return {Code::failed_precondition, "the action of " + instance.branch + " is still to be sent"};
    --actions_running_;
    instance.doing = instance.if_given_up.value_or(Doing::dropped);
    goes_on();
    return {};
  }
  --(skips ? actions_held_ : actions_running_);
  const State& state = state_of(instance);
  const Json answer = entry.outcome == Outcome::done ? Json::of_answer(entry.output) : Json();
  const Judged judged = judge(state, entry, answer);
  constexpr Doing outcomes[] = {Doing::done, Doing::failed, Doing::unknown};
  instance.doing = outcomes[static_cast<std::size_t>(judged.judgement)];
  // That this round was refused says nothing of what an earlier one may have done.
  if (instance.doing == Doing::failed && instance.if_given_up == Doing::unknown)
    instance.doing = Doing::unknown;
  if (phase_ == Phase::draining) {
    std::string ignored;
    if (judged.judgement == Judgement::success) static_cast<void>(keep_outputs(state, answer, &ignored));
  } else if (definition_.language == SagaLanguage::states) {
    route(instance, judged, answer);
  } else if (judged.judgement == Judgement::success) {
    step_is_done(instance, entry);
  } else {
    fail(instance, judged);
  }
  goes_on();
  return {};
}

Status SagaMachine::learn_undo(Instance& instance, const Entry& entry) {
  const bool skips = instance.undoing == Undoing::held && entry.outcome == Outcome::skipped;
  if (instance.undoing != Undoing::running && !skips)
    return {Code::failed_precondition, "nobody waits for the compensation of " + instance.branch};
  if (entry.outcome == Outcome::dropped)
    return {Code::failed_precondition, "a compensation is never left out"};
  LS_MUST(phase_ == Phase::compensating);
  if (!skips) --undos_running_;
  const State& state = state_of(instance);
  Judged judged;
  if (entry.outcome == Outcome::done) {
    State as_update;
    as_update.action.statuses = state.compensate->statuses;
    judged = judge(as_update, entry, Json::of_answer(entry.output));
  }
  if (entry.outcome == Outcome::skipped) {
    instance.undoing = Undoing::skipped;
  } else if (entry.outcome == Outcome::done && judged.judgement == Judgement::success) {
    instance.undoing = Undoing::done;
  } else {
    instance.undoing = Undoing::held;
    instance.hold = "the compensation of " + instance.branch +
                    (entry.outcome == Outcome::refused   ? " was refused"
                     : entry.outcome == Outcome::gave_up ? " used up its attempts"
                                                         : " answered that it failed");
  }
  if (instance.undoing != Undoing::held) {
    instance.hold.clear();
    undo_bodies_bytes_ -= std::exchange(instance.undo_body, {}).size();
    if (definition_.parallel_compensation) settle(instance.state);
  }
  goes_on();
  return {};
}

Status SagaMachine::learn_timed_out() {
  if (timed_out_ || phase_ != Phase::running)
    return {Code::failed_precondition, "the saga's time limit does not matter any more"};
  timed_out_ = true;
  if (!definition_.forward) give_up("its time limit of " + show_duration(definition_.time_limit) + " passed");
  goes_on();
  return {};
}

Status SagaMachine::learn_forward() {
  bool any = false;
  for (Instance& instance : instances_) {
    if (instance.doing == Doing::held) {
      instance.doing = Doing::waiting;
      ++instance.round;  // or its participant, which remembers a refusal, would only repeat it
      --actions_held_;
      ++actions_waiting_;
    } else if (instance.undoing == Undoing::held) {
      instance.undoing = Undoing::none;
      if (definition_.parallel_compensation) undo_due_.push_back(instance.state);
    } else {
      continue;
    }
    instance.hold.clear();
    any = true;
  }
  if (!any) return {Code::failed_precondition, "nothing is held"};
  goes_on();
  return {};
}

Status SagaMachine::learn_compensate() {
  if (phase_ != Phase::running) return {Code::failed_precondition, "the saga is being undone already"};
  std::string reason = "an operator asked for it";
  for (const Instance& instance : instances_) {
    if (instance.doing != Doing::held) continue;
    reason = instance.hold + "; " + reason;
    break;
  }
  give_up(std::move(reason));
  goes_on();
  return {};
}

// ---- what follows

SagaMachine::Judged SagaMachine::judge(const State& state, const Entry& entry, const Json& answer) const {
  const bool is_states = definition_.language == SagaLanguage::states;
  Judged judged;
  if (entry.outcome == Outcome::skipped) {
    // Whether it had an effect is not known; while the saga goes on it counts as done, as the operator wants.
    if (phase_ == Phase::draining) judged.judgement = Judgement::unknown;
    return judged;
  }
  if (entry.outcome == Outcome::done) {
    for (const StatusRule& rule : state.action.statuses) {
      if (!rule.condition.has_value()) continue;
      const Result<bool> holds = rule.condition->test(answer);
      if (!holds.ok())
        judged.reason = "the Status of " + state.name + ": " + std::string(holds.status().message());
      if (!holds.ok()) break;
      if (!*holds) continue;
      judged.judgement = rule.judgement;
      judged.reason = state.name + " answered that it failed (" + rule.condition->text() + ")";
      return judged;
    }
    if (state.action.statuses.empty()) return judged;
    if (judged.reason.empty()) judged.reason = "no Status of " + state.name + " fits its answer";
    judged.judgement = state.is_update ? Judgement::unknown : Judgement::failure;
    return judged;
  }
  const bool refused_late = entry.outcome == Outcome::refused_late;
  const bool refused = entry.outcome == Outcome::refused || refused_late;
  judged.exception = true;
  judged.refused = refused;
  judged.reason = refused ? state.name + " was refused" +
                                (entry.status == 0 ? "" : " (" + std::to_string(entry.status) + ")")
                          : state.name + " used up its attempts: its outcome is not known";
  const bool is_unknown = (!refused || refused_late) && (state.is_update || !is_states);
  judged.judgement = is_unknown ? Judgement::unknown : Judgement::failure;
  for (const StatusRule& rule : state.action.statuses) {
    if (rule.condition.has_value() || !(refused ? rule.exceptions.refused : rule.exceptions.gave_up))
      continue;
    const bool hides_effect = is_unknown && rule.judgement == Judgement::failure;
    if (!hides_effect) judged.judgement = rule.judgement;
    break;
  }
  return judged;
}

void SagaMachine::fail(Instance& instance, const Judged& judged) {
  LS_MUST(judged.judgement != Judgement::success);
  if (!definition_.forward) {
    give_up(judged.reason);
    return;
  }
  instance.if_given_up = instance.doing;
  instance.doing = Doing::held;
  instance.hold = judged.reason;
  ++actions_held_;
}

void SagaMachine::give_up(std::string reason) {
  LS_MUST(phase_ == Phase::running);
  phase_ = Phase::draining;
  reason_ = std::move(reason);
  for (Instance& instance : instances_) {
    if (instance.doing != Doing::waiting && instance.doing != Doing::held) continue;
    instance.doing = instance.if_given_up.value_or(Doing::dropped);
    instance.hold.clear();
  }
  actions_waiting_ = 0;
  actions_held_ = 0;
}

void SagaMachine::begin_waiting() {
  for (Instance& instance : instances_) {
    if (actions_waiting_ == 0 || actions_running_ == calls_at_once_max) return;
    if (instance.doing != Doing::waiting) continue;
    instance.doing = Doing::running;
    --actions_waiting_;
    ++actions_running_;
  }
}

// Whatever was learned ends here.
void SagaMachine::goes_on() {
  if (phase_ == Phase::running) {
    begin_waiting();
    const bool is_through =
        definition_.language == SagaLanguage::steps ? steps_done_ == definition_.states.size() : ended_;
    if (is_through && actions_running_ == 0 && actions_held_ == 0) {
      LS_MUST(actions_waiting_ == 0);
      phase_ = Phase::over;
      final_ = Verdict::committed;
    }
  }
  if (phase_ == Phase::draining && actions_running_ == 0) begin_compensation();
  if (phase_ == Phase::compensating) go_on_undoing();
}

void SagaMachine::start_step(std::size_t step) {
  if (phase_ != Phase::running) return;  // one before it gave up
  const State& state = definition_.states[step];
  Instance instance;
  instance.state = step;
  instance.branch = state.name;
  Result<Json> body = state.action.body->evaluate(Json(), gid_);
  if (!body.ok())
    return give_up("the payload of " + state.name + ": " + std::string(body.status().message()));
  instance.body = body->dump();
  bodies_bytes_ += instance.body.size();
  instance_of_[step] = instances_.size();
  begin(std::move(instance));
}

void SagaMachine::begin(Instance instance) {
  LS_MUST(instances_.size() < branches_max);
  const bool is_new = by_branch_.emplace(instance.branch, instances_.size()).second;
  LS_MUST(is_new, "branches are unique");
  instances_.push_back(std::move(instance));
  ++actions_waiting_;
}

void SagaMachine::step_is_done(const Instance& instance, const Entry& entry) {
  ++steps_done_;
  outputs_bytes_ += entry.output.size();
  if (outputs_bytes_ <= saga_result_bytes_max) outputs_.set(instance.branch, Json::of_answer(entry.output));
  for (const std::size_t follower : followers_[instance.state]) {
    if (--missing_[follower] == 0) start_step(follower);
  }
}

// ---- what is to be done

Call SagaMachine::action_call(const Instance& instance) const {
  const Target& target = state_of(instance).action;
  Call call;
  call.branch = instance.branch;
  call.operation = Operation::action;
  call.url = target.url;
  call.headers = target.headers;
  call.round = instance.round;
  call.body = instance.body;
  call.retry = target.retry;
  if (phase_ == Phase::draining) call.retry.attempts_max = 1;
  return call;
}

Call SagaMachine::undo_call(const Instance& instance) const {
  const Target& target = *state_of(instance).compensate;
  Call call;
  call.branch = instance.branch;
  call.operation = Operation::compensate;
  call.url = target.url;
  call.headers = target.headers;
  call.body = instance.undo_body;
  call.retry = target.retry;
  call.may_refuse = false;
  return call;
}

Next SagaMachine::next() const {
  Next next;
  next.verdict = phase_ == Phase::over      ? final_
                 : phase_ == Phase::running ? Verdict::running
                                            : Verdict::aborting;
  if (phase_ == Phase::over) {
    if (final_ != Verdict::committed) next.reason = reason_;
    return next;
  }
  std::string hold;
  for (const Instance& instance : instances_) {
    if (instance.doing == Doing::running) next.calls.push_back(action_call(instance));
    if (instance.undoing == Undoing::running) next.calls.push_back(undo_call(instance));
    const bool undo_held = instance.undoing == Undoing::held;
    if (instance.doing != Doing::held && !undo_held) continue;
    next.held = true;
    next.held_calls.emplace_back(instance.branch, undo_held ? Operation::compensate : Operation::action);
    if (hold.empty()) hold = instance.hold;
  }
  next.reason = reason_;
  if (!hold.empty()) next.reason = hold + (reason_.empty() ? "" : "; " + reason_);
  LS_MUST(next.calls.size() <= calls_at_once_max);
  return next;
}

std::size_t SagaMachine::bytes() const {
  return definition_bytes_ + instances_.size() * sizeof(Instance) + bodies_bytes_ + undo_bodies_bytes_ +
         variables_bytes_ + outputs_bytes_;
}

std::string SagaMachine::result() const {
  if (final_ != Verdict::committed) return {};
  return definition_.language == SagaLanguage::steps ? outputs_.dump() : variables_.dump();
}

}  // namespace saga
}  // namespace lockstep::service::transaction
