#include "service/transaction/saga/state_language.h"

#include <algorithm>

#include "base/text_values.h"
#include "service/transaction/saga/state_fields.h"

namespace lockstep::service::transaction::saga {
namespace {

constexpr std::int64_t attempts_unless_told = 8;

struct Entry {
  std::string name;
  const Json* json = nullptr;
  std::string path;
};

// What is known of a state while others are still read.
struct Reading {
  const Services* services = nullptr;
  const ReadOptions* options = nullptr;
  NameIndex names;
  Problems* problems = nullptr;
  std::vector<std::pair<std::size_t, std::string>> compensated_by;  // CompensateState, of a state
  std::vector<bool> has_retry;
  std::vector<std::string> used;
};

std::vector<Entry> list_states(ObjectReader* reader, bool* is_array) {
  std::vector<Entry> entries;
  const Json* states = reader->any("States");
  const std::string path = reader->path("States");
  *is_array = states->array() != nullptr;
  if (*is_array) {
    for (std::size_t i = 0; i < states->array()->size(); ++i) {
      const Json& state = (*states->array())[i];
      const Json* name = state.find("Name");
      const bool is_named = name != nullptr && name->text() != nullptr;
      if (!is_named) reader->problems().error(path_to(path_to(path, i), "Name"), "is missing");
      entries.push_back({is_named ? *name->text() : "", &state, path_to(path, i)});
    }
  } else if (states->object() != nullptr) {
    for (const JsonMember& member : *states->object())
      entries.push_back({member.name, &member.value, path_to(path, member.name)});
  } else {
    reader->problems().error(path,
                             "a map or an array of states is needed, not " + std::string(states->kind()));
  }
  if (entries.empty()) reader->problems().error(path, "a saga has at least one state");
  return entries;
}

std::optional<std::size_t> read_next(ObjectReader* reader, std::string_view field, const Reading& reading) {
  const std::optional<std::string> name = reader->text(field);
  if (!name.has_value()) return std::nullopt;
  return find_name(reading.names, *name, "state", reader->path(field), reading.problems);
}

// URL/METHOD of a service of the table.
std::string read_service(ObjectReader* reader, const std::string& service, const std::string& method,
                         std::string_view method_field, Reading* reading) {
  std::string bare = method;
  while (bare.starts_with("/")) bare.erase(0, 1);
  if (bare.empty()) {
    reading->problems->error(reader->path(method_field), "the name of a method is needed");
    return {};
  }
  const bool is_told = std::ranges::find(reading->used, service) != reading->used.end();
  reading->used.push_back(service);
  const auto found =
      std::ranges::find(*reading->services, service, &std::pair<std::string, std::string>::first);
  if (found == reading->services->end()) {
    const std::string message = "there is no service '" + shorten(service) + "' in the table \"services\"";
    if (is_told) return "service:" + service + "/" + bare;
    if (reading->options->any_service && reading->services->empty()) {
      reading->problems->note(reader->path("ServiceName"), message + "; the submit must bring it");
    } else {
      reading->problems->error(reader->path("ServiceName"), message);
    }
    return "service:" + service + "/" + bare;
  }
  std::string url = found->second;
  while (url.ends_with("/")) url.pop_back();
  url += "/" + bare;
  if (const auto wrong = wrong_url(url); wrong.has_value())
    reading->problems->error(reader->path(method_field), *wrong);
  return url;
}

void read_service_type(ObjectReader* reader) {
  const std::optional<std::string> type = reader->text("ServiceType");
  if (!type.has_value()) return;
  for (const char* ours : {"http", "HTTP", "rest", "REST", "SpringBean", "springBean"}) {
    if (*type == ours) return;
  }
  reader->problems().error(
      reader->path("ServiceType"),
      "'" + shorten(*type) + "' is not called: services are called over HTTP; leave it out, or http");
}

void ignore_persistence(ObjectReader* reader) {
  for (const char* field : {"IsPersist", "IsRetryPersistModeUpdate", "IsCompensatePersistModeUpdate"}) {
    if (reader->boolean(field) == std::optional(false) && std::string_view(field) == "IsPersist")
      reader->problems().note(reader->path(field), "everything is kept, whatever this says");
  }
}

void read_task(ObjectReader* reader, std::size_t index, Reading* reading, State* state) {
  const std::string service = reader->required_text("ServiceName");
  const std::string method = reader->required_text("ServiceMethod");
  if (!service.empty() && !method.empty())
    state->action.url = read_service(reader, service, method, "ServiceMethod", reading);
  read_service_type(reader);
  static_cast<void>(reader->array("ParameterTypes"));
  static_cast<void>(reader->boolean("IsForCompensation"));
  ignore_persistence(reader);
  state->is_update = reader->boolean("IsForUpdate").value_or(false);
  state->is_async = reader->boolean("IsAsync").value_or(false);
  read_input(reader, &state->action);
  read_outputs(reader, state);
  read_statuses(reader, &state->action);
  state->action.retry.attempts_max = attempts_unless_told;
  reading->has_retry[index] = reader->has("Retry");
  read_retries(reader, &state->action.retry);
  const Json::Array* catches = reader->array("Catch");
  for (std::size_t i = 0; catches != nullptr && i < catches->size(); ++i) {
    ObjectReader one((*catches)[i], path_to(reader->path("Catch"), i), reading->problems);
    CatchRule rule;
    rule.exceptions = read_exceptions(&one);
    if (!one.has("Next")) reading->problems->error(one.path("Next"), "is missing");
    rule.next = read_next(&one, "Next", *reading).value_or(0);
    one.finish("Catch");
    state->catches.push_back(rule);
  }
  if (reader->any("Loop") != nullptr)
    reading->problems->error(reader->path("Loop"),
                             "loops are not run; name the tasks, or let the service loop");
  const std::optional<std::string> method_undoing = reader->text("CompensateMethod");
  const std::optional<std::string> state_undoing = reader->text("CompensateState");
  if (state_undoing.has_value()) reading->compensated_by.emplace_back(index, *state_undoing);
  if (!method_undoing.has_value()) return;
  if (state_undoing.has_value())
    reading->problems->error(reader->path("CompensateMethod"), "there is a CompensateState as well");
  Target& target = state->compensate.emplace();
  target.url = read_service(reader, service, *method_undoing, "CompensateMethod", reading);
  state->is_update = true;
}

void read_choice(ObjectReader* reader, const Reading& reading, State* state) {
  const Json::Array* choices = reader->array("Choices");
  if (choices == nullptr || choices->empty())
    reading.problems->error(reader->path("Choices"), "a choice has at least one condition");
  for (std::size_t i = 0; choices != nullptr && i < choices->size(); ++i) {
    ObjectReader one((*choices)[i], path_to(reader->path("Choices"), i), reading.problems);
    std::string text = one.required_text("Expression");
    if (!one.has("Next")) reading.problems->error(one.path("Next"), "is missing");
    const auto next = read_next(&one, "Next", reading);
    one.finish("a condition");
    std::optional<Expression> condition = read_condition(text, one.path("Expression"), reading.problems);
    if (condition.has_value()) state->choices.push_back({*std::move(condition), next.value_or(0)});
  }
  state->next = read_next(reader, "Default", reading);
  if (!state->next.has_value())
    reading.problems->warn(reader->path("Default"),
                           "is missing: if no condition holds, everything is undone");
}

// False: the state is of a kind that is not run, which was said.
bool read_kind(ObjectReader* reader, State* state) {
  const std::string type = reader->required_text("Type");
  constexpr std::pair<std::string_view, StateKind> kinds[] = {
      {"ServiceTask", StateKind::task},
      {"Choice", StateKind::choice},
      {"Succeed", StateKind::succeed},
      {"Fail", StateKind::fail},
      {"CompensationTrigger", StateKind::compensation_trigger}};
  for (const auto& [name, kind] : kinds) {
    state->kind = kind;
    if (type == name) return true;
  }
  std::string why = "there is no type '" + shorten(type) + "'";
  if (type == "ScriptTask") {
    why =
        "scripts are not run: no code comes with a definition; compute in a service, or in Input and Output";
  } else if (type == "SubStateMachine" || type == "CompensateSubMachine") {
    why = "state machines do not contain others here; write its states into this one";
  } else if (type.empty()) {
    return false;
  } else {
    std::vector<std::string> known;
    for (const auto& [name, kind] : kinds) known.emplace_back(name);
    const std::string meant = nearest(shorten(type), known);
    if (!meant.empty()) why += "; did you mean " + meant + "?";
  }
  reader->problems().error(reader->path("Type"), why);
  return false;
}

State read_state(const Entry& entry, std::size_t index, bool is_array, Reading* reading) {
  State state;
  state.name = entry.name;
  state.path = entry.path;
  if (const auto wrong = wrong_name(entry.name); wrong.has_value())
    reading->problems->error(entry.path, *wrong);
  ObjectReader reader(*entry.json, entry.path, reading->problems);
  if (is_array) static_cast<void>(reader.text("Name"));
  if (!read_kind(&reader, &state)) return state;
  static_cast<void>(reader.text("Comment"));
  static_cast<void>(reader.any("Extensions"));
  switch (state.kind) {
    case StateKind::task:
      read_task(&reader, index, reading, &state);
      state.next = read_next(&reader, "Next", *reading);
      break;
    case StateKind::choice:
      read_choice(&reader, *reading, &state);
      break;
    case StateKind::compensation_trigger:
      state.next = read_next(&reader, "Next", *reading);
      break;
    case StateKind::fail:
      state.error_code = reader.text("ErrorCode").value_or("");
      state.message = reader.text("Message").value_or("");
      break;
    case StateKind::succeed:
      break;
  }
  reader.finish("a state of type " + *entry.json->find("Type")->text());
  return state;
}

void join_compensations(const Reading& reading, Definition* definition) {
  for (const auto& [index, name] : reading.compensated_by) {
    State& state = definition->states[index];
    const std::string path = path_to(state.path, "CompensateState");
    const auto found = find_name(reading.names, name, "state", path, reading.problems);
    if (!found.has_value()) continue;
    State& undoing = definition->states[*found];
    if (undoing.kind != StateKind::task) {
      reading.problems->error(path, "'" + shorten(name) + "' is no ServiceTask");
      continue;
    }
    undoing.is_compensation = true;
    Target target = undoing.action;
    if (!reading.has_retry[*found])
      target.retry.attempts_max = 0;  // never forgotten, unless it says so itself
    state.compensate = std::move(target);
    state.is_update = true;
  }
}

// Circles without a choice never end; what follows compensation is not run.
void check_ways(const Definition& definition, Problems* problems) {
  std::vector<std::size_t> seen(definition.states.size(), 0);
  for (std::size_t i = 0; i < definition.states.size(); ++i) {
    const State& state = definition.states[i];
    if (state.kind == StateKind::compensation_trigger && state.next.has_value()) {
      const StateKind kind = definition.states[*state.next].kind;
      if (kind != StateKind::fail && kind != StateKind::succeed)
        problems->error(path_to(state.path, "Next"), "after compensation there is only Fail or Succeed");
    }
    std::optional<std::size_t> at = i;
    while (at.has_value() && seen[*at] == 0 && definition.states[*at].kind == StateKind::task) {
      seen[*at] = i + 1;
      at = definition.states[*at].next;
    }
    if (at.has_value() && seen[*at] == i + 1)
      problems->error(path_to(definition.states[*at].path, "Next"),
                      "from here the states go round without a choice, and never end");
  }
}

}  // namespace

void read_states(const Json& json, const std::string& path, const Services& services,
                 const ReadOptions& options, Definition* definition, Problems* problems) {
  ObjectReader reader(json, path, problems);
  definition->name = reader.text("Name").value_or("");
  for (const char* field : {"Comment", "Version"}) static_cast<void>(reader.text(field));
  static_cast<void>(reader.any("Extensions"));
  definition->forward = reader.choice("RecoverStrategy", {"Compensate", "Forward"}, 0) == 1;
  ignore_persistence(&reader);
  bool is_array = false;
  const std::vector<Entry> entries = list_states(&reader, &is_array);
  if (entries.size() > branches_max) {
    problems->error(reader.path("States"),
                    "a saga has at most " + std::to_string(branches_max) + " states, this one has " +
                        std::to_string(entries.size()),
                    Code::resource_exhausted);
    return;
  }
  Reading reading;
  reading.services = &services;
  reading.options = &options;
  reading.problems = problems;
  reading.has_retry.resize(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (!reading.names.emplace(entries[i].name, i).second)
      problems->error(path_to(entries[i].path, "Name"),
                      "there are two states '" + shorten(entries[i].name) + "'");
  }
  for (std::size_t i = 0; i < entries.size(); ++i)
    definition->states.push_back(read_state(entries[i], i, is_array, &reading));
  if (!is_array && !reader.has("StartState")) problems->error(reader.path("StartState"), "is missing");
  definition->start = read_next(&reader, "StartState", reading).value_or(0);
  reader.finish("a state machine");
  join_compensations(reading, definition);
  for (const auto& [service, url] : services) {
    if (std::ranges::find(reading.used, service) == reading.used.end())
      problems->note("/services/" + shorten(service), "is not called");
  }
  if (!problems->has_errors()) check_ways(*definition, problems);
}

}  // namespace lockstep::service::transaction::saga
