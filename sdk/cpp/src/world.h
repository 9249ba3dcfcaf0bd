// What a client stands on: a strand with a thread of its own, and a store. Over the network, or in this
// process for tests (embedded_world.h).
#pragma once

#include <memory>

#include "base/status.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/random.h"
#include "lockstep/client.h"
#include "store/store.h"

namespace lockstep::v1::detail {

class World {
 public:
  virtual ~World() = default;
  virtual env::Executor& executor() = 0;
  virtual env::Clock& clock() = 0;
  virtual env::Random& random() = 0;
  virtual store::Store& store() = 0;
  // One client fewer uses it. Runs on its strand, when nothing of that client is left there; the last one
  // ends every call of the store.
  virtual void leave() = 0;
  // After leave(), off the strand: waits until the strand has run what it had, if nobody is left.
  virtual void join() = 0;
  // Where no time passes by itself nothing is waited for but that the strand has nothing left to do.
  virtual Duration patience(Duration wanted) { return wanted; }
  // So many calls more run. On the strand.
  virtual void calls_changed([[maybe_unused]] int by) {}
};

// Not yet used by anybody: leave() once for each client that was made on it.
::lockstep::Result<std::shared_ptr<World>> network_world(const ClientOptions& options);

// The calling thread is a client's own until this ends.
class ClientThread {
 public:
  ClientThread();
  ~ClientThread();
  ClientThread(const ClientThread&) = delete;
  ClientThread& operator=(const ClientThread&) = delete;
};

}  // namespace lockstep::v1::detail
