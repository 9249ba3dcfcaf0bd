// Linearizable reads between the call and its answer.
//
// All reads of one loop turn share one ReadIndex attempt; every attempt has a fresh id, also a repeated one:
// an answer to an old attempt says nothing about a newer read (I2).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "raft/types.h"

namespace lockstep::replica {

struct PendingRead {
  // Called with ok when the state may be read, or with the error.
  std::move_only_function<void(const Status&)> serve;
  TimePoint deadline = no_deadline;
};

class Reads {
 public:
  void add(PendingRead read) { building_.push_back(std::move(read)); }
  [[nodiscard]] bool building() const { return !building_.empty(); }
  // Starts an attempt for everything added since the last.
  [[nodiscard]] raft::ReadId start_attempt();

  void confirmed(raft::ReadId id, LogIndex index);
  // No leader confirmed it: the reads wait for retry().
  void failed(raft::ReadId id);
  // Those that failed go into the next attempt.
  void retry();
  [[nodiscard]] bool wants_retry() const { return !failed_.empty(); }

  // Serves everything whose index is applied. Serving may add new reads.
  void serve(LogIndex applied);
  // Refuses what is past its deadline.
  void expire(TimePoint now);
  [[nodiscard]] bool waiting() const { return !attempts_.empty() || !confirmed_.empty() || !failed_.empty(); }

 private:
  std::vector<PendingRead> building_;
  std::map<raft::ReadId, std::vector<PendingRead>> attempts_;
  std::multimap<LogIndex, std::vector<PendingRead>> confirmed_;
  std::vector<PendingRead> failed_;
  raft::ReadId last_id_;
};

Status read_timeout();  // deadline_exceeded: a read has no effect to be unknown

}  // namespace lockstep::replica
