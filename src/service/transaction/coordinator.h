// Drives every unfinished transaction to its end: one coordinator at a time, wherever it runs.
//
//   1. A coordinator takes over by writing coordinator_key; its epoch is that write's revision. Every
//      transition compares it, so those of an earlier coordinator are refused, whatever it believes. Taking
//      over is safe at any time.
//   2. What a machine is told is recorded first: no call is sent that does not follow from what is in the
//      store, and the epoch goes along as a token that only grows.
//   3. A transition is one transaction of the store, bound to the revision of the transaction's state and
//      its journal; those of one turn go together. After an unknown outcome the state is read, and what it
//      says counts. An operator's or owner's edit in between wins, and what was not recorded is tried again
//      on top of it.
//   4. Attempts and due times are recorded; with attempts_max, an attempt is recorded before it is sent:
//   never
//      more than that are sent, whoever sends them.
//   5. Due times are by the coordinators' clock: clock_key, written with every turn's transitions and once
//      a second, goes on as the monotonic clock of whoever coordinates, from where it stood. So nothing is
//      early, whatever wall clocks do; time without a coordinator is not counted.
//   6. All unfinished transactions go on at once after a take-over; calls under way are bounded, in all and
//      for each host, and a host that does not answer holds up only its own.
//   7. What is final is never called again. Its gid is remembered for finished_kept, counted by the
//      coordinators' clock, however many there are: beyond finished_max, of the oldest no more is left than
//      how they ended and a digest of their documents. At remembered_max no more are submitted.
//
// Nothing is written before there is anything under transactions_prefix.
//
// Who coordinates: lead(true) takes over now, lead(false) leaves it to others; whoever leads the cluster's
// log is told so. The key has a lease: when it is gone, whoever was told nothing takes over at once, and who
// was told false after fallback_after.
//
// Memory: some hundred bytes for each unfinished transaction, and a hundred for each that is remembered;
// machines and documents of those under way, within machines_max and machine_bytes_max.
//
// Ownership: the client outlives the coordinator and what it sent. Destroying it stops it; answers to calls
// under way are dropped, and the next coordinator sends them again. Strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/time.h"
#include "env/http_client.h"
#include "service/context.h"
#include "service/transaction/machine.h"
#include "store/principal.h"

namespace lockstep::service::transaction {

struct Alarm {
  std::string gid;
  Mode mode = Mode::saga;
  std::string reason;
};

struct CoordinatorOptions {
  std::string name;             // in coordinator_key, for people
  std::size_t calls_max = 448;  // no more than the client has under way: none waits there for another
  std::size_t calls_per_host_max = 128;
  std::size_t machines_max = 20'000;
  std::size_t machine_bytes_max = std::size_t{64} * 1024 * 1024;  // of their documents and journals
  Duration finished_kept = std::chrono::hours(1);
  std::size_t finished_max = 100'000;
  std::size_t remembered_max = 2'000'000;  // with those; some 400 bytes of the store each
  Duration session_ttl = 5s;
  Duration fallback_after = 15s;
  store::Principal principal;
  // A transaction needs an operator, newly so.
  std::function<void(const Alarm&)> alarm;
};

struct CoordinatorFigures {
  bool coordinates = false;
  Revision epoch;
  std::uint64_t take_overs = 0;
  std::uint64_t unfinished = 0;
  std::uint64_t need_operator = 0;
  std::uint64_t calls_under_way = 0;
  std::uint64_t calls_sent = 0;
  std::uint64_t calls_failed = 0;  // attempts without an outcome
  std::uint64_t transitions = 0;
  std::uint64_t batches = 0;  // of them
  std::uint64_t conflicts = 0;
  std::uint64_t committed = 0;
  std::uint64_t aborted = 0;
  std::uint64_t failed = 0;
};

class Coordinator {
 public:
  Coordinator(const Context& context, env::HttpClient& client, CoordinatorOptions options = {});
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  void lead(bool leads);
  [[nodiscard]] CoordinatorFigures figures() const;

 private:
  class Run;
  std::shared_ptr<Run> run_;
};

}  // namespace lockstep::service::transaction
