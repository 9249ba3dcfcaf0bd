// All subscriptions of one remote store, over one watch stream.
//
// Invariants:
//   1. A subscription gets every event of its range from its start on, in order, once, whatever happens to
//      connections: it is created again from the revision after the last one it buffered (and within a
//      revision that came in fragments, after the last event).
//   2. It buffers about `subscription_bytes_max`. Above that its watch is given up at the server, and created
//      again once half of it was taken: a slow subscriber delays nobody and costs no memory (I11).
//   3. It ends only by its owner, by the server (compacted, not permitted), or with the store.
//   4. What this store is asked to change after a watch "from now" reaches the server after that watch does:
//      when_created() holds it back.
// Strand only. Subscriptions may outlive this; the connections may not be gone before it.
#pragma once

#include <cstddef>
#include <memory>

#include "base/time.h"
#include "env/executor.h"
#include "remote/connections.h"
#include "store/store.h"

namespace lockstep::remote {

struct WatchesOptions {
  std::size_t subscription_bytes_max = 4 * limits::mebibyte;
  Duration reopen_pause = 100ms;  // after a stream that ended without having delivered anything
};

class Watches {
 public:
  Watches(Connections& connections, const WatchesOptions& options);
  // Ends every subscription with a last answer.
  ~Watches();
  Watches(const Watches&) = delete;
  Watches& operator=(const Watches&) = delete;

  // `acknowledged`: the newest revision that the store was told of; a watch "from now" begins behind it.
  std::unique_ptr<store::Subscription> watch(store::WatchRequest request, Revision acknowledged);
  // Runs `closure` when the server knows every watch "from now" made so far, at the deadline otherwise; at
  // once if there is none.
  void when_created(TimePoint deadline, env::Closure closure);

  class Core;

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::remote
