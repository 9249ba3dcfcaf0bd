#include "gateway/v1/follow.h"

#include <memory>
#include <optional>
#include <string>
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

// Of something that cannot be had now.
constexpr Duration restart_pause = 1s;

Task<bool> pause(Coordination* recipes, store::CallOptions options) {
  const TimePoint later = recipes->context.clock.now() + restart_pause;
  co_return (co_await service::pause_until(recipes->context, later, std::move(options))).ok();
}

// What was sent, and what is yet to be told.
struct Told {
  std::string last;                // empty: nothing
  std::optional<std::string> gap;  // why what came since is not known
};

// False: nobody reads any more.
Task<bool> tell(Told* told, State state, EventSink* sink) {
  if (told->gap.has_value()) {
    JsonText notice;
    notice.text("reason", *std::exchange(told->gap, std::nullopt));
    told->last.clear();
    if (!co_await sink->send(restarted_event().name, "", std::move(notice))) co_return false;
  }
  std::string text = state.event + state.data.str();
  if (text == told->last) co_return true;
  told->last = std::move(text);
  std::string id = std::to_string(state.revision.value());
  co_return co_await sink->send(std::move(state.event), std::move(id), std::move(state.data));
}

}  // namespace

bool may_pass(const Status& failure) {
  return failure.code() == Code::unavailable || failure.code() == Code::unknown_outcome ||
         failure.code() == Code::deadline_exceeded || failure.code() == Code::resource_exhausted;
}

Event restarted_event() {
  return {
      "restarted",
      "the store could not be followed: what happened since the event before is not told; what is now, is",
      {text_field("reason", "why").required()}};
}

Task<Status> follow(Coordination* recipes, Following what, store::CallOptions options, EventSink* sink) {
  Told told;
  std::unique_ptr<store::Subscription> changes;
  bool has_followed = false;
  store::CallOptions unlimited = options;
  unlimited.deadline = no_deadline;
  while (true) {
    Result<State> state = co_await what.read(options);
    // The client's going away is no error, and nobody to tell it to.
    if (options.cancellation.stop_requested()) co_return Status();
    if (!state.ok()) {
      if (told.last.empty() || !may_pass(state.status())) co_return state.status();
      told.gap = state.status().message();
      if (!co_await pause(recipes, unlimited)) co_return Status();
      continue;
    }
    const Revision read_at = state->revision;
    const bool is_last = state->last;
    if (!co_await tell(&told, *std::move(state), sink) || is_last) co_return Status();
    if (changes == nullptr) {
      Result<std::unique_ptr<store::Subscription>> watching =
          recipes->context.store.watch(watch_request(what, read_at), options);
      if (!watching.ok()) {
        // Too many follow already: this one would read everything every second instead.
        const bool is_one_too_many = !has_followed && watching.status().code() == Code::resource_exhausted;
        if (is_one_too_many || !may_pass(watching.status())) co_return watching.status();
        told.gap = watching.status().message();
        if (!co_await pause(recipes, unlimited)) co_return Status();
        continue;
      }
      changes = *std::move(watching);
      has_followed = true;
    }
    const Result<store::WatchResponse> changed =
        co_await service::next_answer(recipes->context, *changes, unlimited);
    if (!changed.ok()) co_return Status();
    if (!changed->canceled) continue;
    // Too far behind, or not allowed any more: reading says which.
    changes.reset();
    told.gap = changed->cancel_reason;
    if (changed->compact_revision == Revision() && !co_await pause(recipes, unlimited)) co_return Status();
  }
}

}  // namespace lockstep::gateway::v1
