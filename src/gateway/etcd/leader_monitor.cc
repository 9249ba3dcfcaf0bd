#include "gateway/etcd/leader_monitor.h"

namespace lockstep::gateway {

LeaderMonitor::Registration LeaderMonitor::watch(const rpc::ServerCall& call, std::function<void()> lost) {
  if (call.metadata(metadata_names::has_leader) != "true") return {};
  const std::uint64_t id = next_id_++;
  streams_.emplace(id, std::move(lost));
  if (timer_ == env::TimerId()) arm();
  return {*this, id};
}

void LeaderMonitor::arm() {
  timer_ =
      edge_.executor().schedule(edge_.clock().now() + edge_.options().election_timeout, [this] { check(); });
}

void LeaderMonitor::check() {
  timer_ = {};
  checks_without_leader_ = edge_.cluster().has_leader() ? 0 : checks_without_leader_ + 1;
  if (checks_without_leader_ >= checks_without_leader_max) {
    checks_without_leader_ = 0;
    while (!streams_.empty()) {
      const auto lost = std::move(streams_.begin()->second);
      streams_.erase(streams_.begin());
      lost();
    }
  }
  if (!streams_.empty()) arm();
}

}  // namespace lockstep::gateway
