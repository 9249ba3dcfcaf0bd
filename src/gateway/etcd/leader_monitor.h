// Cuts the streams of clients that asked for it (`hasleader`) once this member knew no leader for three
// election timeouts: they reconnect to a member on the other side of the partition.
//
// A timer runs only while somebody is registered. Strand: the core's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "gateway/etcd/edge.h"

namespace lockstep::gateway {

class LeaderMonitor {
 public:
  explicit LeaderMonitor(Edge& edge) : edge_(edge) {}
  ~LeaderMonitor() { edge_.executor().cancel(timer_); }
  LeaderMonitor(const LeaderMonitor&) = delete;
  LeaderMonitor& operator=(const LeaderMonitor&) = delete;

  // One stream; deregisters itself. `lost` is called at most once and may destroy the registration.
  class Registration {
   public:
    Registration() = default;
    Registration(LeaderMonitor& monitor, std::uint64_t id) : monitor_(&monitor), id_(id) {}
    Registration(Registration&& other) noexcept
        : monitor_(std::exchange(other.monitor_, nullptr)), id_(other.id_) {}
    Registration& operator=(Registration&& other) noexcept {
      reset();
      monitor_ = std::exchange(other.monitor_, nullptr);
      id_ = other.id_;
      return *this;
    }
    ~Registration() { reset(); }
    void reset() {
      if (monitor_ != nullptr) std::exchange(monitor_, nullptr)->streams_.erase(id_);
    }

   private:
    LeaderMonitor* monitor_ = nullptr;
    std::uint64_t id_ = 0;
  };

  // Nothing happens for a call that did not ask for it.
  [[nodiscard]] Registration watch(const rpc::ServerCall& call, std::function<void()> lost);

 private:
  static constexpr int checks_without_leader_max = 3;

  void arm();
  void check();

  Edge& edge_;
  std::map<std::uint64_t, std::function<void()>> streams_;
  std::uint64_t next_id_ = 1;
  int checks_without_leader_ = 0;
  env::TimerId timer_;
};

}  // namespace lockstep::gateway
