// A new cluster from a backup of another one (docs/decisions/0020-restored-clusters.md).
//
// Each member of the new cluster gets a directory that holds the backup's state, the new members as its
// configuration, and no log: what a member looks like that has just installed a snapshot. The members then
// find each other as founders do (birth.h), so that a directory which is made again later, while the cluster
// lives, is known for what it is and does not vote with its old state.
//
// Not deterministic in one thing: each directory draws its incarnation. Errors: the engine's and the disk's;
// corruption if the state cannot be loaded.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "engine/engine.h"
#include "env/disk.h"
#include "env/executor.h"
#include "env/random.h"
#include "replica/options.h"

namespace lockstep::replica {

struct RestoreOptions {
  std::vector<Member> members;
  std::int64_t revisions_raised = 0;
  std::string remark;  // what was restored, for whoever looks later
  // store::RebaseOptions
  std::function<std::string(std::string_view old_key)> token_key_of;
};

struct RestoredState {
  LogIndex index;
  Term term;
  Revision revision;
  Revision compacted;
  std::uint64_t keys = 0;
  std::uint64_t leases = 0;
};

// Turns the engine's content, a snapshot of another cluster, into the first state of the new one, and proves
// that it loads. Takes as much memory as the member will.
Result<RestoredState> restore_state(engine::Engine& engine, const RestoreOptions& options);

// Makes the directory's identity and empty log. Blocks.
Status make_member(env::Disk& disk, env::Worker& worker, env::Random& random, ClusterId cluster, NodeId self);

}  // namespace lockstep::replica
