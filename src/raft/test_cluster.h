// Members with simulated disks and a bag of messages: the smallest driver of Raft that can crash anywhere.
// For the golden scripts and the random cluster test; one thread.
//
// A member's writes become durable one by one when persist() says so; a crash keeps a prefix of them. Its
// state machine is a chained digest of the normal payloads, so that equal digests mean equal histories.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raft/raft.h"

namespace lockstep::raft {

// What the disk holds.
struct TestDisk {
  HardState hard_state;
  Configuration base_configuration;
  LogIndex base_index;
  Term base_term;
  std::vector<Entry> entries;
  SnapshotDescription snapshot;  // index 0: none
  std::uint64_t snapshot_digest = 0;
  bool may_vote = true;

  [[nodiscard]] LogIndex last_index() const { return base_index + entries.size(); }
};

struct TestWrite {
  PersistId id;
  std::optional<LogReset> reset;
  Configuration reset_configuration;
  std::vector<Entry> entries;
  std::optional<HardState> hard_state;
  bool vote_restored = false;
};

struct TestMember {
  struct Outgoing {
    SnapshotDescription snapshot;
    std::string content;
    std::uint64_t stored = 0;
    TimePoint sent;
  };
  struct Incoming {
    SnapshotDescription snapshot;
    std::string content;
    bool complete = false;
  };
  struct Held {
    PersistId after;
    Message message;
  };

  std::unique_ptr<Raft> raft;  // null: down
  TestDisk disk;
  std::deque<TestWrite> writes;
  std::deque<Held> held;
  LogIndex applied;
  std::uint64_t digest = 0;
  std::map<NodeId, Outgoing> outgoing;
  std::optional<Incoming> incoming;
  bool eager = false;  // somebody here waits for what is committed

  [[nodiscard]] bool up() const { return raft != nullptr; }
};

class TestCluster {
 public:
  struct Hooks {
    std::function<void(NodeId, const Entry&)> applied;
    std::function<void(NodeId, const Entry&)> appended;
    std::function<void(NodeId, const ReadResult&)> read;
    std::function<void(NodeId, const RoleChange&)> role;
    std::function<void(NodeId, LogIndex index, std::uint64_t digest)> installed;
    std::function<void(NodeId, const std::string&)> trace;
    std::function<void(const Message&)> sent;
  };

  TestCluster(Options options, std::uint64_t seed) : options_(options), prng_(seed) {}

  Hooks hooks;
  // Persist and install at once, without being told to.
  bool auto_persist = false;
  std::size_t snapshot_bytes = 24;
  std::size_t chunk_bytes = 16;

  // Known to nobody yet if `configuration` is empty.
  void add(NodeId id, Configuration configuration, std::vector<Entry> entries = {}, HardState hard_state = {},
           bool may_vote = true);
  void crash(NodeId id, std::size_t writes_kept);
  void restart(NodeId id);
  // The directory is gone; the member joins again under its id.
  void wipe(NodeId id);

  void advance(Duration duration) { now_ += duration; }
  void tick(NodeId id);
  // To the member, through the wire format. Dropped if it is down.
  void deliver(const Message& message);
  // Takes the member's output and does what a driver does with it.
  void pump(NodeId id);
  // The oldest `count` writes are durable.
  void persist(NodeId id, std::size_t count = SIZE_MAX);
  // The received snapshot becomes the state.
  void install(NodeId id);
  void refuse(NodeId id);
  // A snapshot of the applied state; the log keeps `keep` entries before it.
  void snapshot(NodeId id, std::uint64_t keep = 0);

  [[nodiscard]] TimePoint now() const { return now_; }
  std::map<NodeId, TestMember>& members() { return members_; }
  TestMember& member(NodeId id);
  Raft& raft(NodeId id) { return *member(id).raft; }
  std::vector<Message>& network() { return network_; }
  // For members that start from now on.
  void set_options(const Options& options) { options_ = options; }

 private:
  void start(NodeId id);
  void send(Message message);
  void apply(NodeId id, TestMember& member, const std::vector<Entry>& entries);
  void handle_snapshots(TestMember& member, Output& output);
  void send_chunk(TestMember& member, NodeId peer);
  [[nodiscard]] std::string content(std::uint64_t digest) const;

  Options options_;
  Prng prng_;
  TimePoint now_ = TimePoint(1s);
  std::map<NodeId, TestMember> members_;
  std::vector<Message> network_;
  std::uint64_t snapshots_made_ = 0;
};

// The digest after one more payload.
std::uint64_t chain_digest(std::uint64_t digest, const Entry& entry);

}  // namespace lockstep::raft
