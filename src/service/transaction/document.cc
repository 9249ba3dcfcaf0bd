#include "service/transaction/document.h"

#include <algorithm>
#include <set>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/text_values.h"
#include "service/transaction/header_names.h"
#include "service/transaction/keys.h"

namespace lockstep::service::transaction {
namespace {

// Ordered: a payload is sent as it was given.
using Json = nlohmann::ordered_json;

Status wrong(const std::string& place, const std::string& what) {
  return {Code::invalid_argument, "transaction: " + (place.empty() ? "the document" : place) + ": " + what};
}

// Before it is parsed: what comes after may recurse.
bool is_shallow(std::string_view text) {
  std::size_t depth = 0;
  bool in_text = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    if (in_text) {
      if (letter == '\\') ++at;
      if (letter == '"') in_text = false;
    } else if (letter == '"') {
      in_text = true;
    } else if (letter == '[' || letter == '{') {
      if (++depth > document_depth_max) return false;
    } else if ((letter == ']' || letter == '}') && depth > 0) {
      --depth;
    }
  }
  return true;
}

Result<Json> parse_json(std::string_view text) {
  if (text.size() > definition_bytes_max) {
    return Status(Code::resource_exhausted, "transaction: a document has at most 1 MiB");
  }
  if (!is_shallow(text)) return wrong("", "nested deeper than " + std::to_string(document_depth_max));
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return wrong("", "it is not JSON");
  if (!json.is_object()) return wrong("", "it is not an object");
  return json;
}

Status check_fields(const Json& object, const std::string& place, const std::vector<std::string>& known) {
  for (const auto& [name, value] : object.items()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string meant = nearest(name, known);
    return wrong(place + "/" + name.substr(0, 64),
                 meant.empty() ? "unknown" : "unknown, did you mean " + meant + "?");
  }
  return {};
}

Status read_text(const Json& object, const char* name, const std::string& place, std::string& text) {
  const auto found = object.find(name);
  if (found == object.end()) return {};
  if (!found->is_string()) return wrong(place + "/" + name, "it is not a text");
  text = found->get<std::string>();
  return {};
}

Status read_url(const Json& object, const char* name, const std::string& place, bool required,
                std::string& url) {
  LS_RETURN_IF_ERROR(read_text(object, name, place, url));
  const std::string where = place + "/" + name;
  if (url.empty()) return required ? wrong(where, "it is missing") : Status();
  const bool scheme = url.starts_with("http://") || url.starts_with("https://");
  const auto printable = [](char letter) { return letter > ' ' && letter <= '~'; };
  if (!scheme || !std::all_of(url.begin(), url.end(), printable)) {
    return wrong(where, "it is no http:// or https:// URL");
  }
  if (url.size() > url_bytes_max) return wrong(where, "it is longer than 2048 bytes");
  return {};
}

Status read_duration(const Json& object, const char* name, const std::string& place, Duration& duration) {
  const auto found = object.find(name);
  if (found == object.end()) return {};
  const std::string where = place + "/" + name;
  if (!found->is_string()) return wrong(where, "it is not a text like \"1.5s\"");
  const Result<Duration> parsed = parse_duration(found->get<std::string>());
  if (!parsed.ok()) return wrong(where, std::string(parsed.status().message()));
  if (*parsed < Duration{} || *parsed > time_limit_max) return wrong(where, "not within 0 to 366 days");
  duration = *parsed;
  return {};
}

Status read_count(const Json& object, const char* name, const std::string& place, std::int64_t& count) {
  const auto found = object.find(name);
  if (found == object.end()) return {};
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() > 1'000'000) {
    return wrong(place + "/" + name, "it is no whole number from 0 to 1000000");
  }
  count = found->get<std::int64_t>();
  return {};
}

