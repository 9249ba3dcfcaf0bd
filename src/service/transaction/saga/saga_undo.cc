// The machine of sagas, compensating.
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "service/transaction/saga/saga_machine.h"

namespace lockstep::service::transaction::saga {

bool SagaMachine::needs_undo(const Instance& instance) const {
  const bool may_have_effect = instance.doing == Doing::done || instance.doing == Doing::unknown;
  return may_have_effect && state_of(instance).compensate.has_value();
}

void SagaMachine::begin_compensation() {
  LS_MUST(phase_ == Phase::draining);
  LS_MUST(actions_running_ == 0);
  phase_ = Phase::compensating;
  undo_end_ = instances_.size();
  if (!definition_.parallel_compensation) return;
  const std::size_t count = definition_.states.size();
  unsettled_.resize(count);
  for (std::size_t i = 0; i < count; ++i) unsettled_[i] = followers_[i].size();
  for (std::size_t i = 0; i < count; ++i) {
    if (unsettled_[i] == 0) undo_due_.push_back(i);
  }
}

void SagaMachine::go_on_undoing() {
  if (definition_.parallel_compensation) {
    undo_in_parallel();
  } else {
    undo_newest_first();
  }
}

void SagaMachine::undo_newest_first() {
  while (undo_end_ > 0) {
    Instance& instance =
        instances_[LS_PLANTED(compensation_oldest_first) ? instances_.size() - undo_end_ : undo_end_ - 1];
    if (needs_undo(instance)) {
      if (instance.undoing == Undoing::none) start_undo(instance);
      if (instance.undoing == Undoing::running || instance.undoing == Undoing::held) return;
    }
    --undo_end_;
  }
  finish_undone();
}

void SagaMachine::undo_in_parallel() {
  while (!undo_due_.empty() && undos_running_ < calls_at_once_max) {
    const std::size_t step = undo_due_.front();
    undo_due_.pop_front();
    const std::optional<std::size_t> index = instance_of_[step];
    if (index.has_value() && needs_undo(instances_[*index])) {
      start_undo(instances_[*index]);
    } else {
      settle(step);
    }
  }
  if (settled_ == definition_.states.size()) finish_undone();
}

void SagaMachine::settle(std::size_t step) {
  ++settled_;
  for (const std::size_t before : definition_.states[step].after) {
    LS_MUST(unsettled_[before] > 0);
    if (--unsettled_[before] == 0) undo_due_.push_back(before);
  }
}

void SagaMachine::start_undo(Instance& instance) {
  const State& state = state_of(instance);
  undo_bodies_bytes_ -= std::exchange(instance.undo_body, {}).size();  // of the time before
  if (state.compensate->body.has_value()) {
    const Result<Json> body =
        state.compensate->body->evaluate(variables_, gid_ + "-" + instance.branch + "-compensate");
    if (!body.ok()) {
      instance.undoing = Undoing::held;
      instance.hold =
          "the Input of the compensation of " + instance.branch + ": " + std::string(body.status().message());
      return;
    }
    instance.undo_body = body->dump();
  } else {
    instance.undo_body = instance.body;
  }
  undo_bodies_bytes_ += instance.undo_body.size();
  instance.undoing = Undoing::running;
  ++undos_running_;
}

void SagaMachine::finish_undone() {
  phase_ = Phase::over;
  final_ = Verdict::aborted;
  for (const Instance& instance : instances_) {
    if (instance.undoing != Undoing::skipped) continue;
    final_ = Verdict::failed;
    reason_ += "; the compensation of " + instance.branch + " was skipped by an operator";
  }
}

}  // namespace lockstep::service::transaction::saga
