#include "gateway/v1/stored_answers.h"

#include <array>
#include <charconv>
#include <utility>

#include <openssl/evp.h>

#include "base/assert.h"

namespace lockstep::gateway::v1 {
namespace {

using service::IdempotencyState;

// How long an answer is given again.
constexpr Duration keep = std::chrono::hours(24);
// Beside what the request may take: a first that is slower is forgotten.
constexpr Duration in_progress_margin = 30s;

std::string key_of(const IdempotentRequest& request) {
  return "http/" + request.key;
}

std::string digest_of(const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  LS_MUST(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

// "200 application/json\n{…}"
std::string encode(const HttpResponse& response) {
  return std::to_string(response.status) + " " + response.content_type + "\n" + response.body;
}

HttpResponse decode(std::string_view answer) {
  HttpResponse response;
  const std::size_t space = std::min(answer.find(' '), answer.size());
  const std::size_t line = std::min(answer.find('\n'), answer.size());
  const auto [end, failed] = std::from_chars(answer.data(), answer.data() + space, response.status);
  if (failed != std::errc() || space >= line)
    return to_response(make_problem("internal", "the stored answer is damaged"), {});
  response.content_type = answer.substr(space + 1, line - space - 1);
  response.body = answer.substr(std::min(line + 1, answer.size()));
  return response;
}

Idempotency::Begun refused(Problem problem) {
  return {.state = Idempotency::Begun::State::refused,
          .owner = {},
          .response = {},
          .problem = std::move(problem)};
}

}  // namespace

Task<Idempotency::Begun> StoredAnswers::begin(IdempotentRequest request, store::CallOptions options) {
  service::IdempotencyBegin begin;
  begin.key = key_of(request);
  begin.fingerprint = digest_of(request.fingerprint);
  begin.in_progress_time = request.time + in_progress_margin;
  const Result<IdempotencyState> state = co_await recipe_.begin(std::move(begin), std::move(options));
  if (!state.ok()) co_return refused(problem_of(state.status()));
  switch (state->kind) {
    case IdempotencyState::Kind::first:
      co_return Begun{.state = Begun::State::first,
                      .owner = service::to_string(state->token),
                      .response = {},
                      .problem = {}};
    case IdempotencyState::Kind::done:
      co_return Begun{
          .state = Begun::State::done, .owner = {}, .response = decode(state->answer), .problem = {}};
    case IdempotencyState::Kind::in_progress:
      co_return refused(make_problem("idempotency_in_progress", "it is not answered yet"));
    case IdempotencyState::Kind::mismatch:
      co_return refused(
          make_problem("idempotency_mismatch", "with another path or body, or by somebody else"));
  }
  LS_UNREACHABLE("all kinds have an answer");
}

Task<void> StoredAnswers::complete(IdempotentRequest request, std::string owner, HttpResponse response,
                                   store::CallOptions options) {
  const Result<service::IdempotencyToken> token = service::parse_idempotency_token(owner);
  LS_MUST(token.ok());
  std::string answer = encode(response);
  if (answer.size() > service::stored_answer_bytes_max)
    answer =
        encode(to_response(make_problem("internal", "it was done; its answer was too large to be kept"), {}));
  static_cast<void>(
      (co_await recipe_.complete(key_of(request), *token, std::move(answer), keep, std::move(options))).ok());
}

Task<void> StoredAnswers::abandon(IdempotentRequest request, std::string owner, store::CallOptions options) {
  const Result<service::IdempotencyToken> token = service::parse_idempotency_token(owner);
  LS_MUST(token.ok());
  static_cast<void>((co_await recipe_.abandon(key_of(request), *token, std::move(options))).ok());
}

}  // namespace lockstep::gateway::v1
