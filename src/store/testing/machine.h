// A state machine driven by hand: entries of one or many commands, answers as values.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "store/command.h"
#include "store/result.h"
#include "store/state_machine.h"

namespace lockstep::store::testing {

class Answers final : public ResultSink {
 public:
  void on_result(std::size_t position, CommandResult result) override;
  std::vector<CommandResult> results;
};

// Everything a snapshot holds.
struct Rows {
  std::vector<std::pair<std::string, std::string>> meta;
  std::vector<std::pair<std::string, std::string>> current;
  std::vector<std::string> history;
  std::vector<std::pair<std::string, std::string>> pinned;
};
Rows dump(StateMachine& machine);
// Rows of each kind in the order they have.
Status restore(const Rows& rows, StateMachine* machine);

class Machine {
 public:
  explicit Machine(StateMachineOptions options = {}, ColdHistory* cold = nullptr)
      : machine_(std::make_unique<StateMachine>(options, cold)), options_(options) {}

  StateMachine& operator*() { return *machine_; }
  StateMachine* operator->() { return machine_.get(); }

  // One entry at store time `time_ms` (kept for later ones) with the commands that `fill` adds.
  std::vector<CommandResult> entry(const std::function<void(BatchBuilder&)>& fill);
  // The same with one command.
  CommandResult one(const std::function<bool(BatchBuilder&)>& add);
  template <class Request>
  CommandResult put(const Request& request, const RequestId& id = {}) {
    return one([&](BatchBuilder& batch) { return batch.put(request, id); });
  }
  Applied apply(std::string_view payload, ResultSink* sink);
  // The rows into a new state machine, which takes over.
  void restart();

  std::int64_t time_ms = 1000;
  Term term{1};
  Applied last;  // of the newest entry

 private:
  std::unique_ptr<StateMachine> machine_;
  StateMachineOptions options_;
};

}  // namespace lockstep::store::testing
