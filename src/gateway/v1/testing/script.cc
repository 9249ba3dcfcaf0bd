#include "gateway/v1/testing/script.h"

#include <algorithm>
#include <regex>
#include <utility>

#include "base/assert.h"
#include "base/text_values.h"
#include "gateway/v1/stored_answers.h"

namespace lockstep::gateway::v1::testing {
namespace {

std::pair<std::string, std::string> split(const std::string& text, const std::string& at = " ") {
  const std::size_t found = text.find(at);
  if (found == std::string::npos) return {text, ""};
  return {text.substr(0, found), text.substr(found + at.size())};
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// {"type":…,"detail":"the lock is held","code":"lock_held",…} as "lock_held (retryable): the lock is held"
std::string shorter(const std::string& text) {
  static const std::regex problem(
      R"regex(\{"type":"[^"]*","title":"[^"]*","status":[0-9]+,"detail":("(?:[^"\\]|\\.)*"),"code":"([a-z_]+)",)regex"
      R"regex("retryable":(true|false)(?:,"retry_after_ms":[0-9]+)?(?:,"pointer":"[^"]*")?,?(?:"request_id":"[^"]*")?\})regex");
  std::smatch parts;
  if (!std::regex_search(text, parts, problem)) return text;
  const std::string retryable = parts[3] == "true" ? " (retryable)" : "";
  return std::string(parts.prefix()) + std::string(parts[2]) + retryable + ": " + std::string(parts[1]) +
         std::string(parts.suffix());
}

}  // namespace

Script::Script()
    : recipes_({world_.store, world_.strand, world_.strand, numbers_}),
      v1_(world_.security, world_.strand, world_.strand, numbers_, {}) {
  recipes_.services = {{"payment", "http://payment/"}, {"unused", "http://unused/"}};
  recipes_.callouts = &callouts_;
  v1_.add(recipes_.routes());
  v1_.set_idempotency(std::make_unique<StoredAnswers>(recipes_.context));
  v1_.register_with(router_);
  // Not 1970: what counts from the epoch should look like it.
  world_.strand.advance(1000s);
  world_.strand.run();
}

// As a server stops.
Script::~Script() {
  bool drained = false;
  v1_.drain(no_deadline, [&] { drained = true; });
  world_.strand.run();
  LS_MUST(drained, "nothing waits once the server closes");
}

std::string Script::run(const std::string& line) {
  const auto [word, rest] = split(line);
  if (word == "sleep") {
    const Result<Duration> time = parse_duration(rest);
    LS_MUST(time.ok());
    // In small steps, so that what one timer brings can set another.
    constexpr Duration step = 50ms;
    for (Duration left = *time; left > Duration::zero(); left -= step) {
      world_.strand.advance(std::min(left, step));
      world_.strand.run();
    }
    return settle();
  }
  if (word == "kv") return store_contents();
  if (word == "open") {
    const auto [name, request_line] = split(rest);
    return request(name, request_line);
  }
  if (rest == "leave") {
    const auto found = std::ranges::find(open_, word, &Open::name);
    LS_MUST(found != open_.end());
    found->responder->leave();
    open_.erase(found);
    world_.strand.run();
    return settle();
  }
  return request("", line);
}

std::string Script::request(std::string name, std::string line) {
  HttpRequest request;
  while (line.starts_with("with ")) {
    const auto [field, rest] = split(line.substr(5), "; ");
    const auto [field_name, value] = split(field, ": ");
    request.fields.push_back({lower(field_name), value});
    line = rest;
  }
  const auto [method, rest] = split(without_names(line));
  const auto [target, body] = split(rest);
  request.method = method;
  std::tie(request.path, request.query) = split(target, "?");
  request.body = body;
  auto responder = std::make_shared<gateway::testing::FakeResponder>();
  const HttpRouter::Found found = router_.find(request.method, request.path);
  if (found.handler != nullptr) {
    (*found.handler)(responder, request);
  } else {
    responder->respond(router_.refuse(request.path, found.allow.empty() ? 404 : 405, "no such route"));
  }
  open_.push_back({std::move(name), std::move(responder)});
  world_.strand.run();
  return settle();
}

// Everything that came since the last time.
std::string Script::settle() {
  std::string printed;
  for (Open& open : open_) printed += tell(&open);
  std::erase_if(open_, [](const Open& open) { return open.responder->ended(); });
  return printed;
}

std::string Script::tell(Open* open) {
  if (open->responder->status == 0) return {};
  const std::string prefix = open->name.empty() ? "" : open->name + ": ";
  std::string body = open->responder->body.substr(open->printed);
  open->printed = open->responder->body.size();
  std::string text;
  if (!std::exchange(open->told, true)) text = std::to_string(open->responder->status) + " ";
  if (text.empty() && body.empty()) return {};
  for (const HttpField& field : open->responder->fields) {
    if (field.name == "Idempotency-Replayed") text += "(replayed) ";
  }
  // An event on a line.
  body = std::regex_replace(body, std::regex("\n\n"), " | ");
  body = std::regex_replace(body, std::regex("\n"), ", ");
  return with_names(prefix + text + shorter(body)) + "\n";
}

std::string Script::store_contents() {
  store::RangeRequest everything;
  everything.key = std::string("\0", 1);
  everything.range_end = everything.key;
  std::string text;
  world_.store.range(everything, {}, [&](const Result<store::RangeResponse>& read) {
    LS_MUST(read.ok());
    for (const store::KeyValue& kv : read->kvs) {
      JsonText json;
      json.bytes("key", kv.key).bytes("value", kv.value);
      text += std::move(json).take() + (kv.lease == LeaseId() ? "\n" : " leased\n");
    }
  });
  world_.strand.run();
  static const std::regex attempt(R"regex(,\\"attempt\\":\\"[0-9a-f]*\\")regex");
  return with_names(std::regex_replace(text, attempt, ""));
}

// Lease ids are random: long hexadecimal numbers.
std::string Script::with_names(std::string text) {
  static const std::regex session(R"regex("session":"([0-9a-f]+)")regex");
  for (std::sregex_iterator match(text.begin(), text.end(), session), end; match != end; ++match) {
    const std::string id = (*match)[1];
    if (std::ranges::find(sessions_, id) == sessions_.end()) sessions_.push_back(id);
  }
  for (std::size_t i = sessions_.size(); i-- > 0;) {
    const std::regex id("\\b" + sessions_[i] + "\\b");
    text = std::regex_replace(text, id, "#" + std::to_string(i + 1));
  }
  return text;
}

std::string Script::without_names(std::string text) const {
  for (std::size_t i = sessions_.size(); i-- > 0;) {
    text = std::regex_replace(text, std::regex("#" + std::to_string(i + 1) + "\\b"), sessions_[i]);
  }
  return text;
}

}  // namespace lockstep::gateway::v1::testing
