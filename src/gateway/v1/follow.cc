#include "gateway/v1/follow.h"

#include <memory>
#include <utility>

#include "service/waiting.h"

namespace lockstep::gateway::v1 {
namespace {

store::WatchRequest watch_request(const Following& what, Revision read_at) {
  store::WatchRequest request;
  request.key = what.key;
  request.range_end = what.range_end;
  request.start_revision = Revision(read_at.value() + 1);
  return request;
}

}  // namespace

Task<Status> follow(Coordination* recipes, Following what, store::CallOptions options, EventSink* sink) {
  std::string last;
  std::unique_ptr<store::Subscription> changes;
  while (true) {
    Result<State> state = co_await what.read(options);
    if (!state.ok()) {
      // The client's going away is no error, and nobody to tell it to.
      co_return options.cancellation.stop_requested() ? Status() : state.status();
    }
    std::string text = state->event + state->data.str();
    if (text != last) {
      last = std::move(text);
      std::string id = std::to_string(state->revision.value());
      const bool reads = co_await sink->send(std::move(state->event), std::move(id), std::move(state->data));
      if (!reads || state->last) co_return Status();
    }
    if (changes == nullptr) {
      Result<std::unique_ptr<store::Subscription>> watching =
          recipes->context.store.watch(watch_request(what, state->revision), options);
      if (!watching.ok()) co_return watching.status();
      changes = *std::move(watching);
    }
    store::CallOptions unlimited = options;
    unlimited.deadline = no_deadline;
    const Result<store::WatchResponse> changed =
        co_await service::next_answer(recipes->context, *changes, std::move(unlimited));
    if (!changed.ok()) co_return Status();
    if (!changed->canceled) continue;
    // Too far behind: from what is now.
    changes.reset();
    if (changed->compact_revision == Revision())
      co_return Status(Code::permission_denied, changed->cancel_reason);
  }
}

}  // namespace lockstep::gateway::v1