Status read_retry(const Json& object, const std::string& place, Rules rules, RetryRule& rule) {
  const auto found = object.find("retry");
  if (found == object.end()) return {};
  const std::string where = place + "/retry";
  if (!found->is_object()) return wrong(where, "it is not an object");
  LS_RETURN_IF_ERROR(check_fields(
      *found, where, {"timeout", "interval", "backoff", "interval_max", "attempts_max", "attempts_alarm"}));
  LS_RETURN_IF_ERROR(read_duration(*found, "timeout", where, rule.timeout));
  LS_RETURN_IF_ERROR(read_duration(*found, "interval", where, rule.interval));
  LS_RETURN_IF_ERROR(read_duration(*found, "interval_max", where, rule.interval_max));
  LS_RETURN_IF_ERROR(read_count(*found, "attempts_max", where, rule.attempts_max));
  LS_RETURN_IF_ERROR(read_count(*found, "attempts_alarm", where, rule.attempts_alarm));
  if (const auto backoff = found->find("backoff"); backoff != found->end()) {
    if (!backoff->is_number()) return wrong(where + "/backoff", "it is not a number");
    rule.backoff = backoff->get<double>();
  }
  if (!(rule.backoff >= 1 && rule.backoff <= 100)) return wrong(where + "/backoff", "not within 1 to 100");
  if (rules == Rules::stored) rule.timeout = std::min<Duration>(rule.timeout, attempt_time_max);
  if (rule.timeout < 1ms || rule.timeout > attempt_time_max) {
    return wrong(where + "/timeout", "not within 1ms to 60s: what takes longer answers 425 until it is done");
  }
  if (rule.interval < 1ms) return wrong(where + "/interval", "less than 1ms");
  rule.interval_max = std::max(rule.interval_max, rule.interval);
  return {};
}

Status read_headers(const Json& object, const std::string& place, Rules rules, Headers& headers) {
  const auto found = object.find("headers");
  if (found == object.end()) return {};
  const std::string where = place + "/headers";
  if (!found->is_object()) return wrong(where, "it is not an object");
  for (const auto& [name, value] : found->items()) {
    const auto printable = [](char letter) { return letter >= ' ' && letter <= '~'; };
    if (rules == Rules::stored && !may_send_stored_header(name)) continue;
    if (rules == Rules::submitted && !is_header_name(name))
      return wrong(where, "a header's name is letters, digits and \"-\"");
    if (is_reserved_header(name)) return wrong(where + "/" + name, "the coordinator sets it");
    if (!value.is_string()) return wrong(where + "/" + name, "it is not a text");
    std::string text = value.get<std::string>();
    if (!std::all_of(text.begin(), text.end(), printable)) {
      return wrong(where + "/" + name, "it is not printable ASCII");
    }
    headers.emplace_back(name, std::move(text));
  }
  std::size_t bytes = 0;
  for (const auto& [name, value] : headers) bytes += name.size() + value.size();
  if (headers.size() > headers_max || bytes > headers_bytes_max) return wrong(where, "they are too many");
  return {};
}

Status read_payload(const Json& object, const std::string& place, std::string& payload) {
  const auto json = object.find("payload");
  if (json != object.end()) {
    if (object.contains("payload_text")) return wrong(place, "payload and payload_text exclude each other");
    payload = json->dump();
    return {};
  }
  return read_text(object, "payload_text", place, payload);
}

struct Fields {
  const char* attempt;
  const char* forward;
  const char* back;
};
Fields fields_of(Mode mode) {
  if (mode == Mode::tcc) return {"try", "confirm", "cancel"};
  if (mode == Mode::xa) return {"prepare", "commit", "rollback"};
  return {nullptr, "url", nullptr};
}

Result<Target> read_target(Mode mode, const Json& object, const std::string& place, const Document& common,
                           Rules rules) {
  if (!object.is_object()) return wrong(place, "it is not an object");
  const Fields fields = fields_of(mode);
  std::vector<std::string> known = {"id", "payload", "payload_text", "headers", "retry", fields.forward};
  if (fields.attempt != nullptr) known.insert(known.end(), {fields.attempt, fields.back});
  LS_RETURN_IF_ERROR(check_fields(object, place, known));
  Target target;
  target.retry = common.retry;
  target.headers = common.headers;
  LS_RETURN_IF_ERROR(read_text(object, "id", place, target.id));
  LS_RETURN_IF_ERROR(read_url(object, fields.forward, place, true, target.forward));
  if (fields.attempt != nullptr) {
    LS_RETURN_IF_ERROR(read_url(object, fields.attempt, place, false, target.attempt));
    LS_RETURN_IF_ERROR(read_url(object, fields.back, place, true, target.back));
  }
  LS_RETURN_IF_ERROR(read_payload(object, place, target.payload));
  LS_RETURN_IF_ERROR(read_headers(object, place, rules, target.headers));
  LS_RETURN_IF_ERROR(read_retry(object, place, rules, target.retry));
  return target;
}

