#include "gateway/v1/stored_answers.h"

#include <array>
#include <charconv>
#include <utility>

#include <openssl/evp.h>

#include "base/assert.h"
#include "service/names.h"
#include "service/record/record.h"
#include "service/waiting.h"

namespace lockstep::gateway::v1 {
namespace {

using service::IdempotencyState;

constexpr std::string_view answers = "lockstep/http-answers/";
// How long an answer is given again.
constexpr Duration keep = std::chrono::hours(24);
// Beside what the request may take: for taking back and keeping the answer. Whoever is slower is given up.
constexpr Duration in_progress_margin = 60s;
constexpr Duration repetition_pause = 100ms;
constexpr std::size_t user_bytes_max = 512;
static_assert(user_bytes_max + 1 + idempotency_key_bytes_max <= service::name_bytes_max);

std::string digest_of(const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  LS_MUST(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

bool may_pass(const Status& failure) {
  return failure.code() == Code::unavailable || failure.code() == Code::unknown_outcome ||
         failure.code() == Code::resource_exhausted;
}

std::string key_of(const IdempotentRequest& request) {
  std::string user = service::key_segment(request.user);
  if (user.size() > user_bytes_max) user = service::to_hexadecimal(digest_of(request.user));
  return user + "/" + request.key;
}

// An owner's first 16 digits: until when it may be at work, by the wall clock in milliseconds.
std::string draw_owner(const service::Context& context, Duration time) {
  const Duration end = context.clock.wall_now() + time;
  const auto end_ms = static_cast<std::uint64_t>(std::chrono::floor<std::chrono::milliseconds>(end).count());
  return service::to_hexadecimal(end_ms) + service::to_hexadecimal(context.random.next());
}
// How much later a lease may end (service/combiner/shared_leases.h).
Duration lease_slack(Duration time) {
  return time / 4 + 2s;
}
bool may_be_at_work(const service::Context& context, std::string_view owner, Duration slack) {
  std::uint64_t end_ms = 0;
  std::from_chars(owner.data(), owner.data() + std::min<std::size_t>(owner.size(), 16), end_ms, 16);
  const auto slack_ms =
      static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(slack).count());
  const Duration now = context.clock.wall_now();
  const auto now_ms = static_cast<std::uint64_t>(std::chrono::floor<std::chrono::milliseconds>(now).count());
  return now_ms <= end_ms || now_ms - end_ms <= slack_ms;
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

StoredAnswers::StoredAnswers(const service::Context& context)
    : context_(context), recipe_(context, std::string(answers)) {}

std::shared_ptr<AnswerKeeping> StoredAnswers::keeping(const IdempotentRequest& request,
                                                      const std::string& owner) {
  Result<service::IdempotencyToken> token = service::parse_idempotency_token(owner);
  LS_MUST(token.ok());
  auto made = std::make_shared<AnswerKeeping>();
  made->key = std::string(answers) + key_of(request);
  made->revision = token->revision;
  made->keep = keep;
  made->record = [owner = std::move(token->owner),
                  fingerprint = digest_of(request.fingerprint)](JsonText json) {
    HttpResponse response;
    response.body = std::move(json).take();
    service::IdempotencyRecord record{true, owner, fingerprint, encode(response)};
    LS_MUST(record.answer.size() <= service::stored_answer_bytes_max, "only small answers are kept so");
    return service::encode(record);
  };
  return made;
}

Task<Idempotency::Begun> StoredAnswers::begin(IdempotentRequest request, store::CallOptions options) {
  const service::Context context = context_;
  service::IdempotencyBegin begin;
  begin.key = key_of(request);
  begin.fingerprint = digest_of(request.fingerprint);
  const Duration time = request.time + in_progress_margin;
  begin.in_progress_time = request.repeatable ? time : keep;
  begin.owner = draw_owner(context, time);
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
      if (may_be_at_work(context, state->owner, request.repeatable ? lease_slack(time) : Duration{}))
        co_return refused(make_problem("idempotency_in_progress", "it is not answered yet"));
      co_return refused(make_problem("outcome_unknown", "the first request with this key left no answer"));
    case IdempotencyState::Kind::mismatch:
      co_return refused(
          make_problem("idempotency_mismatch", "with another path or body, or by somebody else"));
  }
  LS_UNREACHABLE("all kinds have an answer");
}

Task<Status> StoredAnswers::complete(IdempotentRequest request, std::string owner, HttpResponse response,
                                     store::CallOptions options) {
  const Result<service::IdempotencyToken> token = service::parse_idempotency_token(owner);
  LS_MUST(token.ok());
  const service::Context context = context_;
  service::Idempotency recipe = recipe_;
  const std::string key = key_of(request);
  std::string answer = encode(response);
  if (answer.size() > service::stored_answer_bytes_max)
    answer =
        encode(to_response(make_problem("internal", "it was done; its answer was too large to be kept"), {}));
  while (true) {
    const Status kept = co_await recipe.complete(key, *token, answer, keep, options);
    if (kept.ok() || !may_pass(kept)) co_return kept;
    const TimePoint again = context.clock.now() + repetition_pause;
    if (!(co_await service::pause_until(context, again, options)).ok()) co_return kept;
  }
}

Task<void> StoredAnswers::abandon(IdempotentRequest request, std::string owner, store::CallOptions options) {
  const Result<service::IdempotencyToken> token = service::parse_idempotency_token(owner);
  LS_MUST(token.ok());
  const service::Context context = context_;
  service::Idempotency recipe = recipe_;
  const std::string key = key_of(request);
  while (true) {
    const Status free = co_await recipe.abandon(key, *token, options);
    if (free.ok() || !may_pass(free)) co_return;
    const TimePoint again = context.clock.now() + repetition_pause;
    if (!(co_await service::pause_until(context, again, options)).ok()) co_return;
  }
}

}  // namespace lockstep::gateway::v1
