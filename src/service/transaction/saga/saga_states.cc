// The machine of sagas, going from state to state.
#include "base/assert.h"
#include "service/transaction/saga/saga_machine.h"

namespace lockstep::service::transaction::saga {

// Goes on until something is to be waited for. A choice begins nothing, so a circle of choices is found by
// their number.
void SagaMachine::enter(std::optional<std::size_t> state) {
  std::size_t choices = 0;
  while (phase_ == Phase::running && state.has_value()) {
    const State& here = definition_.states[*state];
    switch (here.kind) {
      case StateKind::task:
        choices = 0;
        if (!start_task(*state)) {
          if (phase_ != Phase::running) return;  // given up
          state = caught(here, &ExceptionSet::no_input);
          continue;
        }
        if (!here.is_async) return;
        state = here.next;
        continue;
      case StateKind::choice:
        if (++choices > definition_.states.size()) {
          give_up("the choices lead in a circle at " + here.name);
          return;
        }
        state = choose(here);
        if (!state.has_value()) return;  // given up
        continue;
      case StateKind::fail: {
        std::string reason = here.error_code.empty() ? here.name : here.error_code;
        if (!here.message.empty()) reason += ": " + here.message;
        give_up(std::move(reason));
        return;
      }
      case StateKind::compensation_trigger: {
        std::string reason = here.name + " asked for compensation";
        if (here.next.has_value() && definition_.states[*here.next].kind == StateKind::fail) {
          const State& fail = definition_.states[*here.next];
          if (!fail.error_code.empty()) reason += ", " + fail.error_code;
          if (!fail.message.empty()) reason += ": " + fail.message;
        }
        give_up(std::move(reason));
        return;
      }
      case StateKind::succeed:
        state.reset();
        break;
    }
  }
  ended_ = true;
}

// False: its input could not be made. If nobody catches that the saga is given up.
bool SagaMachine::start_task(std::size_t state) {
  const State& here = definition_.states[state];
  // One whose input cannot be made is no instance, and its Catch may lead back to it.
  if (instances_.size() == branches_max || visits_[state] == branches_max) {
    give_up("more than " + std::to_string(branches_max) + " tasks were begun");
    return false;
  }
  Instance instance;
  instance.state = state;
  const std::size_t visit = ++visits_[state];
  instance.branch = visit == 1 ? here.name : here.name + "#" + std::to_string(visit);
  Result<Json> body = here.action.body.has_value()
                          ? here.action.body->evaluate(variables_, gid_ + "-" + instance.branch)
                          : Result<Json>(definition_.input);
  if (!body.ok()) {
    if (!caught(here, &ExceptionSet::no_input).has_value())
      give_up("the Input of " + instance.branch + ": " + std::string(body.status().message()));
    return false;
  }
  instance.body = body->dump();
  bodies_bytes_ += instance.body.size();
  if (bodies_bytes_ > saga_bodies_bytes_max) {
    give_up("what its tasks are sent is larger than " + std::to_string(saga_bodies_bytes_max) +
            " bytes together");
    return false;
  }
  begin(std::move(instance));
  return true;
}

std::optional<std::size_t> SagaMachine::choose(const State& state) {
  for (const ChoiceRule& rule : state.choices) {
    const Result<bool> holds = rule.condition.test(variables_);
    if (!holds.ok()) {
      give_up("the choice " + state.name + ": " + std::string(holds.status().message()));
      return std::nullopt;
    }
    if (*holds) return rule.next;
  }
  if (!state.next.has_value()) give_up("the choice " + state.name + " has nothing for what came");
  return state.next;
}

std::optional<std::size_t> SagaMachine::caught(const State& state, bool ExceptionSet::* kind) {
  for (const CatchRule& rule : state.catches) {
    if (rule.exceptions.*kind) return rule.next;
  }
  return std::nullopt;
}

// Where one cannot be made, those before it are kept; where there is no room, none.
bool SagaMachine::keep_outputs(const State& state, const Json& answer, std::string* why) {
  if (state.outputs.empty()) return true;
  Json kept = variables_;
  std::size_t bytes = 0;
  for (const auto& [name, output] : state.outputs) {
    Result<Json> value = output.evaluate(answer, gid_ + "-" + state.name);
    if (!value.ok()) {
      *why = "the Output " + name + " of " + state.name + ": " + std::string(value.status().message());
      break;
    }
    bytes += size_of(*value).bytes;
    if (bytes > template_bytes_max) break;
    kept.set(name, *std::move(value));
  }
  const std::size_t all = bytes > template_bytes_max ? bytes : size_of(kept).bytes;
  if (all > template_bytes_max) {
    *why = "the variables are larger than " + std::to_string(template_bytes_max) + " bytes";
    return false;
  }
  variables_ = std::move(kept);
  variables_bytes_ = all;
  return why->empty();
}

void SagaMachine::route(Instance& instance, const Judged& judged, const Json& answer) {
  const State& state = state_of(instance);
  if (state.is_async) return;
  const bool is_success = judged.judgement == Judgement::success;
  const bool is_looked_at =
      state.next.has_value() && definition_.states[*state.next].kind == StateKind::choice;
  if (judged.exception && !is_success) {
    const auto next = caught(state, judged.refused ? &ExceptionSet::refused : &ExceptionSet::gave_up);
    if (!next.has_value()) return fail(instance, judged);
    return enter(next);
  }
  if (!is_success && !is_looked_at) return fail(instance, judged);
  std::string why;
  if (!judged.exception && !keep_outputs(state, answer, &why)) return give_up(std::move(why));
  enter(state.next);
}

}  // namespace lockstep::service::transaction::saga
