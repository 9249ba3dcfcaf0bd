#include "replica/reads.h"

#include <utility>

#include "base/assert.h"

namespace lockstep::replica {

Status read_timeout() {
  return Status(Code::deadline_exceeded, "etcdserver: request timed out");
}

raft::ReadId Reads::start_attempt() {
  LS_MUST(!building_.empty());
  ++last_id_;
  const bool inserted = attempts_.emplace(last_id_, std::exchange(building_, {})).second;
  LS_MUST(inserted, "an attempt's id is used once");
  return last_id_;
}

void Reads::confirmed(raft::ReadId id, LogIndex index) {
  const auto found = attempts_.find(id);
  LS_MUST(found != attempts_.end(), "raft answers each attempt once");
  confirmed_.emplace(index, std::move(found->second));
  attempts_.erase(found);
}

void Reads::failed(raft::ReadId id) {
  const auto found = attempts_.find(id);
  LS_MUST(found != attempts_.end(), "raft answers each attempt once");
  for (PendingRead& read : found->second) failed_.push_back(std::move(read));
  attempts_.erase(found);
}

void Reads::retry() {
  for (PendingRead& read : failed_) building_.push_back(std::move(read));
  failed_.clear();
}

void Reads::serve(LogIndex applied) {
  while (!confirmed_.empty() && confirmed_.begin()->first <= applied) {
    std::vector<PendingRead> due = std::move(confirmed_.begin()->second);
    confirmed_.erase(confirmed_.begin());
    for (PendingRead& read : due) {
      if (read.serve) read.serve(Status());
    }
  }
}

void Reads::expire(TimePoint now) {
  std::vector<PendingRead> late;
  // An expired read stays in its attempt as an empty slot, so that raft's answer still finds the attempt.
  const auto sweep = [&](std::vector<PendingRead>& reads) {
    for (PendingRead& read : reads) {
      if (read.serve && read.deadline <= now) late.push_back(std::exchange(read, {}));
    }
  };
  sweep(building_);
  for (auto& [id, reads] : attempts_) sweep(reads);
  for (auto& [index, reads] : confirmed_) sweep(reads);
  sweep(failed_);
  std::erase_if(failed_, [](const PendingRead& read) { return !read.serve; });
  for (PendingRead& read : late) read.serve(read_timeout());
}

}  // namespace lockstep::replica
