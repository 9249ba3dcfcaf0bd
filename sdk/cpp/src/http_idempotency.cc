#include "lockstep/http_idempotency.h"

#include <charconv>
#include <cstdio>
#include <optional>
#include <xxhash.h>

#include "service/idempotency/idempotency.h"
#include "service/names.h"

namespace lockstep::v1 {
namespace {

// As the drafts of the header have it, and so that it fits a name with what is put before it.
constexpr std::size_t key_bytes_max = 255;
static_assert(key_bytes_max * 2 < service::name_bytes_max);
constexpr std::string_view not_kept = "-";

HttpAnswer problem(int status, const std::string& title, const std::string& code) {
  return HttpAnswer(
      status,
      R"({"title":")" + title + R"(","status":)" + std::to_string(status) + R"(,"code":")" + code + "\"}",
      "application/problem+json");
}

std::string hexadecimal(XXH128_hash_t hash) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

// Whoever collides on purpose only gets an answer of his own again.
std::string fingerprint_of(const HttpRequest& request) {
  std::string text;
  for (const std::string* part : {&request.method(), &request.target(), &request.body()}) {
    text += std::to_string(part->size()) + ":" + *part;
  }
  return hexadecimal(XXH3_128bits(text.data(), text.size()));
}

// "201 application/json\nBODY"
std::optional<HttpAnswer> decode(const std::string& stored) {
  const std::size_t space = stored.find(' ');
  const std::size_t line = stored.find('\n');
  int status = 0;
  if (space == std::string::npos || line == std::string::npos || line < space) return std::nullopt;
  const auto [end, error] = std::from_chars(stored.data(), stored.data() + space, status);
  if (error != std::errc() || end != stored.data() + space) return std::nullopt;
  const std::string content_type = stored.substr(space + 1, line - space - 1);
  if (content_type == not_kept)
    return problem(409, "done before; its answer was too large to be kept", "answer_not_kept");
  return HttpAnswer(status, stored.substr(line + 1), content_type);
}

}  // namespace

std::optional<HttpAnswer> HttpIdempotency::refuse(const HttpRequest& request) const {
  if (request.idempotency_key().size() > key_bytes_max) {
    return problem(400, "the Idempotency-Key is longer than 255 bytes", "idempotency_key_too_long");
  }
  if (required_ && request.idempotency_key().empty()) {
    return problem(400, "an Idempotency-Key is required here", "idempotency_key_required");
  }
  return std::nullopt;
}

Operation<Begun> HttpIdempotency::begin(const HttpRequest& request) const {
  const std::string& caller = request.caller();
  const std::string scope = hexadecimal(XXH3_128bits(caller.data(), caller.size()));
  return client_->idempotency(prefix_ + "/" + scope + "/" + request.idempotency_key())
      .in_progress_time(in_progress_time_)
      .begin(fingerprint_of(request));
}

std::optional<HttpAnswer> HttpIdempotency::known_answer(const Outcome<Begun>& begun) {
  if (!begun) {
    return problem(503, "whether this was asked before cannot be known now", "idempotency_unavailable")
        .header("Retry-After", "1");
  }
  switch (begun->kind()) {
    case Begun::Kind::first:
      return std::nullopt;
    case Begun::Kind::in_progress:
      return problem(409, "a request with this key is being handled", "idempotency_in_progress")
          .header("Retry-After", "1");
    case Begun::Kind::mismatch:
      return problem(422, "this key was used for another request", "idempotency_mismatch");
    case Begun::Kind::done:
      break;
  }
  std::optional<HttpAnswer> answer = decode(begun->answer());
  if (!answer.has_value()) return problem(500, "the stored answer is damaged", "idempotency_damaged");
  return answer->header("Idempotent-Replayed", "true");
}

std::string HttpIdempotency::encode(const HttpAnswer& answer) {
  std::string stored = std::to_string(answer.status()) + " " + answer.content_type() + "\n" + answer.body();
  if (stored.size() <= service::stored_answer_bytes_max) return stored;
  return std::to_string(answer.status()) + " " + std::string(not_kept) + "\n";
}

}  // namespace lockstep::v1
