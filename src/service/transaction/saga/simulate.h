// What a saga would do: once with everything done, and then with each step refused, and each with an outcome
// that stays unknown. The machine that runs is the one that runs in earnest; nobody is called.
//
// Answers: of tasks that are named in `answers` those; otherwise one that the task's Status takes for
// success, else none. Ways that no answer leads to are not shown.
//
// Calls that are under way at the same time stand in the same round. Bounded by simulated_calls_max, over all
// scenarios; what is left out is said. Pure. Errors: as of make_saga; invalid_argument for answers of tasks
// that there are not.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "service/transaction/machine.h"
#include "service/transaction/saga/json.h"

namespace lockstep::service::transaction::saga {

inline constexpr std::size_t simulated_calls_max = 20'000;

struct SimulatedCall {
  std::size_t round = 0;  // from 1
  std::string branch;
  Operation operation = Operation::action;
  Outcome outcome = Outcome::done;
  std::string url;
};

struct Scenario {
  std::string title;    // "everything goes well", "stock is refused"
  std::string verdict;  // committed, aborted, failed; held: an operator is needed
  std::string reason;
  std::vector<SimulatedCall> calls;
  std::vector<std::string> undone;       // in this order
  std::vector<std::string> stays;        // may have had an effect, and has no compensation
  std::vector<std::string> never_began;  // of those that began when everything went well
};

struct Simulation {
  std::string name;
  std::vector<Scenario> scenarios;
  bool complete = true;  // else the bound was met
};

// `answers`: JSON, by task.
Result<Simulation> simulate(std::string_view document, const std::map<std::string, std::string>& answers);

// A waterfall for each scenario.
std::string to_text(const Simulation& simulation);
// {"name": …, "complete": …, "scenarios": [{"title": …, "verdict": …, "reason": …, "calls": [{"round": …,
// "branch": …, "operation": …, "outcome": …, "url": …}], "undone": […], "stays": […], "never_began": […]}]}
Json to_json(const Simulation& simulation);

std::string_view to_string(Outcome outcome);

}  // namespace lockstep::service::transaction::saga
