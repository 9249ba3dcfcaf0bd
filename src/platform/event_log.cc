#include "platform/event_log.h"

#include <cstdio>
#include <utility>

namespace lockstep::platform {
namespace {

constexpr Duration interval = 1s;

}  // namespace

EventLog::EventLog(Sink sink) : sink_(std::move(sink)) {
  if (sink_) return;
  sink_ = [](std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
}

void EventLog::write(TimePoint now, std::string_view kind, const std::string& line) {
  const auto [place, added] = kinds_.try_emplace(std::string(kind));
  Kind& state = place->second;
  if (!added && now < state.next) {
    ++state.held_back;
    return;
  }
  state.next = now + interval;
  if (state.held_back == 0) return sink_(line);
  const std::uint64_t held_back = std::exchange(state.held_back, 0);
  sink_(line + " (and " + std::to_string(held_back) + " more like it)");
}

}  // namespace lockstep::platform
