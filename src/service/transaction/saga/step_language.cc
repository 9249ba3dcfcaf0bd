// The language of steps: definition.h.
#include <algorithm>

#include "service/transaction/header_names.h"
#include "service/transaction/saga/definition.h"

namespace lockstep::service::transaction::saga {
namespace {

std::optional<std::string> wrong_header(const std::string& name, const std::string& value, Rules rules) {
  if (rules == Rules::submitted && !is_header_name(name))
    return "a header's name is letters, digits and \"-\"";
  if (is_reserved_header(name)) return "this header is set by the coordinator";
  const auto fits = [](char letter) { return (letter >= ' ' && letter < 0x7F) || letter == '\t'; };
  if (!std::ranges::all_of(value, fits)) return "a header's value is printable ASCII";
  return std::nullopt;
}

void read_headers(ObjectReader* reader, Rules rules,
                  std::vector<std::pair<std::string, std::string>>* headers) {
  const Json* given = reader->object("headers");
  if (given == nullptr) return;
  std::size_t bytes = 0;
  for (const JsonMember& member : *given->object()) {
    if (rules == Rules::stored && !may_send_stored_header(member.name)) continue;
    const std::string path = path_to(reader->path("headers"), member.name);
    if (member.value.text() == nullptr) {
      reader->problems().error(path, "a text is needed, not " + std::string(member.value.kind()));
      continue;
    }
    if (const auto wrong = wrong_header(member.name, *member.value.text(), rules); wrong.has_value())
      reader->problems().error(path, *wrong);
    bytes += member.name.size() + member.value.text()->size();
    std::erase_if(*headers, [&](const auto& header) { return header.first == member.name; });
    headers->emplace_back(member.name, *member.value.text());
  }
  if (headers->size() > saga_headers_max || bytes > saga_header_bytes_max)
    reader->problems().error(reader->path("headers"),
                             "at most " + std::to_string(saga_headers_max) + " headers of " +
                                 std::to_string(saga_header_bytes_max) + " bytes together");
}

void read_retry(ObjectReader* step, std::string_view name, Rules rules, RetryRule* rule) {
  const Json* given = step->object(name);
  if (given == nullptr) return;
  ObjectReader reader(*given, step->path(name), &step->problems());
  rule->timeout = reader.duration("timeout").value_or(rule->timeout);
  rule->interval = reader.duration("interval").value_or(rule->interval);
  rule->interval_max = reader.duration("interval_max").value_or(std::max(rule->interval_max, rule->interval));
  rule->backoff = reader.number("backoff", 1, 100).value_or(rule->backoff);
  rule->attempts_max = reader.whole("attempts_max", 0, 1'000'000).value_or(rule->attempts_max);
  rule->attempts_alarm = reader.whole("attempts_alarm", 0, 1'000'000).value_or(rule->attempts_alarm);
  if (rules == Rules::stored) rule->timeout = std::min<Duration>(rule->timeout, attempt_time_max);
  if (rule->timeout < 1ms || rule->timeout > attempt_time_max) {
    step->problems().error(reader.path("timeout"),
                           "not within 1ms to 60s: what takes longer answers 425 until it is done");
  }
  if (rule->interval_max < rule->interval)
    step->problems().error(reader.path("interval_max"), "it is less than interval");
  reader.finish("retry");
}

std::string read_url(ObjectReader* reader, std::string_view name) {
  std::string url = reader->text(name).value_or("");
  if (url.empty()) return url;
  if (const auto wrong = wrong_url(url); wrong.has_value())
    reader->problems().error(reader->path(name), *wrong);
  return url;
}

// Measured as it will be when it is sent, so that no machine meets one that cannot be.
Template read_payload(ObjectReader* reader, std::string_view name, const Json& payload) {
  Template body(payload);
  const Status fits = body.evaluate(Json(), {}).status();
  if (!fits.ok()) reader->problems().error(reader->path(name), std::string(fits.message()), fits.code());
  return body;
}

// `common` has what the step does not say itself.
State read_step(ObjectReader* reader, const Target& common, Rules rules, std::size_t number) {
  State step;
  step.action = common;
  step.path = reader->path();
  step.name = reader->text("name").value_or(std::to_string(number));
  if (const auto wrong = wrong_name(step.name); wrong.has_value())
    reader->problems().error(reader->path("name"), *wrong);
  if (!reader->has("action"))
    reader->problems().error(reader->path("action"), "is missing; \"\" means that nothing is called");
  step.action.url = read_url(reader, "action");
  const std::string undo = read_url(reader, "compensate");
  read_headers(reader, rules, &step.action.headers);
  RetryRule undo_rule = common.retry;
  undo_rule.attempts_max = 0;  // what is to be undone is never forgotten, unless the step says so itself
  read_retry(reader, "retry", rules, &step.action.retry);
  read_retry(reader, "compensate_retry", rules, &undo_rule);
  const Json* payload = reader->any("payload");
  step.action.body = read_payload(reader, "payload", payload == nullptr ? Json(Json::Object{}) : *payload);
  const Json* undo_payload = reader->any("compensate_payload");
  if (!undo.empty()) {
    Target& target = step.compensate.emplace();
    target.url = undo;
    target.headers = step.action.headers;
    target.retry = undo_rule;
    if (undo_payload != nullptr) target.body = read_payload(reader, "compensate_payload", *undo_payload);
  } else if (undo_payload != nullptr || reader->has("compensate_retry")) {
    reader->problems().error(reader->path("compensate"), "is missing, and how to call it is given");
  }
  return step;
}

std::vector<std::size_t> read_after(ObjectReader* reader, const NameIndex& names, std::size_t index) {
  const Json::Array* given = reader->array("after");
  std::vector<std::size_t> after;
  if (given == nullptr) {
    if (index > 0) after.push_back(index - 1);
    return after;
  }
  if (given->size() >= names.size() && !given->empty())
    reader->problems().error(reader->path("after"), "it names more steps than there are others");
  for (std::size_t i = 0; i < std::min(given->size(), names.size()); ++i) {
    const std::string path = path_to(reader->path("after"), i);
    const std::string* name = (*given)[i].text();
    if (name == nullptr) {
      reader->problems().error(path, "a text is needed, not " + std::string((*given)[i].kind()));
      continue;
    }
    const auto found = find_name(names, *name, "step", path, &reader->problems());
    if (!found.has_value()) continue;
    if (*found == index) {
      reader->problems().error(path, "the step waits for itself");
    } else if (std::ranges::find(after, *found) != after.end()) {
      reader->problems().error(path, "'" + *name + "' stands there twice");
    } else {
      after.push_back(*found);
    }
  }
  return after;
}

// Kahn's algorithm. What is left over is on a cycle or behind one; going back from it ends in one.
void check_acyclic(const std::vector<State>& steps, const std::string& path, Problems* problems) {
  std::vector<std::size_t> missing(steps.size());
  std::vector<std::vector<std::size_t>> followers(steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    missing[i] = steps[i].after.size();
    for (const std::size_t before : steps[i].after) followers[before].push_back(i);
  }
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (missing[i] == 0) ready.push_back(i);
  }
  for (std::size_t taken = 0; taken < ready.size(); ++taken) {
    for (const std::size_t follower : followers[ready[taken]]) {
      if (--missing[follower] == 0) ready.push_back(follower);
    }
  }
  if (ready.size() == steps.size()) return;
  std::size_t at = 0;
  while (missing[at] == 0) ++at;
  std::vector<std::size_t> walk;
  while (std::ranges::find(walk, at) == walk.end()) {
    walk.push_back(at);
    at = *std::ranges::find_if(steps[at].after, [&](std::size_t before) { return missing[before] != 0; });
  }
  std::string circle = steps[at].name;
  for (auto step = std::ranges::find(walk, at) + 1; step != walk.end(); ++step)
    circle += " after " + steps[*step].name;
  problems->error(path, "the steps wait for each other in a circle: " + circle + " after " + steps[at].name);
}

}  // namespace

