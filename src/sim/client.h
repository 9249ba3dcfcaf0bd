// Clients: what reaches members over the wires and comes back, or does not.
//
// A call has a request on its way, a process that may die under it, and an answer on its way; each may be
// lost. Without an answer in time a mutation's outcome is unknown. A broken connection is noticed sooner.
// With a RequestId an unknown mutation is tried again, elsewhere, until it is known.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "base/task.h"
#include "sim/cluster.h"
#include "sim/history.h"

namespace lockstep::sim {

// One attempt's outcome, as its client sees it.
struct Answer {
  Outcome outcome = Outcome::unknown;
  Status status;
  AnyResponse response;
  NodeId member;
  std::uint64_t member_life = 0;
};

// All clients of a run: calls under way, the operations so far, and whether to go on.
class Clients {
 public:
  Clients(Cluster& cluster, Prng prng);

  // Stops new operations; what is under way ends by its timeout.
  void stop() { stopping_ = true; }
  [[nodiscard]] bool stopping() const { return stopping_; }
  [[nodiscard]] std::uint64_t active() const { return active_; }

  [[nodiscard]] Cluster& cluster() { return cluster_; }
  [[nodiscard]] World& world() { return cluster_.world; }
  [[nodiscard]] Coverage& coverage() { return cluster_.coverage; }
  [[nodiscard]] std::deque<Operation>& operations() { return operations_; }
  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }
  [[nodiscard]] std::size_t endpoint_count() const { return endpoint_count_; }
  void set_endpoint_count(std::size_t count) { endpoint_count_ = count; }
  void count_acknowledged() { ++acknowledged_; }
  // The highest revision any client was shown.
  [[nodiscard]] std::int64_t revision_high() const { return revision_high_; }
  void note_revision(Revision revision) { revision_high_ = std::max(revision_high_, revision.value()); }
  [[nodiscard]] std::deque<WatchRecord>& watches() { return watches_; }
  std::uint64_t next_watcher() { return ++watchers_; }
  std::uint64_t next_stream() { return ++streams_; }
  // Keeps a thing for the rest of the run.
  void keep(std::shared_ptr<void> thing) { kept_.push_back(std::move(thing)); }
  // The process of a node died: its clients find their connections broken.
  void on_death(Node& node);

  Operation& begin(std::uint32_t client, AnyRequest request);
  // Numbers for operations and their values are the same: a value names its operation.
  [[nodiscard]] std::uint64_t next_number() const { return operations_.size() + 1; }

 private:
  friend class Client;
  struct Call {
    NodeId member;
    bool mutation = false;
    EventQueue::Handle timeout = 0;
    std::move_only_function<void(Answer)> done;
  };
  std::uint64_t add_call(Call call);
  void finish_call(std::uint64_t id, Answer answer);

  Cluster& cluster_;
  Prng prng_;
  std::deque<Operation> operations_;  // grows at the end only: references stay good
  std::deque<WatchRecord> watches_;   // likewise
  std::vector<std::shared_ptr<void>> kept_;
  std::int64_t revision_high_ = 1;
  std::uint64_t watchers_ = 0;
  std::uint64_t streams_ = 0;
  std::map<std::uint64_t, Call> calls_;
  std::uint64_t calls_made_ = 0;
  std::uint64_t active_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::size_t endpoint_count_ = 1;
  bool stopping_ = false;
};

class Client {
 public:
  Client(Clients& clients, std::uint32_t number, Prng prng);

  [[nodiscard]] Clients& clients() { return clients_; }
  [[nodiscard]] World& world() { return clients_.world(); }
  [[nodiscard]] Prng& prng() { return prng_; }
  [[nodiscard]] std::uint32_t number() const { return number_; }
  [[nodiscard]] std::uint64_t next_number() const { return clients_.next_number(); }
  // The newest revision any answer showed this client.
  [[nodiscard]] Revision revision_seen() const { return revision_seen_; }

  // Runs the request as one recorded operation. `retry`: with a RequestId, if this client has registered.
  Task<Operation*> execute(AnyRequest request, bool retry);
  Task<void> register_client();
  Task<void> sleep(std::int64_t ns);

  // Counts this client as active while it exists.
  class Active {
   public:
    explicit Active(Client& client) : clients_(client.clients_) { ++clients_.active_; }
    ~Active() { --clients_.active_; }
    Active(const Active&) = delete;
    Active& operator=(const Active&) = delete;

   private:
    Clients& clients_;
  };

  [[nodiscard]] NodeId pick_member();
  [[nodiscard]] Endpoint endpoint() { return world().client_endpoint(number_); }

 private:
  Task<Answer> attempt(AnyRequest request, RequestId id);
  void start_attempt(AnyRequest request, RequestId id, std::move_only_function<void(Answer)> done);
  void deliver_request(std::uint64_t call, NodeId to, AnyRequest request, RequestId id);
  void start_registration(std::move_only_function<void(Answer)> done);
  void conclude(Operation& operation, Answer answer);

  Clients& clients_;
  std::uint32_t number_;
  Prng prng_;
  NodeId favourite_;  // answered last
  ClientId id_;
  Sequence last_sequence_;
  Revision revision_seen_{1};
};

}  // namespace lockstep::sim
