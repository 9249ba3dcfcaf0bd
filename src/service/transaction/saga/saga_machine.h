// The machine of sagas. What it keeps (saga.h has the rules for compensation):
//
//   1. Everything follows from the definition, the gid and what was learned, so a journal rebuilds it.
//   2. An instance is one execution of a task. Its branch is the task's name, and "name#2" … when states are
//      passed again. Instances stand in the order in which they came to be due; they begin in that order.
//   3. running -> draining (given up; actions are under way) -> compensating -> over, never back.
//   4. An instance that never began is dropped when the saga is given up, and never compensated.
//   5. At most branches_max instances, calls_at_once_max calls, variables of template_bytes_max.
//
// Internal to this folder: others make one by make_saga.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "service/transaction/machine.h"
#include "service/transaction/saga/definition.h"

namespace lockstep::service::transaction::saga {

inline constexpr std::size_t saga_result_bytes_max = 256 * 1024;
// Of all requests of a saga of states: they are made of variables, which may be large, and kept.
inline constexpr std::size_t saga_bodies_bytes_max = 4 << 20;
static_assert(saga_bodies_bytes_max > template_bytes_max, "one request of the largest size fits");

class SagaMachine final : public Machine {
 public:
  SagaMachine(Definition definition, std::string_view gid);

  // ---- Machine
  [[nodiscard]] Status learn(const Entry& entry) override;
  [[nodiscard]] Next next() const override;
  [[nodiscard]] Duration time_limit() const override { return definition_.time_limit; }
  [[nodiscard]] std::size_t bytes() const override;
  [[nodiscard]] std::string result() const override;

  [[nodiscard]] const Definition& definition() const { return definition_; }

 private:
  enum class Phase : std::uint8_t { running, draining, compensating, over };
  enum class Doing : std::uint8_t {
    waiting,  // for its turn: calls_at_once_max are under way
    running,
    held,  // failed, and an operator is to say what now
    done,
    failed,  // without effect
    unknown,
    dropped,  // never began
  };
  enum class Undoing : std::uint8_t { none, running, held, done, skipped };
  struct Instance {
    std::size_t state = 0;
    std::string branch;
    std::string body;
    Doing doing = Doing::waiting;
    std::optional<Doing> if_given_up;  // of one that was held: what is known of it
    Undoing undoing = Undoing::none;
    std::string undo_body;
    std::string hold;  // why it is held
    int round = 0;     // how often it was held and tried again
  };
  // What an action came to.
  struct Judged {
    Judgement judgement = Judgement::success;
    bool exception = false;
    bool refused = false;  // the exception is a 409
    std::string reason;    // unless it is a success
  };

  [[nodiscard]] const State& state_of(const Instance& instance) const {
    return definition_.states[instance.state];
  }
  [[nodiscard]] Status learn_outcome(const Entry& entry);
  [[nodiscard]] Status learn_action(Instance& instance, const Entry& entry);
  [[nodiscard]] Status learn_undo(Instance& instance, const Entry& entry);
  [[nodiscard]] Status learn_timed_out();
  [[nodiscard]] Status learn_forward();
  [[nodiscard]] Status learn_compensate();

  // saga_machine.cc: what goes on.
  [[nodiscard]] Judged judge(const State& state, const Entry& entry, const Json& answer) const;
  void fail(Instance& instance, const Judged& judged);
  void give_up(std::string reason);
  void begin(Instance instance);
  void begin_waiting();
  void goes_on();

  // steps.
  void start_step(std::size_t step);
  void step_is_done(const Instance& instance, const Entry& entry);

  // states (saga_states.cc).
  void enter(std::optional<std::size_t> state);
  bool start_task(std::size_t state);
  void route(Instance& instance, const Judged& judged, const Json& answer);
  std::optional<std::size_t> choose(const State& state);
  [[nodiscard]] bool keep_outputs(const State& state, const Json& answer, std::string* why);
  [[nodiscard]] static std::optional<std::size_t> caught(const State& state, bool ExceptionSet::* kind);

  // compensation (saga_undo.cc).
  [[nodiscard]] bool needs_undo(const Instance& instance) const;
  void begin_compensation();
  void go_on_undoing();
  void undo_in_parallel();
  void undo_newest_first();
  void start_undo(Instance& instance);
  void settle(std::size_t step);
  void finish_undone();

  [[nodiscard]] Call action_call(const Instance& instance) const;
  [[nodiscard]] Call undo_call(const Instance& instance) const;

  Definition definition_;
  std::string gid_;
  Json variables_;
  Phase phase_ = Phase::running;
  Verdict final_ = Verdict::running;  // once it is over
  std::string reason_;
  bool timed_out_ = false;
  bool ended_ = false;  // states: nothing is entered any more
  std::deque<Instance> instances_;
  std::map<std::string, std::size_t, std::less<>> by_branch_;
  std::size_t actions_waiting_ = 0;
  std::size_t actions_running_ = 0;
  std::size_t actions_held_ = 0;

  // steps
  std::vector<std::vector<std::size_t>> followers_;
  std::vector<std::size_t> missing_;  // how many a step still waits for
  std::size_t steps_done_ = 0;
  std::vector<std::optional<std::size_t>> instance_of_;
  // states
  std::vector<std::size_t> visits_;
  std::size_t bodies_bytes_ = 0;  // of all instances, of either language
  std::size_t undo_bodies_bytes_ = 0;
  std::size_t variables_bytes_ = 0;
  std::size_t definition_bytes_ = 0;

  // compensation
  std::size_t undo_end_ = 0;            // newest first: those from here on are settled
  std::vector<std::size_t> unsettled_;  // parallel: followers that are not settled
  std::deque<std::size_t> undo_due_;    // parallel: steps whose turn it is
  std::size_t settled_ = 0;
  std::size_t undos_running_ = 0;
  Json outputs_{Json::Object{}};
  std::size_t outputs_bytes_ = 0;
};

}  // namespace lockstep::service::transaction::saga
