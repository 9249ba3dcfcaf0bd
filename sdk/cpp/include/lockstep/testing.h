// For the tests of programs that use Lockstep: a whole cluster in this process, with its own clock and faults
// on demand.
//
//   lockstep::testing::Cluster cluster;
//   lockstep::Client worker = cluster.client();
//   auto lock = worker.lock("locks/orders").acquire().wait();
//   cluster.cut_off(worker);
//   cluster.advance(11s);                       // the worker's session is over now, and its lock free
//
// The store is the server's own state machine without log, disk and network; recipes run as they do in
// production. Nothing survives the Cluster.
//
// Time stands still but for advance(): no test waits, and none depends on how fast the machine is. A wait()
// with a timeout does not end by itself then; either another thread advances the clock, or
// jump_while_waiting() lets it.
//
// Threads: any. A Cluster that ends closes its clients. advance() returns when the store and the clients' own
// threads have nothing left to do at the new time; what other threads do about it is theirs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "lockstep/abi.h"
#include "lockstep/client.h"

namespace lockstep::LOCKSTEP_INLINE v1::testing {

namespace detail {
class EmbeddedCluster;
}

// What becomes of one call of the store.
enum class Fault : std::uint8_t {
  none,
  refused,       // no effect; the caller learns that (Code::unavailable)
  request_lost,  // no effect; the caller does not know (Code::unknown; a read: Code::unavailable)
  answer_lost,   // takes effect; the caller does not know
};

// What a recipe asks of the store: one acquire() is several of them.
struct StoreCall {
  std::string_view kind;     // "range", "put", "txn", "lease_grant", …
  bool changes = false;      // not a read
  std::uint64_t number = 0;  // of this client's, from 1
};

class Cluster {
 public:
  Cluster();
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // One more, on the same store. Endpoints and credentials do not matter.
  Client client(const ClientOptions& options = {});

  // Everything that is due until then has happened when it returns, in order.
  void advance(std::chrono::nanoseconds by);
  // Since the cluster began.
  [[nodiscard]] std::chrono::nanoseconds now() const;
  // Since the Unix epoch, as timers with a date see it. Jumps do not touch now().
  void set_wall_clock(std::chrono::nanoseconds since_epoch);
  // From now on: while some call runs and nothing else is to be done, the clock goes on to whatever is due
  // next. For tests with one thread.
  void jump_while_waiting();

  // Nothing that this client asks reaches the store, and no answer or event reaches it, until reconnect():
  // what was asked meanwhile is asked then, unless its time is over.
  void cut_off(const Client& client);
  void reconnect(const Client& client);
  // Decides about each call of this client; runs on the cluster's own thread. An empty one: none.
  void set_faults(const Client& client, std::function<Fault(const StoreCall&)> decide);
  // How many calls of the store this client has made.
  [[nodiscard]] std::uint64_t store_calls(const Client& client) const;

 private:
  std::unique_ptr<detail::EmbeddedCluster> cluster_;
};

}  // namespace lockstep::LOCKSTEP_INLINE
