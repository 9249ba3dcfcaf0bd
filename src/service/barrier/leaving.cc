// Leaving a barrier's generation together.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "service/barrier/barriers.h"
#include "service/barrier/gathering.h"
#include "service/contenders.h"
#include "service/names.h"
#include "service/repeating.h"
#include "service/store_requests.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr Duration watch_pause = 100ms;

// ok: look again.
Task<Status> until_gone(Context context, SessionPtr session, std::string key, Revision from,
                        store::CallOptions options, Signal wake) {
  store::WatchRequest request;
  request.key = std::move(key);
  request.start_revision = from;
  request.no_put = true;
  auto watched = context.store.watch(std::move(request), options);
  if (!watched.ok()) co_return watched.status();
  const std::unique_ptr<store::Subscription> subscription = *std::move(watched);
  while (true) {
    if (Status over = session->state(); !over.ok()) co_return over;
    const std::optional<store::WatchResponse> answer = subscription->next(4096);
    if (answer.has_value()) {
      if (!answer->canceled && answer->events.empty()) continue;
      const bool may_pass = !answer->canceled || answer->compact_revision != Revision();
      co_return may_pass ? Status() : Status(Code::unavailable, answer->cancel_reason);
    }
    subscription->notify_when_ready([wake] { wake.set(); });
    const Wake why = co_await wake.wait(options.deadline, options.cancellation);
    if (why == Wake::deadline) co_return errors::wait_deadline_over();
    if (why == Wake::cancelled) co_return errors::wait_cancelled();
  }
}

// A party that leaves: it does, also when nobody waits for that any more.
struct Leaving {
  SessionPtr session;
  store::Principal principal;
  std::string key;
  Signal settled;
  std::optional<Status> result;
};

Task<void> leave_for_certain(Context context, std::shared_ptr<Leaving> leaving) {
  for (bool maybe_left = false; !leaving->result.has_value();) {
    store::TxnRequest txn;
    txn.compare.push_back(created_at(leaving->key, Revision()));
    txn.failure.push_back(operation(removal_of(leaving->key)));
    store::CallOptions call;
    call.principal = leaving->principal;
    call.deadline = context.clock.now() + repeating_time_max;
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context.store, std::move(txn), call);
    const Status why = answer.status();
    maybe_left = maybe_left || is_unknown(why);
    if (answer.ok()) {
      leaving->result = answer->succeeded && !maybe_left ? errors::barrier_not_entered() : Status();
    } else if (Status over = leaving->session->state(); !over.ok()) {
      leaving->result = over;
    } else if (why.code() == Code::permission_denied) {
      leaving->result = why;
    } else {
      static_cast<void>(co_await pause_until(context, context.clock.now() + repeating_pause, {}));
    }
  }
  leaving->settled.set();
}

Task<Status> leave(Context context, SessionPtr session, std::string name, std::int64_t generation,
                   store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  if (generation < 1) co_return errors::barrier_not_entered();
  if (Status over = session->state(); !over.ok()) co_return over;
  options.request_id = {};
  const auto leaving = std::make_shared<Leaving>(
      session, options.principal, contender_key(parties_prefix(name, generation), session->id()),
      Signal(context));
  leave_for_certain(context, leaving).detach();
  const Wake left = co_await leaving->settled.wait(options.deadline, options.cancellation);
  if (left == Wake::deadline) co_return errors::wait_deadline_over();
  if (left == Wake::cancelled) co_return errors::wait_cancelled();
  if (!leaving->result->ok()) co_return *leaving->result;
  const Signal wake(context);
  const std::stop_callback on_over(session->over(), [wake] { wake.set(); });
  while (true) {
    if (Status over = session->state(); !over.ok()) co_return over;
    if (Status gone = still_wanted(context, options); !gone.ok()) co_return gone;
    store::CallOptions call;
    call.principal = options.principal;
    call.deadline = std::min(options.deadline, context.clock.now() + repeating_time_max);
    const Result<store::RangeResponse> others =
        co_await store::awaitable::range(context.store, oldest_parties(name, generation, 1), call);
    Status why = others.status();
    if (others.ok()) {
      if (others->kvs.empty()) co_return Status();
      const Revision from = others->header.revision.next();
      why = co_await until_gone(context, session, others->kvs[0].key, from, options, wake);
      if (why.ok()) continue;
    }
    if (why.code() != Code::unavailable && why.code() != Code::resource_exhausted) co_return why;
    co_await wake.wait(std::min(options.deadline, context.clock.now() + watch_pause), options.cancellation);
  }
}

}  // namespace

Task<Status> leave_barrier(Context context, SessionPtr session, std::string name, std::int64_t generation,
                           store::CallOptions options) {
  return leave(context, std::move(session), std::move(name), generation, std::move(options));
}

}  // namespace lockstep::service
