// One subscription's side of the shared watch stream: where it stands, and what it has buffered. Internal to
// remote.
//
// Invariant: everything below `resume` (and the first `seen` events of it) has been put into the buffer, and
// nothing above.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include "store/types.h"

namespace lockstep::remote {

struct WatchState {
  enum class State : std::uint8_t {
    absent,    // to be created when there is a stream
    creating,  // asked for
    live,
    paused,  // given up at the server until the buffer was taken
    over,
  };

  // `acknowledged_then`: what the store had been told of when the watch was made.
  WatchState(store::WatchRequest from, Revision acknowledged_then)
      : request(std::move(from)), resume(request.start_revision), acknowledged(acknowledged_then) {}

  // A member created it, and stands at `now`. A watch "from now" begins there, but never before what its
  // store was told already: the member may lag behind the one that said so.
  void begin(Revision now);

  // What the server sent for this watch, but for `created`: without what is known already. False: nothing
  // new.
  bool take(store::WatchResponse response);
  void finish(store::WatchResponse last);
  // The next answer, at most about `bytes_max`.
  std::optional<store::WatchResponse> next(std::size_t bytes_max);
  // The request that goes on where this stands. What is known already comes again then.
  store::WatchRequest start_again();
  // It starts "from now", and the server has not said when that is.
  [[nodiscard]] bool unplaced() const { return resume == Revision{} && state != State::over; }

  store::WatchRequest request;
  State state = State::absent;
  std::int64_t id = 0;  // the server's, while live
  Revision resume;
  Revision acknowledged;
  std::size_t seen = 0;
  std::size_t skip = 0;      // events of `resume` that come again
  int logins = 0;            // anew, since the server last created it
  bool in_fragment = false;  // the last revision is not complete
  bool progress_wanted = false;
  std::deque<store::WatchResponse> buffer;
  std::size_t buffer_bytes = 0;
  std::move_only_function<void()> ready;
};

}  // namespace lockstep::remote
