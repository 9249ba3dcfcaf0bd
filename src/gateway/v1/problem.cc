#include "gateway/v1/problem.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "gateway/v1/json_text.h"
#include "service/barrier/barriers.h"
#include "service/counter/counter.h"
#include "service/election/elections.h"
#include "service/idempotency/idempotency.h"
#include "service/latch/latches.h"
#include "service/limiter/limiter.h"
#include "service/line.h"
#include "service/lock/locks.h"
#include "service/semaphore/semaphores.h"
#include "service/session/session.h"
#include "service/simple/simple_lock.h"
#include "service/timer/timers.h"
#include "service/topic/topics.h"
#include "service/transaction/transactions.h"
#include "store/errors.h"

namespace lockstep::gateway::v1 {
namespace {

constexpr int milliseconds_per_second = 1000;

constexpr std::string_view not_holder = "The lock is not held by whoever asks";
constexpr std::string_view mode_conflict = "The session would wait for itself";
constexpr std::string_view decided_otherwise = "The decision was the other one";
constexpr std::string_view session_over = "The session is over";

// Several errors may have one code; its first line is the code's own.
constexpr std::array kinds = {
    // Of the request.
    ProblemKind{"invalid_request", 400, false, "The request is not what this path takes"},
    ProblemKind{"unauthenticated", 401, false, "Who asks is not known"},
    ProblemKind{"unauthenticated", 401, false, "Who asks is not known", store::errors::user_name_empty},
    ProblemKind{"permission_denied", 403, false, "Who asks may not do that"},
    ProblemKind{"not_found", 404, false, "What the request names does not exist"},
    ProblemKind{"no_such_path", 404, false, "There is no such path"},
    ProblemKind{"method_not_allowed", 405, false, "This path does not take that method"},
    ProblemKind{"request_timeout", 408, true, "The request took too long to arrive"},
    ProblemKind{"already_exists", 409, false, "What the request makes exists already"},
    ProblemKind{"conflict", 409, false, "Not in the present state"},
    ProblemKind{"content_too_large", 413, false, "The body is too large"},
    ProblemKind{"unsupported_media_type", 415, false, "The body must be application/json"},
    ProblemKind{"misdirected_request", 421, false, "This server does not answer to that name"},
    ProblemKind{"out_of_range", 400, false, "A number is out of the range that exists"},
    ProblemKind{"idempotency_in_progress", 409, true,
                "The first request with this Idempotency-Key is running"},
    ProblemKind{"idempotency_mismatch", 422, false, "This Idempotency-Key was used for another request"},
    // Of the recipes.
    ProblemKind{"lock_held", 409, true, "Somebody else holds the lock", service::errors::simple_lock_held},
    ProblemKind{"lock_held", 409, true, "Somebody else holds the lock", service::errors::lock_held},
    ProblemKind{"not_holder", 409, false, not_holder, service::errors::simple_lock_not_held},
    ProblemKind{"not_holder", 409, false, not_holder, service::errors::not_holder},
    ProblemKind{"stale_token", 409, false, "The token is over: somebody held it since",
                service::errors::stale_token},
    ProblemKind{"lock_count_differs", 409, false, "The lock is held more or less often",
                service::errors::lock_count_differs},
    ProblemKind{"place_lost", 409, true, "The place in line was taken away", service::errors::place_lost},
    ProblemKind{"lock_mode_conflict", 409, false, mode_conflict, service::errors::lock_mode_conflict},
    ProblemKind{"lock_mode_conflict", 409, false, mode_conflict, service::errors::session_in_conflict},
    ProblemKind{"foreign_key", 409, false, "A key under the name belongs to no session",
                service::errors::foreign_key},
    ProblemKind{"session_not_found", 404, false, "There is no such session",
                service::errors::session_not_found},
    ProblemKind{"session_lost", 409, false, session_over, service::errors::session_lost},
    ProblemKind{"session_lost", 409, false, session_over, service::errors::session_closed},
    ProblemKind{"session_lost", 409, false, session_over, service::errors::session_life_over},
    ProblemKind{"no_permit_free", 409, true, "All permits are held", service::errors::no_permit_free},
    ProblemKind{"permits_differ", 409, false, "The semaphore has another number of permits",
                service::errors::permits_differ},
    ProblemKind{"semaphore_in_use", 409, false, "Somebody holds or awaits a permit",
                service::errors::semaphore_in_use},
    ProblemKind{"not_the_first", 409, false, "The time of this first is over",
                service::errors::not_the_first},
    ProblemKind{"already_completed", 409, false, "It was completed with another answer",
                service::errors::already_completed},
    ProblemKind{"somebody_leads", 409, true, "Somebody else leads", service::errors::somebody_leads},
    ProblemKind{"not_leader", 409, false, "The leadership is over", service::errors::not_leader},
    ProblemKind{"no_leader", 404, false, "Nobody leads", service::errors::no_leader},
    ProblemKind{"not_yet", 409, true, "Others have not come yet"},
    ProblemKind{"latch_not_found", 404, false, "There is no such latch", service::errors::latch_not_found},
    ProblemKind{"latch_differs", 409, false, "The latch waits for another number",
                service::errors::latch_differs},
    ProblemKind{"barrier_differs", 409, false, "The barrier has another number of parties",
                service::errors::barrier_differs},
    ProblemKind{"barrier_not_entered", 409, false, "The session is no party of that generation",
                service::errors::barrier_not_entered},
    ProblemKind{"barrier_in_use", 409, false, "Somebody waits at the barrier",
                service::errors::barrier_in_use},
    ProblemKind{"topic_not_found", 404, false, "There is no such topic", service::errors::topic_not_found},
    ProblemKind{"topic_differs", 409, false, "The topic has another configuration",
                service::errors::topic_exists},
    ProblemKind{"claim_lost", 409, false, "The claim is over", service::errors::claim_lost},
    ProblemKind{"dead_letter_not_found", 404, false, "There is no such dead letter",
                service::errors::dead_letter_not_found},
    ProblemKind{"timer_exists", 409, false, "There is a timer of that name", service::errors::timer_exists},
    ProblemKind{"timer_target_missing", 409, false, "The queue's timers are sent",
                service::errors::timer_target_missing},
    ProblemKind{"timer_queue_claimed", 409, false, "The queue's timers are claimed",
                service::errors::timer_queue_claimed},
    ProblemKind{"timer_not_found", 404, false, "There is no such timer", service::errors::timer_not_found},
    ProblemKind{"delivery_lost", 409, false, "The delivery is over", service::errors::delivery_lost},
    ProblemKind{"transaction_not_found", 404, false, "There is no such transaction",
                service::transaction::errors::transaction_not_found},
    ProblemKind{"transaction_exists", 409, false, "Another transaction has that gid",
                service::transaction::errors::transaction_exists},
    ProblemKind{"transaction_finished", 409, false, "The transaction is finished",
                service::transaction::errors::transaction_finished},
    ProblemKind{"transaction_forgotten", 409, false,
                "The transaction is finished, and nothing else is left of it",
                service::transaction::errors::transaction_forgotten},
    ProblemKind{"too_many_transactions", 503, true, "Too many transactions finished lately to remember more",
                service::transaction::errors::too_many_remembered, 10'000},
    ProblemKind{"transaction_not_open", 409, false, "The transaction takes no branches any more",
                service::transaction::errors::transaction_not_open},
    ProblemKind{"branch_exists", 409, false, "Another branch has that id",
                service::transaction::errors::branch_exists},
    ProblemKind{"branch_not_called", 409, false, "The branch has no call that could be skipped",
                service::transaction::errors::branch_not_called},
    ProblemKind{"decided_otherwise", 409, false, decided_otherwise,
                [] { return service::transaction::errors::decided_otherwise(true); }},
    ProblemKind{"decided_otherwise", 409, false, decided_otherwise,
                [] { return service::transaction::errors::decided_otherwise(false); }},
    ProblemKind{"address_forbidden", 403, false, "That address may not be called"},
    ProblemKind{"not_a_limit", 409, false, "The key holds no limit", service::errors::not_a_limit},
    ProblemKind{"not_a_counter", 409, false, "The key holds no counter", service::errors::not_a_counter},
    ProblemKind{"counter_overflow", 409, false, "The sum leaves 64 bits", service::errors::counter_overflow},
    ProblemKind{"value_differs", 409, false, "It has another value", service::errors::counter_value_differs},
    // Of the server and its cluster.
    ProblemKind{"limit_reached", 429, true, "A limit is reached"},
    ProblemKind{"unavailable", 503, true, "Not now"},
    ProblemKind{"deadline_exceeded", 504, true, "Not in time; nothing was done"},
    ProblemKind{"cancelled", 408, true, "Given up; nothing was done"},
    ProblemKind{"outcome_unknown", 504, false, "It may have taken effect or not"},
    ProblemKind{"not_supported", 501, false, "This server cannot do that"},
    ProblemKind{"internal", 500, false, "A fault of the server"},
};

std::string_view code_of(Code code) {
  switch (code) {
    case Code::invalid_argument:
      return "invalid_request";
    case Code::not_found:
      return "not_found";
    case Code::already_exists:
      return "already_exists";
    case Code::failed_precondition:
      return "conflict";
    case Code::out_of_range:
      return "out_of_range";
    case Code::resource_exhausted:
      return "limit_reached";
    case Code::permission_denied:
      return "permission_denied";
    case Code::unauthenticated:
      return "unauthenticated";
    case Code::unavailable:
      return "unavailable";
    case Code::unknown_outcome:
      return "outcome_unknown";
    case Code::deadline_exceeded:
      return "deadline_exceeded";
    case Code::cancelled:
      return "cancelled";
    case Code::unimplemented:
      return "not_supported";
    case Code::ok:
    case Code::corruption:
    case Code::io_error:
    case Code::internal:
      return "internal";
  }
  return "internal";
}

std::string_view code_of_http(int status) {
  switch (status) {
    case 404:
      return "no_such_path";
    case 405:
      return "method_not_allowed";
    case 408:
      return "request_timeout";
    case 413:
      return "content_too_large";
    case 415:
      return "unsupported_media_type";
    case 421:
      return "misdirected_request";
    case 503:
      return "unavailable";
    default:
      return "invalid_request";
  }
}

}  // namespace

std::span<const ProblemKind> problem_kinds() {
  return kinds;
}

const ProblemKind& problem_kind(std::string_view code) {
  const auto found = std::ranges::find(kinds, code, &ProblemKind::code);
  LS_MUST(found != kinds.end(), "every code stands in the table");
  return *found;
}

Problem make_problem(std::string_view code, std::string detail) {
  const ProblemKind& kind = problem_kind(code);
  return {&kind, kind.status, std::move(detail), {}, kind.retryable ? kind.retry_after_ms : 0};
}

Problem problem_of(const Status& status) {
  LS_MUST(!status.ok());
  std::string detail(status.message());
  for (const ProblemKind& kind : kinds) {
    if (kind.of != nullptr && kind.of() == status) return make_problem(kind.code, std::move(detail));
  }
  return make_problem(code_of(status.code()), std::move(detail));
}

std::string to_json(const Problem& problem, std::string_view request_id) {
  JsonText json;
  json.text("type", "urn:lockstep:problem:" + std::string(problem.kind->code));
  json.text("title", problem.kind->title);
  json.number("status", problem.status);
  json.text("detail", problem.detail);
  json.text("code", problem.kind->code);
  json.boolean("retryable", problem.kind->retryable);
  if (problem.retry_after_ms != 0) json.number("retry_after_ms", problem.retry_after_ms);
  if (!problem.pointer.empty()) json.text("pointer", problem.pointer);
  if (!request_id.empty()) json.text("request_id", request_id);
  return std::move(json).take();
}

HttpResponse to_response(const Problem& problem, std::string_view request_id) {
  HttpResponse response;
  response.status = problem.status;
  response.content_type = "application/problem+json";
  response.body = to_json(problem, request_id);
  if (!request_id.empty()) response.fields.push_back({"X-Request-Id", std::string(request_id)});
  if (problem.retry_after_ms != 0) {
    const std::int64_t seconds =
        (problem.retry_after_ms + milliseconds_per_second - 1) / milliseconds_per_second;
    response.fields.push_back({"Retry-After", std::to_string(seconds)});
  }
  if (response.status == 401) response.fields.push_back({"WWW-Authenticate", "Bearer"});
  return response;
}

HttpResponse refusal(int http_status, std::string_view why) {
  Problem problem = make_problem(code_of_http(http_status), std::string(why));
  problem.status = http_status;
  return to_response(problem, {});
}

}  // namespace lockstep::gateway::v1