Status read_targets(Mode mode, const Json& json, Rules rules, Document& document) {
  const bool two_phase = mode == Mode::tcc || mode == Mode::xa;
  const std::string name = two_phase ? "branches" : "targets";
  const std::string place = "/" + name;
  const auto found = json.find(name);
  if (found == json.end()) return two_phase ? Status() : wrong(place, "it is missing");
  if (!found->is_array()) return wrong(place, "it is not an array");
  if (found->size() > branches_max) {
    return {Code::resource_exhausted,
            "transaction: " + place + ": more than " + std::to_string(branches_max)};
  }
  if (found->empty() && !two_phase) return wrong(place, "it is empty");
  std::set<std::string> ids;
  std::size_t headers_bytes = 0;
  for (const Json& one : *found) {
    const std::string where = place + "/" + std::to_string(document.targets.size());
    Result<Target> target = read_target(mode, one, where, document, rules);
    if (!target.ok()) return target.status();
    if (target->id.empty()) target->id = std::to_string(document.targets.size() + 1);
    if (const Status good = check_branch(target->id); !good.ok()) return good;
    if (!ids.insert(target->id).second) return wrong(where, "there is another \"" + target->id + "\"");
    for (const auto& [header, value] : target->headers) headers_bytes += header.size() + value.size();
    if (headers_bytes > all_headers_bytes_max && rules == Rules::submitted) {
      return {Code::resource_exhausted,
              "transaction: " + place + ": their headers are larger than 4 MiB together"};
    }
    document.targets.push_back(*std::move(target));
  }
  return {};
}

}  // namespace

Result<Document> parse_document(Mode mode, std::string_view text, Rules rules) {
  LS_ASSIGN_OR_RETURN(const Json json, parse_json(text));
  std::vector<std::string> known = {"headers", "retry"};
  if (mode == Mode::message) {
    known.insert(known.end(), {"targets", "check", "check_after"});
  } else {
    known.insert(known.end(), {mode == Mode::notification ? "targets" : "branches", "timeout"});
  }
  LS_RETURN_IF_ERROR(check_fields(json, "", known));
  Document document;
  if (mode == Mode::notification) document.retry.attempts_max = 10;
  LS_RETURN_IF_ERROR(read_retry(json, "", rules, document.retry));
  LS_RETURN_IF_ERROR(read_headers(json, "", rules, document.headers));
  if (json.contains("timeout")) {
    LS_RETURN_IF_ERROR(read_duration(json, "timeout", "", document.timeout.emplace()));
  }
  if (json.contains("check_after")) {
    LS_RETURN_IF_ERROR(read_duration(json, "check_after", "", document.check_after.emplace()));
  }
  if (mode == Mode::message) LS_RETURN_IF_ERROR(read_url(json, "check", "", true, document.check));
  LS_RETURN_IF_ERROR(read_targets(mode, json, rules, document));
  return document;
}

Result<Target> parse_branch(Mode mode, std::string_view text, const Document& common, Rules rules) {
  LS_ASSIGN_OR_RETURN(const Json json, parse_json(text));
  LS_ASSIGN_OR_RETURN(Target target, read_target(mode, json, "", common, rules));
  LS_RETURN_IF_ERROR(check_branch(target.id));
  return target;
}

std::size_t bytes_of(const Target& target) {
  std::size_t bytes = sizeof(Target) + target.id.size() + target.attempt.size() + target.forward.size() +
                      target.back.size() + target.payload.size();
  for (const auto& [name, value] : target.headers)
    bytes += sizeof(std::string) * 2 + name.size() + value.size();
  return bytes;
}

Call call_of(const Target& target, Operation operation, const std::string& url) {
  Call call;
  call.branch = target.id;
  call.operation = operation;
  call.url = url;
  call.headers = target.headers;
  call.body = target.payload;
  call.retry = target.retry;
  return call;
}

}  // namespace lockstep::service::transaction
