#include "service/transaction/saga/problems.h"

#include <algorithm>

#include "base/text_values.h"

namespace lockstep::service::transaction::saga {
namespace {

constexpr Duration duration_max = 365 * 24h;
const Json nothing;

}  // namespace

std::string_view to_string(Severity severity) {
  constexpr std::string_view words[] = {"error", "warning", "note"};
  return words[static_cast<std::size_t>(severity)];
}

void Problems::add(Problem problem) {
  if (problem.severity == Severity::error) ++errors_;
  if (all_.size() < problems_max) all_.push_back(std::move(problem));
}

Status Problems::status() const {
  const auto first = std::ranges::find(all_, Severity::error, &Problem::severity);
  if (first == all_.end())
    return errors_ == 0 ? Status() : Status(Code::invalid_argument, "too many problems");
  std::string message = first->path.empty() ? first->message : first->path + ": " + first->message;
  if (errors_ > 1) message += " (and " + std::to_string(errors_ - 1) + " more)";
  return {first->code, message};
}

ObjectReader::ObjectReader(const Json& json, std::string path, Problems* problems)
    : json_(&json), path_(std::move(path)), problems_(problems) {
  if (json.object() != nullptr) return;
  problems->error(path_, "an object is needed, not " + std::string(json.kind()));
  json_ = &nothing;
}

void ObjectReader::finish(std::string_view what) {
  if (json_->object() == nullptr) return;
  for (const JsonMember& member : *json_->object()) {
    if (std::ranges::find(asked_, member.name) != asked_.end()) continue;
    if (problems_->errors() >= problems_max)
      return;  // nobody reads further, and looking for near names is slow
    const std::string meant = nearest(shorten(member.name), asked_);
    problems_->error(path(member.name), std::string(what) + " has no such field" +
                                            (meant.empty() ? "" : "; did you mean " + meant + "?"));
  }
}

const Json* ObjectReader::any(std::string_view name) {
  asked_.emplace_back(name);
  return json_->find(name);
}

const Json::Array* ObjectReader::array(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr) return nullptr;
  if (value->array() == nullptr)
    problems_->error(path(name), "an array is needed, not " + std::string(value->kind()));
  return value->array();
}

const Json* ObjectReader::object(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr || value->object() != nullptr) return value;
  problems_->error(path(name), "an object is needed, not " + std::string(value->kind()));
  return nullptr;
}

std::optional<std::string> ObjectReader::text(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (value->text() != nullptr) return *value->text();
  problems_->error(path(name), "a text is needed, not " + std::string(value->kind()));
  return std::nullopt;
}

std::string ObjectReader::required_text(std::string_view name) {
  if (!has(name)) problems_->error(path(name), "is missing");
  return text(name).value_or("");
}

std::optional<bool> ObjectReader::boolean(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (value->boolean() != nullptr) return *value->boolean();
  problems_->error(path(name), "true or false is needed, not " + std::string(value->kind()));
  return std::nullopt;
}

std::optional<std::int64_t> ObjectReader::whole(std::string_view name, std::int64_t low, std::int64_t high) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  const std::int64_t* number = value->whole();
  if (number != nullptr && *number >= low && *number <= high) return *number;
  problems_->error(path(name), "a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
                                   " is needed");
  return std::nullopt;
}

std::optional<double> ObjectReader::number(std::string_view name, double low, double high) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  double number = low - 1;
  if (value->whole() != nullptr) number = static_cast<double>(*value->whole());
  if (value->real() != nullptr) number = value->real()->value;
  if (number >= low && number <= high) return number;
  problems_->error(path(name), "a number from " + Json(static_cast<std::int64_t>(low)).dump() + " to " +
                                   Json(static_cast<std::int64_t>(high)).dump() + " is needed");
  return std::nullopt;
}

std::optional<Duration> ObjectReader::duration(std::string_view name) {
  const std::optional<std::string> value = text(name);
  if (!value.has_value()) return std::nullopt;
  const Result<Duration> duration = parse_duration(shorten(*value));
  if (!duration.ok()) {
    problems_->error(path(name), std::string(duration.status().message()));
  } else if (*duration <= Duration::zero() || *duration > duration_max) {
    problems_->error(path(name), "it must be more than 0 and at most 8760h");
  } else {
    return *duration;
  }
  return std::nullopt;
}

std::size_t ObjectReader::choice(std::string_view name, const std::vector<std::string>& words,
                                 std::size_t otherwise) {
  const std::optional<std::string> value = text(name);
  if (!value.has_value()) return otherwise;
  const auto found = std::ranges::find(words, *value);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + word;
  problems_->error(path(name), "'" + shorten(*value) + "' is none of " + list);
  return otherwise;
}

}  // namespace lockstep::service::transaction::saga
