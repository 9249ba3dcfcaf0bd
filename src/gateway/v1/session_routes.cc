// /v1/sessions: somebody who is alive as long as it says so in time. Locks and permits belong to one.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gateway/v1/coordination.h"
#include "gateway/v1/follow.h"
#include "service/contenders.h"
#include "service/session/session.h"
#include "service/store_requests.h"
#include "service/waiting.h"
#include "store/awaitable.h"
#include "store/errors.h"

namespace lockstep::gateway::v1 {
namespace {

constexpr std::size_t end_event_bytes_max = 4096;  // one removal is awaited
constexpr Duration end_pause = 100ms;              // between questions whether the session is over
constexpr Duration end_call_time_max = 5s;         // of one of them

service::SessionOptions options_of(const Call& call, service::Renewal renewal) {
  service::SessionOptions options;
  options.lock_delay = std::chrono::milliseconds(call.arguments.integer("lock_delay_ms"));
  options.renewal = renewal;
  return options;
}

JsonText answer(Coordination& recipes, const service::Session& session) {
  JsonText json;
  json.text("session", session_text(session.id()));
  json.number("ttl_ms", std::chrono::floor<std::chrono::milliseconds>(session.ttl()).count());
  return std::move(json.number("expires_in_ms", milliseconds_until(recipes, session.expires_at())));
}

Fields answer_fields() {
  return {session_field("names it").required(),
          integer_field("ttl_ms", "how long it lasts without being renewed").required(),
          integer_field("expires_in_ms", "when it is over unless it is renewed; 0: now").required()};
}

Task<Outcome> open(Coordination* recipes, Call call) {
  service::SessionOptions options = options_of(call, service::Renewal::by_holder);
  options.ttl = std::chrono::milliseconds(call.arguments.integer("ttl_ms"));
  const Result<service::SessionPtr> session =
      co_await service::open_session(recipes->context, options, std::move(call.options));
  if (!session.ok()) co_return session.status();
  co_return answer(*recipes, **session);
}

Task<Outcome> renew(Coordination* recipes, Call call) {
  const Result<LeaseId> id = session_of(call);
  if (!id.ok()) co_return wrong_field("session", id.status().message());
  const service::SessionOptions options = options_of(call, service::Renewal::by_holder);
  const Result<service::SessionPtr> session =
      co_await service::adopt_session(recipes->context, *id, options, std::move(call.options));
  if (!session.ok()) co_return session.status();
  co_return answer(*recipes, **session);
}

Task<Outcome> close(Coordination* recipes, Call call) {
  const Result<LeaseId> id = session_of(call);
  if (!id.ok()) co_return wrong_field("session", id.status().message());
  const service::SessionOptions options = options_of(call, service::Renewal::elsewhere);
  const Result<service::SessionPtr> session =
      co_await service::adopt_session(recipes->context, *id, options, call.options);
  if (!session.ok()) co_return session.status();
  const Status closed = co_await (*session)->close(std::move(call.options));
  if (!closed.ok()) co_return closed;
  JsonText json;
  co_return std::move(json.text("session", session_text(*id)));
}

Task<Outcome> show(Coordination* recipes, Call call) {
  const Result<LeaseId> id = session_of(call);
  if (!id.ok()) co_return wrong_field("session", id.status().message());
  store::LeaseTimeToLiveRequest request;
  request.id = *id;
  request.keys = true;
  const Result<store::LeaseTimeToLiveResponse> known =
      co_await store::awaitable::lease_time_to_live(recipes->context.store, request, std::move(call.options));
  if (!known.ok()) co_return known.status();
  if (!known->found) co_return service::errors::session_not_found();
  JsonText json;
  json.text("session", session_text(*id));
  json.number("ttl_ms", std::chrono::floor<std::chrono::milliseconds>(known->granted_ttl).count());
  json.number("expires_in_ms", std::chrono::floor<std::chrono::milliseconds>(known->remaining).count());
  json.begin_list("keys");
  for (const std::string& key : known->keys) {
    JsonText one;
    json.element(one.bytes("key", key));
  }
  co_return std::move(json.end_list());
}

// A key that goes with the session, so that whoever watches hears of its end when it comes. Nothing: it may
// not be written, or somebody asks by name; then the end is heard of when the time that is known of the
// session is out. For with users, a key of somebody else's on a lease takes the lease away from its owner.
Task<std::unique_ptr<store::Subscription>> watch_end(Coordination* recipes, service::SessionPtr session,
                                                     store::CallOptions options) {
  if (!options.principal.is_nobody()) co_return nullptr;
  const std::string key = service::contender_key("lockstep/watched", session->id());
  store::TxnRequest txn;
  txn.compare.push_back(service::created_at(key, Revision()));
  txn.success.push_back(service::operation(service::put_of(key, "{}", session->id())));
  const Result<store::TxnResponse> written =
      co_await store::awaitable::txn(recipes->context.store, std::move(txn), options);
  if (written.status() == store::errors::lease_not_found()) session->found_missing();
  if (!written.ok()) co_return nullptr;
  store::WatchRequest request;
  request.key = key;
  request.start_revision = written->header.revision.next();
  request.no_put = true;
  options.deadline = no_deadline;
  Result<std::unique_ptr<store::Subscription>> watching =
      recipes->context.store.watch(std::move(request), std::move(options));
  if (!watching.ok()) co_return nullptr;
  co_return *std::move(watching);
}

// Whether it has said anything; from then on it is of no use.
bool has_ended(std::unique_ptr<store::Subscription>& end, const service::Signal& over) {
  while (end != nullptr) {
    const std::optional<store::WatchResponse> answer = end->next(end_event_bytes_max);
    if (!answer.has_value()) {
      end->notify_when_ready([over] { over.set(); });
      return false;
    }
    if (!answer->canceled && answer->events.empty()) continue;
    end.reset();
    return true;
  }
  return false;
}

// Somebody removed its key: the session's end, as a rule. The notice does not come twice: it is asked for
// until it is known.
Task<void> look_after(Coordination* recipes, service::SessionPtr session, store::CallOptions options) {
  const store::LeaseTimeToLiveRequest request{session->id(), false};
  while (session->alive()) {
    options.deadline = recipes->context.clock.now() + end_call_time_max;
    const Result<store::LeaseTimeToLiveResponse> known =
        co_await store::awaitable::lease_time_to_live(recipes->context.store, request, options);
    if (known.ok() && !known->found) session->found_missing();
    if (known.ok() || !may_pass(known.status())) co_return;
    const TimePoint again = recipes->context.clock.now() + end_pause;
    options.deadline = no_deadline;
    if (!(co_await service::pause_until(recipes->context, again, options)).ok()) co_return;
  }
}

// Says that it lives, and that it is lost.
Task<Status> watch(Coordination* recipes, Call call, EventSink* sink) {
  const Result<LeaseId> id = session_of(call);
  if (!id.ok()) co_return id.status();
  const service::SessionOptions options = options_of(call, service::Renewal::elsewhere);
  const Result<service::SessionPtr> adopted =
      co_await service::adopt_session(recipes->context, *id, options, call.options);
  if (!adopted.ok()) co_return adopted.status();
  const service::SessionPtr& session = *adopted;
  if (!co_await sink->send("alive", "", answer(*recipes, *session))) co_return Status();
  const service::Signal over(recipes->context);
  const std::stop_callback told(session->over(), [&over] { over.set(); });
  std::unique_ptr<store::Subscription> end = co_await watch_end(recipes, session, call.options);
  while (session->alive()) {
    if (has_ended(end, over)) {
      co_await look_after(recipes, session, call.options);
      continue;
    }
    const service::Wake woken = co_await over.wait(no_deadline, call.options.cancellation);
    if (woken == service::Wake::cancelled) co_return Status();
  }
  JsonText json;
  json.text("session", session_text(*id));
  co_await sink->send("lost", "", std::move(json.text("reason", session->state().message())));
  co_return Status();
}

}  // namespace

Routes session_routes(Coordination& recipes) {
  const Field delay = lock_delay_field("as it was opened with");
  Route opening = post(recipes, "/v1/sessions/open", "Opens a session", open);
  opening.request = {ttl_field("how long it is to last without being renewed").required(),
                     lock_delay_field("how much longer its locks stay taken when it is lost; 0 if absent")};
  opening.answer = answer_fields();
  Route renewing = post(recipes, "/v1/sessions/renew", "Renews a session: it lasts its ttl from now", renew);
  renewing.request = {session_field("which").required(), delay};
  renewing.answer = answer_fields();
  renewing.problems = {"session_not_found", "session_lost"};
  Route closing =
      post(recipes, "/v1/sessions/close", "Closes a session and gives up what belongs to it", close);
  closing.request = {session_field("which").required(), delay};
  closing.answer = {session_field("which it was").required()};
  closing.problems = {"session_not_found", "session_lost"};
  for (Route* route : {&opening, &renewing}) route->repeatable = true;  // a session nobody knows of ends
  Route showing = get(recipes, "/v1/sessions/show", "What belongs to a session, and how long still", show);
  showing.request = {session_field("which").required()};
  showing.answer = answer_fields();
  showing.answer.push_back(
      object_list_field("keys", "what ends with it", {bytes_field("key", "in the store").required()})
          .required());
  showing.problems = {"session_not_found"};
  Route watching = stream(recipes, "/v1/sessions/watch",
                          "Tells when a session is over, as soon as the store knows; needs to write "
                          "lockstep/watched/ for that, else "
                          "at the end of its time",
                          watch);
  watching.request = {session_field("which").required(), delay};
  watching.events = {{"alive", "it was, when the stream began", answer_fields()},
                     {"lost",
                      "it is over; the stream ends",
                      {session_field("which").required(), text_field("reason", "why").required()}}};
  watching.problems = {"session_not_found", "session_lost"};
  return {std::move(opening), std::move(renewing), std::move(closing), std::move(showing),
          std::move(watching)};
}

}  // namespace lockstep::gateway::v1
