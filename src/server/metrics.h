// What a member tells Prometheus about itself, beside what its gRPC and HTTP servers count. docs/metrics.md
// lists it.
//
// Everything is counted where it happens, in plain numbers on the strand; here they are only written down.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "engine/engine.h"
#include "gateway/pages/metrics_text.h"
#include "log/stats.h"
#include "platform/disk.h"
#include "platform/executor.h"
#include "platform/network.h"
#include "platform/process.h"
#include "replica/replica.h"

namespace lockstep::server {

struct MemberSample {
  replica::ReplicaStatus status;
  replica::ReplicaMetrics replica;
  log::Stats log;
  platform::DiskMetrics disk;
  engine::Stats engine;
  platform::NetworkMetrics network;
  platform::ExecutorMetrics strand;
  platform::ProcessMetrics process;
  std::uint64_t keys = 0;
  std::uint64_t leases = 0;
  std::uint64_t history_memory_bytes = 0;
  Revision compacted;
  std::uint64_t used_bytes = 0;
  Duration process_started{};  // since 1970
};

void write_metrics(const MemberSample& sample, gateway::MetricsText* text);
// The thread that does the work, of a member or a proxy.
void write_metrics(const platform::ExecutorMetrics& strand, gateway::MetricsText* text);

}  // namespace lockstep::server
