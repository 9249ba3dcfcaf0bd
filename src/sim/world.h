// A simulated world: one queue of events, one true time, some nodes, the wires between them.
//
// Contract: everything that happens follows from the seed. The end number is a running hash over each event
// (time, owner, kind) and each delivered message's bytes; two runs of one seed must end with the same one.
// A failing assertion inside a node kills that node only and is recorded. One world at a time on a thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/prng.h"
#include "sim/event_queue.h"
#include "sim/links.h"
#include "sim/node.h"

namespace lockstep::sim {

struct WorldOptions {
  std::size_t nodes_max = 16;    // members, present and future
  std::size_t clients_max = 16;  // endpoints that are not members
  LinkOptions links;
  // Of the peers of a killed process, the share that is told by a broken connection.
  std::uint32_t peer_lost_ppm = 700'000;
  // At most so many events at one instant; more is a loop that never lets time go on.
  std::uint64_t events_at_one_time_max = 2'000'000;
};

struct AssertionRecord {
  NodeId node;
  std::int64_t time_ns = 0;
  std::string text;
};

class World {
 public:
  World(std::uint64_t seed, const WorldOptions& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Nanoseconds of true time since the world began.
  [[nodiscard]] std::int64_t now() const { return now_; }
  [[nodiscard]] std::uint64_t events() const { return events_; }
  [[nodiscard]] std::uint64_t end_number() const { return hash_; }

  // A control event: the world's own, belongs to no node.
  EventQueue::Handle at(std::int64_t time, env::Closure closure);
  EventQueue::Handle after(std::int64_t delay, env::Closure closure) {
    return at(now_ + delay, std::move(closure));
  }
  void cancel(EventQueue::Handle handle) { queue_.cancel(handle); }

  // Runs every event up to and including `time`, then stands at `time`. Returns early if stop() was called.
  void run_until(std::int64_t time);
  // Runs one event at or before `until`; false if there is none.
  bool step(std::int64_t until);
  void stop() { stopped_ = true; }
  [[nodiscard]] bool stopped() const { return stopped_; }

  // A new machine, not yet started. Ids count from 1 in order of creation.
  Node& add_node(std::unique_ptr<Storage> storage, ProcessFactory factory);
  [[nodiscard]] Node& node(NodeId id);
  [[nodiscard]] std::size_t node_count() const { return nodes_.size(); }
  // The next id add_node() gives.
  [[nodiscard]] NodeId next_node_id() const { return NodeId(nodes_.size() + 1); }
  void start(NodeId id);
  // The process dies now. From inside one of its own events, at the end of that event.
  void crash(NodeId id, DeathKind kind);
  // A notice that `peer` is lost, right or wrong.
  void tell_peer_lost(NodeId node, NodeId peer);

  [[nodiscard]] Links& links() { return links_; }
  [[nodiscard]] static Endpoint member_endpoint(NodeId id) { return static_cast<Endpoint>(id.value() - 1); }
  [[nodiscard]] Endpoint client_endpoint(std::size_t client) const;
  // Carries a client's message: `deliver` runs as a control event when it arrives, or never.
  void carry(Endpoint from, Endpoint to, std::size_t bytes, env::Closure deliver);

  // An independent stream of numbers for a part of the run.
  [[nodiscard]] Prng fork_prng() { return prng_.fork(); }

  // Runs `closure` for a node after `delay`, unless its process dies first: for devices of the machine.
  void schedule_for(NodeId id, std::int64_t delay, EventKind kind, env::Closure closure);

  // Called after each event of a process that lived through it: where an omniscient observer looks in.
  void on_event(std::function<void(Node&)> observer) { event_observer_ = std::move(observer); }
  // Called after a process died, before it can be started again.
  void on_death(std::function<void(Node&)> observer) { death_observer_ = std::move(observer); }
  [[nodiscard]] const std::vector<AssertionRecord>& assertions() const { return assertions_; }
  // By how much a clock of any node has run fast or slow so far.
  [[nodiscard]] std::int32_t clock_rate_ppm_most() const { return clock_rate_ppm_most_; }
  // Mixes a fact of the run into the end number.
  void mix(std::uint64_t value);

  // Tracing costs only when a sink is set: guard the making of the text by tracing().
  void set_trace(std::function<void(const std::string&)> sink) { trace_sink_ = std::move(sink); }
  [[nodiscard]] bool tracing() const { return trace_sink_ != nullptr; }
  void trace(const std::string& text);

  // The world whose event runs on this thread, or null.
  static World* current();

 private:
  friend class Node;

  [[nodiscard]] EventQueue& queue() { return queue_; }
  [[nodiscard]] Prng& prng() { return prng_; }
  void send(Node& from, NodeId to, Pieces pieces);
  void break_connections_of(Node& node);
  void trace_event(const Event& event);
  static void on_assertion(const char* condition, const char* hint, const char* file, int line);

  WorldOptions options_;
  Prng prng_;
  Prng post_prng_;
  EventQueue queue_;
  Links links_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::function<void(Node&)> event_observer_;
  std::function<void(Node&)> death_observer_;
  std::function<void(const std::string&)> trace_sink_;
  std::vector<AssertionRecord> assertions_;
  std::int64_t now_ = 0;
  std::int32_t clock_rate_ppm_most_ = 0;
  std::uint64_t hash_;
  std::uint64_t events_ = 0;
  std::uint64_t events_at_now_ = 0;
  Node* running_ = nullptr;  // whose event runs
  bool stopped_ = false;
};

}  // namespace lockstep::sim
