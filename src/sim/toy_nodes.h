// Small protocols that prove the simulated world itself (tests only).
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/codec.h"
#include "env/environment.h"
#include "sim/world.h"

namespace lockstep::sim::toy {

// Nothing here stores anything.
class NoDisk final : public env::Disk {
 public:
  Result<std::unique_ptr<env::File>> open(const std::string&, env::OpenMode) override { return refused(); }
  Result<std::vector<std::string>> list(const std::string&) override { return refused(); }
  Status create_directory(const std::string&) override { return refused(); }
  Status rename(const std::string&, const std::string&) override { return refused(); }
  Status remove(const std::string&) override { return refused(); }
  Status remove_tree(const std::string&) override { return refused(); }
  Status sync_directory(const std::string&) override { return refused(); }
  Result<std::unique_ptr<env::DirectoryLock>> lock_directory(const std::string&) override {
    return refused();
  }
  Result<std::uint64_t> free_bytes() override { return refused(); }

 private:
  static Status refused() { return Status(Code::unimplemented, "this node has no disk"); }
};

class NoStorage final : public Storage {
 public:
  env::Disk& disk() override { return disk_; }
  void crash(DeathKind kind) override { last_death = kind; }
  DeathKind last_death = DeathKind::killed;

 private:
  NoDisk disk_;
};

// Pings every peer every 10 ms of its own clock; answers pings; counts.
class Pinger : public Process, private env::Receiver {
 public:
  Pinger(Node& node, std::size_t members) : env_(node.environment()), self_(node.id()), members_(members) {
    env_.network.set_receiver(this);
    for (std::uint64_t id = 1; id <= members; ++id) {
      if (NodeId(id) != self_) env_.network.set_peer(NodeId(id), "");
    }
    tick();
  }

  std::map<NodeId, std::uint64_t> pongs;
  std::map<NodeId, std::uint64_t> lost_notices;
  std::uint64_t ticks = 0;

 protected:
  env::Environment& environment() { return env_; }

 private:
  void tick() {
    ++ticks;
    for (std::uint64_t id = 1; id <= members_; ++id) {
      if (NodeId(id) != self_) send(NodeId(id), "ping");
    }
    env_.executor.schedule(env_.clock.now() + 10ms, [this] { tick(); });
  }
  void send(NodeId to, std::string text) {
    Pieces pieces;
    pieces.push_back(SharedBytes(std::move(text)));
    env_.network.send(to, std::move(pieces));
  }
  void on_message(NodeId from, SharedBytes message) override {
    if (message.view() == "ping") {
      // By way of the strand, so that posts are exercised too.
      env_.executor.post([this, from] { send(from, "pong"); });
    } else {
      ++pongs[from];
    }
  }
  void on_peer_lost(NodeId peer) override { ++lost_notices[peer]; }

  env::Environment& env_;
  NodeId self_;
  std::size_t members_;
};

}  // namespace lockstep::sim::toy
