#include "service/transaction/saga/state_fields.h"

#include <algorithm>
#include <chrono>

namespace lockstep::service::transaction::saga {
namespace {

constexpr Duration interval_min = 1ms;

bool add_exception(std::string_view name, ExceptionSet* set) {
  if (const std::size_t dot = name.rfind('.'); dot != std::string_view::npos) name.remove_prefix(dot + 1);
  if (name == "Refused") return set->refused = true;
  if (name == "GaveUp") return set->gave_up = true;
  if (name == "InvalidInput") return set->no_input = true;
  for (const char* all : {"Throwable", "Exception", "RuntimeException"}) {
    if (name != all) continue;
    *set = {true, true, true};
    return true;
  }
  for (const char* network : {"ConnectException", "ConnectTimeoutException", "IOException",
                              "NetworkException", "NoRouteToHostException", "SocketException",
                              "SocketTimeoutException", "TimeoutException", "UnknownHostException"}) {
    if (name == network) return set->gave_up = true;
  }
  return false;
}

std::string unknown_exception(std::string_view name) {
  return "no HTTP call ends by '" + shorten(name) +
         "': there are Refused (409), GaveUp, InvalidInput, and java.lang.Throwable for all of them";
}

void read_status(const JsonMember& member, const std::string& path, Problems* problems, Target* target) {
  constexpr std::string_view words[] = {"SU", "FA", "UN"};
  constexpr std::string_view exception = "$Exception{";
  StatusRule rule;
  const std::string* word = member.value.text();
  const auto* const found = word == nullptr ? std::end(words) : std::ranges::find(words, *word);
  if (found == std::end(words)) {
    problems->error(path, "SU, FA or UN is needed");
  } else {
    rule.judgement = static_cast<Judgement>(found - std::begin(words));
  }
  const std::string& text = member.name;
  if (text.starts_with(exception) && text.ends_with("}")) {
    const std::string name = text.substr(exception.size(), text.size() - exception.size() - 1);
    if (!add_exception(name, &rule.exceptions)) problems->error(path, unknown_exception(name));
    if (rule.exceptions.gave_up && rule.judgement == Judgement::failure)
      problems->note(path,
                     "a call whose outcome is unknown counts as UN and is compensated, unless it only reads");
  } else {
    rule.condition = read_condition(text, path, problems);
    if (!rule.condition.has_value()) return;
  }
  target->statuses.push_back(std::move(rule));
}

}  // namespace

std::optional<Expression> read_condition(const std::string& text, const std::string& path,
                                         Problems* problems) {
  std::string_view bare = text;
  if (bare.starts_with("$.")) bare.remove_prefix(2);
  Result<Expression> condition = Expression::parse(bare);
  if (condition.ok()) return *std::move(condition);
  problems->error(path, shorten(text) + ": " + std::string(condition.status().message()));
  return std::nullopt;
}

ExceptionSet read_exceptions(ObjectReader* reader) {
  ExceptionSet set;
  if (!reader->has("Exceptions")) reader->problems().error(reader->path("Exceptions"), "is missing");
  const Json::Array* names = reader->array("Exceptions");
  for (std::size_t i = 0; names != nullptr && i < names->size(); ++i) {
    const std::string* name = (*names)[i].text();
    const std::string path = path_to(reader->path("Exceptions"), i);
    if (name == nullptr) {
      reader->problems().error(path, "a text is needed, not " + std::string((*names)[i].kind()));
    } else if (!add_exception(*name, &set)) {
      reader->problems().error(path, unknown_exception(*name));
    }
  }
  return set;
}

void read_input(ObjectReader* reader, Target* target) {
  const Json::Array* input = reader->array("Input");
  if (input == nullptr) return;
  const Json& one = input->size() == 1 ? input->front() : *reader->any("Input");
  Result<Template> body = Template::parse(one, reader->path("Input") + (input->size() == 1 ? "/0" : ""));
  if (body.ok()) {
    target->body = *std::move(body);
  } else {
    reader->problems().error(body.status());
  }
}

void read_outputs(ObjectReader* reader, State* state) {
  const Json* outputs = reader->object("Output");
  if (outputs == nullptr) return;
  if (outputs->object()->size() > saga_outputs_max) {
    reader->problems().error(reader->path("Output"),
                             "a state keeps at most " + std::to_string(saga_outputs_max) + " outputs",
                             Code::resource_exhausted);
    return;
  }
  for (const JsonMember& member : *outputs->object()) {
    Result<Template> value = Template::parse(member.value, path_to(reader->path("Output"), member.name));
    if (value.ok()) {
      state->outputs.emplace_back(member.name, *std::move(value));
    } else {
      reader->problems().error(value.status());
    }
  }
}

void read_statuses(ObjectReader* reader, Target* target) {
  const Json* statuses = reader->object("Status");
  if (statuses == nullptr) return;
  for (const JsonMember& member : *statuses->object())
    read_status(member, path_to(reader->path("Status"), member.name), &reader->problems(), target);
}

void read_retries(ObjectReader* reader, RetryRule* rule) {
  const Json::Array* rules = reader->array("Retry");
  bool is_found = false;
  for (std::size_t i = 0; rules != nullptr && i < rules->size(); ++i) {
    ObjectReader one((*rules)[i], path_to(reader->path("Retry"), i), &reader->problems());
    ExceptionSet exceptions{false, true, false};
    if (one.has("Exceptions")) exceptions = read_exceptions(&one);
    const double seconds = one.number("IntervalSeconds", 0, 86'400).value_or(1);
    const std::int64_t retries = one.whole("MaxAttempts", 0, 1'000'000).value_or(3);
    const double backoff = one.number("BackoffRate", 0, 100).value_or(1);
    one.finish("Retry");
    if (!exceptions.gave_up) {
      reader->problems().error(one.path(), "a 409 is for good and not repeated; what is repeated is GaveUp");
    } else if (is_found) {
      reader->problems().warn(
          one.path(), "only the first rule counts: an HTTP call has one kind of failure that is repeated");
    } else {
      is_found = true;
      const auto interval = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
      rule->interval = std::max(interval, interval_min);
      rule->interval_max = std::max(rule->interval_max, rule->interval);
      rule->backoff = std::max(backoff, 1.0);
      rule->attempts_max = retries + 1;
    }
  }
}

}  // namespace lockstep::service::transaction::saga
