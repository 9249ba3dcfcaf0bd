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
#include "sim/actor.h"
#include "sim/cluster.h"
#include "sim/history.h"

namespace lockstep::sim {

// All clients of a run: what they did so far, and the calls under way.
class Clients : public Recorder {
 public:
  Clients(Cluster& cluster, Prng prng);

  [[nodiscard]] Cluster& cluster() { return cluster_; }
  [[nodiscard]] World& world() { return cluster_.world; }
  [[nodiscard]] std::size_t endpoint_count() const { return endpoint_count_; }
  void set_endpoint_count(std::size_t count) { endpoint_count_ = count; }
  std::uint64_t next_stream() { return ++streams_; }
  // Keeps a thing for the rest of the run.
  void keep(std::shared_ptr<void> thing) { kept_.push_back(std::move(thing)); }
  // The process of a node died: its clients find their connections broken.
  void on_death(Node& node);

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
  std::vector<std::shared_ptr<void>> kept_;
  std::uint64_t streams_ = 0;
  std::map<std::uint64_t, Call> calls_;
  std::uint64_t calls_made_ = 0;
  std::size_t endpoint_count_ = 1;
};

class Client final : public Actor {
 public:
  Client(Clients& clients, std::uint32_t number, Prng prng);

  [[nodiscard]] Clients& clients() { return clients_; }
  [[nodiscard]] World& world() { return clients_.world(); }

  Task<Operation*> execute(AnyRequest request, bool retry) override;
  Task<void> register_client() override;
  Task<void> sleep(std::int64_t ns) override;

  [[nodiscard]] NodeId pick_member();
  [[nodiscard]] Endpoint endpoint() { return world().client_endpoint(number()); }

 private:
  Task<Answer> attempt(AnyRequest request, RequestId id);
  void start_attempt(AnyRequest request, RequestId id, std::move_only_function<void(Answer)> done);
  void deliver_request(std::uint64_t call, NodeId to, AnyRequest request, RequestId id);
  void start_registration(std::move_only_function<void(Answer)> done);
  void conclude(Operation& operation, Answer answer);

  Clients& clients_;
  NodeId favourite_;  // answered last
  ClientId id_;
  Sequence last_sequence_;
};

}  // namespace lockstep::sim
