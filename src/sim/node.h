// One simulated machine: the env ports of a member, its clock, and the life of the process on it.
//
// A node outlives its processes. A process is built by the node's factory when the node starts and destroyed
// when it crashes; between "doomed" (an assertion failed, the disk stopped at a step, the process ended
// itself) and its destruction at the end of the running event, nothing it does reaches the world any more.
// Everything here is called from the world's single thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "env/environment.h"
#include "sim/event_queue.h"
#include "sim/secrets.h"

namespace lockstep::sim {

class World;
class Node;

// What runs on a node. Its destructor is memory hygiene only: the process is already dead.
class Process {
 public:
  virtual ~Process() = default;
};
using ProcessFactory = std::function<std::unique_ptr<Process>(Node&)>;

enum class DeathKind : std::uint8_t {
  killed,     // the process died, the machine did not: what was written stays in the page cache
  power_cut,  // what was not synced may be lost
};

// The part of a simulated disk the world needs besides the port.
class Storage {
 public:
  virtual ~Storage() = default;
  virtual env::Disk& disk() = 0;
  // The process is gone: open files and locks are closed, late calls of its objects have no effect.
  virtual void crash(DeathKind kind) = 0;
};

// A clock with an offset and a rate. Local time is a piecewise linear function of true time.
class DriftingClock {
 public:
  // Parts per million by which the clock runs fast (or slow, below zero).
  static constexpr std::int32_t rate_ppm_max = 50'000;

  DriftingClock(std::int64_t true_ns, std::int64_t local_ns, std::int32_t rate_ppm);
  void set_rate(std::int64_t true_ns, std::int32_t rate_ppm);
  [[nodiscard]] std::int64_t local_at(std::int64_t true_ns) const;
  // The first moment of true time at which local_at() reaches `local_ns`, at the present rate.
  [[nodiscard]] std::int64_t true_at(std::int64_t local_ns) const;
  [[nodiscard]] std::int32_t rate_ppm() const { return rate_ppm_; }

 private:
  std::int64_t true_anchor_;
  std::int64_t local_anchor_;
  std::int32_t rate_ppm_;
};

class Node final : private env::Clock,
                   private env::Random,
                   private env::Executor,
                   private env::Worker,
                   private env::Network {
 public:
  Node(World& world, Owner owner, NodeId id, Prng prng, std::unique_ptr<Storage> storage,
       ProcessFactory factory);
  ~Node() override;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  [[nodiscard]] NodeId id() const { return id_; }
  [[nodiscard]] Owner owner() const { return owner_; }
  [[nodiscard]] bool running() const { return alive_ && !doomed_; }
  [[nodiscard]] bool paused() const { return paused_; }
  [[nodiscard]] Process* process() { return process_.get(); }
  [[nodiscard]] Storage& storage() { return *storage_; }
  [[nodiscard]] env::Environment& environment() { return environment_; }
  [[nodiscard]] World& world() { return world_; }
  // How often a process was started here.
  [[nodiscard]] std::uint64_t lives() const { return lives_; }

  // Runs `closure` on this node's strand: how the world (a client's request) enters a process. Dropped if the
  // process dies first.
  void run_on_strand(env::Closure closure);

  // Called by code of the process itself: it is dead from here on, and destroyed when the event ends.
  void doom(DeathKind kind);
  [[nodiscard]] bool doomed() const { return doomed_; }

  // SIGSTOP and SIGCONT. Events wait and then run in their old order.
  void pause() { paused_ = alive_; }
  void resume();

  void set_clock_rate(std::int32_t rate_ppm);
  // Moves the wall clock only.
  void jump_wall_clock(std::int64_t jump_ns) { wall_offset_ns_ += jump_ns; }
  [[nodiscard]] std::int32_t clock_rate_ppm() const { return clock_.rate_ppm(); }
  [[nodiscard]] std::int64_t local_now_ns() const;
  // Largest time a piece of background work waits; drawn up to it.
  void set_worker_delay_max(std::int64_t delay_ns) { worker_delay_max_ns_ = delay_ns; }

 private:
  friend class World;

  // env::Clock
  TimePoint now() override;
  Duration wall_now() override;
  // env::Random
  std::uint64_t next() override { return prng_.next(); }
  // env::Executor
  void post(env::Closure closure) override;
  void post_from_any_thread(env::Closure closure) override { post(std::move(closure)); }
  env::TimerId schedule(TimePoint deadline, env::Closure closure) override;
  void cancel(env::TimerId timer) override;
  // env::Worker
  void submit(env::Closure work, env::Closure done) override;
  // env::Network
  void set_receiver(env::Receiver* receiver) override { receiver_ = receiver; }
  void set_peer(NodeId peer, const std::string& address) override;
  void remove_peer(NodeId peer) override;
  void send(NodeId to, Pieces pieces) override;

  // The rest is the world's side.
  void start();
  void die();
  // True when the event is kept for later instead.
  bool hold_if_paused(std::uint32_t slot);
  void run(std::uint32_t slot);

  World& world_;
  const Owner owner_;
  const NodeId id_;
  Prng prng_;
  std::unique_ptr<Storage> storage_;
  ProcessFactory factory_;
  SimSecrets secrets_;
  env::Environment environment_;
  DriftingClock clock_;
  std::int64_t wall_offset_ns_;
  std::unique_ptr<Process> process_;
  env::Receiver* receiver_ = nullptr;
  std::vector<NodeId> peers_;
  std::vector<std::uint32_t> held_slots_;
  std::int64_t strand_time_ = 0;  // posts keep their order
  std::int64_t worker_time_ = 0;  // pieces of work keep theirs
  std::int64_t worker_delay_max_ns_ = 2'000'000;
  std::uint64_t lives_ = 0;
  bool alive_ = false;
  bool paused_ = false;
  bool doomed_ = false;
  DeathKind death_ = DeathKind::killed;
};

}  // namespace lockstep::sim
