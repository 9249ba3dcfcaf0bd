#include "service/lock/guard.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <utility>

#include "base/assert.h"
#include "service/names.h"
#include "service/store_requests.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

// As many digits as any revision has: so the order of the texts is the order of the numbers.
constexpr std::size_t token_digits = 19;
constexpr Duration watch_pause = 100ms;

std::string fence_key(const std::string& resource) {
  return "lockstep/fences/" + resource;
}

std::string fence_value(Revision token) {
  const std::string digits = std::to_string(token.value());
  return std::string(token_digits - digits.size(), '0') + digits;
}

Result<Revision> parse_fence(const std::string& value) {
  std::int64_t token = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, token);
  if (value.size() != token_digits || error != std::errc() || stop != end || token < 0) {
    return errors::fence_damaged();
  }
  return Revision(token);
}

Result<store::TxnResponse> nested(store::TxnResponse& outer, std::size_t position) {
  if (position < outer.responses.size()) {
    if (auto* inner = std::get_if<store::TxnResponse>(&outer.responses[position].response)) {
      inner->header = outer.header;
      return std::move(*inner);
    }
  }
  return Status(Code::internal, "lockstep: an answer to another question");
}

Task<Result<store::TxnResponse>> run_guarded(Context context, store::TxnRequest request, Fence fence,
                                             store::CallOptions options) {
  if (fence.token <= Revision()) co_return errors::stale_token();  // nobody's
  store::TxnRequest outer;
  add_guard(outer, fence);
  outer.success.push_back(operation(std::move(request)));
  Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context.store, std::move(outer), std::move(options));
  if (!answer.ok()) co_return answer.status();
  if (!answer->succeeded) co_return errors::stale_token();
  co_return nested(*answer, 0);
}

Task<Result<store::TxnResponse>> run_fenced(Context context, store::TxnRequest request, std::string resource,
                                            Revision token, store::CallOptions options) {
  if (Status wrong = check_name(resource); !wrong.ok()) co_return wrong;
  if (token <= Revision()) co_return errors::stale_token();
  // Asked the wrong way round, because a key that is not there compares as nothing: "it has seen a higher
  // one".
  store::TxnRequest outer;
  store::Compare higher;
  higher.key = fence_key(resource);
  higher.target = store::CompareTarget::value;
  higher.result = store::CompareResult::greater;
  higher.value = fence_value(token);
  outer.compare.push_back(higher);
  outer.success.push_back(operation(one_key(higher.key)));
  outer.failure.push_back(operation(put_of(higher.key, higher.value, {})));
  outer.failure.push_back(operation(std::move(request)));
  Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context.store, std::move(outer), std::move(options));
  if (!answer.ok()) co_return answer.status();
  if (!answer->succeeded) co_return nested(*answer, 1);
  const store::RangeResponse* fence = range_at(*answer, 0);
  if (fence == nullptr || fence->kvs.empty()) co_return errors::stale_token();
  const Result<Revision> seen = parse_fence(fence->kvs[0].value);
  co_return seen.ok() ? errors::stale_token() : seen.status();
}

Task<Result<Revision>> read_fence(Context context, std::string resource, store::CallOptions options) {
  if (Status wrong = check_name(resource); !wrong.ok()) co_return wrong;
  const Result<store::RangeResponse> answer =
      co_await store::awaitable::range(context.store, one_key(fence_key(resource)), std::move(options));
  if (!answer.ok()) co_return answer.status();
  if (answer->kvs.empty()) co_return Revision();
  co_return parse_fence(answer->kvs[0].value);
}

// Until the key is removed, the subscription ends (ok), or the options or the session do.
Task<Status> watch_holding(SessionPtr session, store::Subscription& subscription, Signal wake,
                           store::CallOptions options) {
  while (true) {
    if (Status over = session->state(); !over.ok()) co_return over;
    const std::optional<store::WatchResponse> answer = subscription.next(4096);
    if (answer.has_value()) {
      if (!answer->events.empty()) co_return errors::holding_removed();
      if (answer->canceled) co_return Status();
      continue;
    }
    subscription.notify_when_ready([wake] { wake.set(); });
    const Wake why = co_await wake.wait(options.deadline, options.cancellation);
    if (why == Wake::deadline) co_return errors::wait_deadline_over();
    if (why == Wake::cancelled) co_return errors::wait_cancelled();
  }
}

}  // namespace

namespace errors {
Status fence_damaged() {
  return {Code::corruption, "lockstep: what the resource remembers is no token"};
}
Status holding_removed() {
  return {Code::failed_precondition, "lockstep: what the session held was taken away or released"};
}
}  // namespace errors

void add_guard(store::TxnRequest& request, const Fence& fence) {
  LS_MUST(fence.token > Revision(), "zero compares as: nobody holds it");
  request.compare.push_back(created_at(fence.key, fence.token));
}

Task<Result<store::TxnResponse>> guarded(Context context, store::TxnRequest request, Fence fence,
                                         store::CallOptions options) {
  return run_guarded(context, std::move(request), std::move(fence), std::move(options));
}

Task<Result<store::TxnResponse>> fenced(Context context, store::TxnRequest request, std::string resource,
                                        Revision token, store::CallOptions options) {
  return run_fenced(context, std::move(request), std::move(resource), token, std::move(options));
}

Task<Result<Revision>> highest_token(Context context, std::string resource, store::CallOptions options) {
  return read_fence(context, std::move(resource), std::move(options));
}

Task<Status> until_over(Context context, SessionPtr session, Fence fence, store::CallOptions options) {
  const Signal wake(context);
  const std::stop_callback on_over(session->over(), [wake] { wake.set(); });
  while (true) {
    if (Status over = session->state(); !over.ok()) co_return over;
    if (Status gone = still_wanted(context, options); !gone.ok()) co_return gone;
    store::CallOptions call;
    call.principal = options.principal;
    call.deadline = options.deadline;
    const Result<store::RangeResponse> there =
        co_await store::awaitable::range(context.store, one_key(fence.key), call);
    if (there.ok()) {
      if (there->kvs.empty() || there->kvs[0].create_revision != fence.token)
        co_return errors::holding_removed();
      store::WatchRequest request;
      request.key = fence.key;
      request.start_revision = there->header.revision.next();
      request.no_put = true;
      const auto watched = context.store.watch(std::move(request), call);
      if (watched.ok()) {
        Status over = co_await watch_holding(session, *watched.value(), wake, options);
        if (!over.ok()) co_return over;
      }
    } else if (there.status().code() != Code::unavailable &&
               there.status().code() != Code::deadline_exceeded) {
      co_return there.status();
    }
    // Unreachable, or overtaken by a compaction. The session's end is what ends this if it lasts.
    co_await wake.wait(std::min(options.deadline, context.clock.now() + watch_pause), options.cancellation);
  }
}

}  // namespace lockstep::service