void read_steps(const Json& json, const std::string& path, Rules rules, Definition* definition,
                Problems* problems) {
  ObjectReader reader(json, path, problems);
  definition->name = reader.text("name").value_or("");
  definition->time_limit = reader.duration("timeout").value_or(Duration{});
  definition->forward = reader.choice("on_failure", {"compensate", "forward"}, 0) == 1;
  definition->parallel_compensation = reader.choice("compensation", {"newest_first", "parallel"}, 0) == 1;
  Target common;
  read_headers(&reader, rules, &common.headers);
  read_retry(&reader, "retry", rules, &common.retry);
  const Json::Array* steps = reader.array("steps");
  reader.finish("a saga");
  if (steps == nullptr) return;
  if (steps->empty()) problems->error(reader.path("steps"), "a saga has at least one step");
  if (steps->size() > branches_max) {
    problems->error(reader.path("steps"),
                    "a saga has at most " + std::to_string(branches_max) + " steps, this one has " +
                        std::to_string(steps->size()),
                    Code::resource_exhausted);
    return;
  }
  std::vector<ObjectReader> readers;
  NameIndex names;
  for (std::size_t i = 0; i < steps->size(); ++i) {
    readers.emplace_back((*steps)[i], path_to(reader.path("steps"), i), problems);
    State step = read_step(&readers.back(), common, rules, i + 1);
    if (!names.emplace(step.name, i).second)
      problems->error(readers.back().path("name"), "there are two steps '" + shorten(step.name) + "'");
    definition->states.push_back(std::move(step));
  }
  for (std::size_t i = 0; i < steps->size(); ++i) {
    definition->states[i].after = read_after(&readers[i], names, i);
    readers[i].finish("a step");
  }
  if (!problems->has_errors()) check_acyclic(definition->states, reader.path("steps"), problems);
}

}  // namespace lockstep::service::transaction::saga
