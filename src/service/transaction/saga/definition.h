// A saga as it is run, whatever language it was written in, and the reading of both.
//
// Of steps (docs/transactions/sagas.md):
//   {"name": "order", "timeout": "10m", "on_failure": "compensate" | "forward",
//    "compensation": "newest_first" | "parallel", "headers": {"Tenant": "a"},
//    "retry": {"timeout": "3s", "interval": "1s", "interval_max": "60s", "backoff": 2, "attempts_max": 0,
//              "attempts_alarm": 8},
//    "steps": [{"name": "stock", "action": "http://stock/reserve", "compensate": "http://stock/release",
//               "payload": {"item": 7}, "compensate_payload": {...}, "headers": {...}, "retry": {...},
//               "compensate_retry": {...}, "after": ["other"]}]}
// What a step does not say about headers and retry is as at the top; only attempts_max is 0 for compensations
// unless compensate_retry has it.
// A step without `after` follows the one before it; [] means at once.
//
// Of states (Seata's language): state_language.h.
//
// Pure. A Definition that was read without errors is runnable: indices are valid, names unique and fit for
// headers, addresses absolute, graphs without cycles, everything within the limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "service/transaction/machine.h"
#include "service/transaction/saga/expression.h"
#include "service/transaction/saga/json.h"
#include "service/transaction/saga/problems.h"
#include "service/transaction/saga/template.h"

namespace lockstep::service::transaction::saga {

inline constexpr std::size_t saga_name_bytes_max =
    64;  // a branch is one name, a gid and an operation a header
inline constexpr std::size_t saga_url_bytes_max = 2048;
inline constexpr std::size_t saga_headers_max = 32;
inline constexpr std::size_t saga_outputs_max = 64;  // of one state: each is made whenever it is replayed
inline constexpr std::size_t saga_header_bytes_max = 4096;

// How a call ended, as Catch and Status can tell it apart.
struct ExceptionSet {
  bool refused = false;   // 409
  bool gave_up = false;   // attempts were used up, the outcome is unknown
  bool no_input = false;  // what to send could not be made: nothing was sent
};

enum class Judgement : std::uint8_t { success, failure, unknown };  // Seata's SU, FA, UN

struct StatusRule {
  std::optional<Expression> condition;  // over the answer; without one, of `exceptions`
  ExceptionSet exceptions;
  Judgement judgement = Judgement::success;
};

struct CatchRule {
  ExceptionSet exceptions;
  std::size_t next = 0;
};

struct ChoiceRule {
  Expression condition;
  std::size_t next = 0;
};

// Whom to call, and with what.
struct Target {
  std::string url;  // empty: nobody
  std::vector<std::pair<std::string, std::string>> headers;
  RetryRule retry;
  std::optional<Template> body;  // without one: of an action the input, of a compensation the action's body
  std::vector<StatusRule> statuses;
};

enum class StateKind : std::uint8_t { task, choice, compensation_trigger, succeed, fail };

struct State {
  std::string name;
  std::string path;  // in the document
  StateKind kind = StateKind::task;
  // Of tasks.
  Target action;
  std::optional<Target> compensate;
  bool is_update = true;           // an unknown judgement, rather than a failure, if none is given
  bool is_compensation = false;    // a state's CompensateState
  bool is_async = false;           // nobody waits for it before the end
  std::vector<std::size_t> after;  // of steps
  std::vector<std::pair<std::string, Template>> outputs;  // variables, from the answer
  std::vector<CatchRule> catches;
  // Of choices.
  std::vector<ChoiceRule> choices;
  // Of states: where it goes on; of choices: if no condition holds. Nothing: the end.
  std::optional<std::size_t> next;
  // Of fail.
  std::string error_code;
  std::string message;
};

enum class SagaLanguage : std::uint8_t { steps, states };

struct Definition {
  SagaLanguage language = SagaLanguage::steps;
  std::string name;
  Duration time_limit{};  // 0: none
  bool forward = false;   // a failure waits for an operator instead of being undone
  bool parallel_compensation = false;
  std::vector<State> states;  // steps in the order in which they were written
  std::size_t start = 0;
  Json input{Json::Object{}};  // what states begin with
};

struct ReadOptions {
  // Without a table, services are a note, and are called by "service:NAME/METHOD": for looking only.
  bool any_service = false;
  Rules rules = Rules::submitted;
};

// Nothing if there are errors. Warnings and notes are found as well.
std::optional<Definition> read_definition(std::string_view document, const ReadOptions& options,
                                          Problems* problems);

// ---- for the languages' readers

using Services = std::vector<std::pair<std::string, std::string>>;

void read_steps(const Json& json, const std::string& path, Rules rules, Definition* definition,
                Problems* problems);

// 1 to saga_name_bytes_max letters, digits and _ - . : — else the problem.
std::optional<std::string> wrong_name(std::string_view name);
// http://host… or https://host…, without spaces, credentials and fragments — else the problem.
std::optional<std::string> wrong_url(std::string_view url);
using NameIndex = std::map<std::string, std::size_t, std::less<>>;
// A problem with a suggestion if there is none of that name.
std::optional<std::size_t> find_name(const NameIndex& names, const std::string& name, std::string_view what,
                                     const std::string& path, Problems* problems);

}  // namespace lockstep::service::transaction::saga
