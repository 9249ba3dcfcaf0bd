// The members of one simulated cluster: real replicas on simulated machines, and an observer who sees them
// all.
//
// The observer looks at a member after each of its events: who leads, what was applied, which effects it had.
// What members disagree about, and what they do that no injected fault excuses (halting, refusing to open),
// is reported at once as a violation. Nothing the observer does changes the run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "engine/memory_engine.h"
#include "replica/replica.h"
#include "sim/coverage.h"
#include "sim/history.h"
#include "sim/run_options.h"
#include "sim/storage.h"
#include "sim/world.h"

namespace lockstep::sim {

class Cluster;

// One life of one member.
class Member final : public Process {
 public:
  Member(Node& node, Cluster& cluster);
  ~Member() override;
  // Null if the directory could not be opened; the process is ending then.
  [[nodiscard]] replica::Replica* replica() { return replica_.get(); }
  // What remote clients hold here (watches), by number: it ends with the process.
  void keep(std::uint64_t number, std::shared_ptr<void> thing) { kept_[number] = std::move(thing); }
  void drop(std::uint64_t number) { kept_.erase(number); }

 private:
  friend class Cluster;
  std::unique_ptr<replica::Replica> replica_;

  // Declared after replica_, so that it is gone before it.
  std::map<std::uint64_t, std::shared_ptr<void>> kept_;

  // The observer's notes.
  std::int64_t revision_seen_ = 1;
  LogIndex applied_seen_;
  const store::StateMachine* machine_seen_ = nullptr;  // another one: a snapshot was installed
  Term led_term_seen_;
};

// Everything a data directory holds: files, and the rows of the engine.
struct Directory {
  SimDisk::Tree files;
  std::vector<std::tuple<engine::Table, std::string, std::string>> rows;
};

// One machine, over all its lives.
struct Machine {
  SimDiskStorage* storage = nullptr;  // owned by the node
  std::shared_ptr<engine::MemoryMedium> medium;
  std::unique_ptr<engine::Engine> engine;  // of the newest process; outlives what that left behind
  bool founder = false;
  bool joined = false;   // was in a committed configuration
  bool removed = false;  // not a member any more
  // Its directory holds damage, or lost something: at most a minority may, until it is repaired.
  bool damaged = false;
  std::uint64_t damaged_life = 0;
  LogIndex repaired_at;  // damage is over once a later life applied up to here and may vote
  bool open_failed = false;
  std::uint64_t halted_life = 0;  // ended itself in that life
  std::uint64_t error_life = 0;   // its disk was told to fail in that life
  Fault error_fault = Fault::sync_error;
  std::uint64_t times_full = 0;  // faults under way that leave no room on its disk

  // Its disk was told to misbehave: halting or refusing to open is what it should do then.
  [[nodiscard]] bool excused(std::uint64_t life) const {
    return damaged || times_full > 0 || error_life == life;
  }
};

class Cluster {
 public:
  Cluster(World& world, const RunOptions& options, Coverage& coverage);

  // A new machine, not started. Founders form the cluster together.
  NodeId add_machine(bool founder);
  void start(NodeId id);
  [[nodiscard]] std::size_t size() const { return machines_.size(); }
  [[nodiscard]] Machine& machine(NodeId id) { return machines_.at(id); }
  // Copies of the data directory; the other two only while the machine is down.
  [[nodiscard]] Directory save_directory(NodeId id);
  void restore_directory(NodeId id, const Directory& directory);
  void wipe_directory(NodeId id);
  // Null while it is down or still opening.
  [[nodiscard]] Member* member(NodeId id);
  [[nodiscard]] replica::Replica* replica(NodeId id);

  // Machines that are members, up or down, by id.
  [[nodiscard]] std::vector<NodeId> members() const;
  // Who leads with the highest term, as far as running members know themselves; zero: nobody.
  [[nodiscard]] NodeId leader();
  // The leader's configuration; without a leader the newest that a running member knows, or an empty one.
  [[nodiscard]] raft::Configuration configuration();
  [[nodiscard]] LogIndex highest_commit() const { return highest_applied_; }

  // One line: what each member thinks of itself.
  [[nodiscard]] std::string describe();

  void report(std::string checker, std::string text);
  [[nodiscard]] const Violations& violations() const { return violations_; }
  // Moves what was observed into `history`.
  void finish(History& history);

  World& world;
  const RunOptions& options;
  Coverage& coverage;

 private:
  friend class Member;

  void observe(Node& node);
  void observe_leader(Node& node, Member& member);
  void observe_effects(Node& node, Member& member);
  void observe_entries(Node& node, Member& member);
  [[nodiscard]] replica::Options replica_options(Node& node);
  // What a crash left of the engine, opened for the next process.
  void open_engine(NodeId id);
  void on_fatal(Node& node, const Status& why);

  std::map<NodeId, Machine> machines_;
  std::map<std::int64_t, RevisionEffects> effects_;
  std::map<LogIndex, CommitObservation> commits_;
  std::map<LogIndex, DigestObservation> digests_;
  std::map<Term, NodeId> leaders_;
  History observed_;
  LogIndex highest_applied_;
  Violations violations_;
};

}  // namespace lockstep::sim
