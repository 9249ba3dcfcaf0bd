#include "replica/restore.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "log/log.h"
#include "raft/configuration.h"
#include "replica/addresses.h"
#include "store/engine_history.h"
#include "store/rebase.h"
#include "store/recovery.h"
#include "store/state_machine.h"

namespace lockstep::replica {
namespace {

Result<store::Recovered> load(engine::Engine& engine, RestoredState* state) {
  store::EngineHistory history(engine);
  store::StateMachine machine({}, &history);
  LS_ASSIGN_OR_RETURN(store::Recovered recovered, store::recover(engine, machine));
  if (recovered.applied == LogIndex{}) return Status(Code::corruption, "the snapshot has no state");
  state->index = recovered.applied;
  state->term = recovered.term;
  state->revision = recovered.revision;
  state->compacted = recovered.compacted;
  state->keys = machine.key_count();
  state->leases = machine.lease_count();
  return recovered;
}

}  // namespace

Result<RestoredState> restore_state(engine::Engine& engine, const RestoreOptions& options) {
  LS_MUST(!options.members.empty());
  raft::Configuration configuration;
  for (const Member& member : options.members) configuration.voters.push_back(member.id);
  std::ranges::sort(configuration.voters);
  configuration.context = encode_addresses(options.members);
  LS_RETURN_IF_ERROR(raft::validate(configuration));
  RestoredState state;
  {
    LS_ASSIGN_OR_RETURN(const store::Recovered recovered, load(engine, &state));
    store::RebaseOptions rebase;
    rebase.configuration = raft::encode_configuration(configuration);
    rebase.revisions_raised = options.revisions_raised;
    rebase.remark = options.remark;
    rebase.token_key_of = options.token_key_of;
    LS_RETURN_IF_ERROR(store::rebase(engine, recovered, rebase));
  }
  const std::uint64_t leases = state.leases;
  LS_RETURN_IF_ERROR(load(engine, &state).status());
  LS_MUST(state.leases == leases, "nothing but members and history changed");
  return state;
}

Status make_member(env::Disk& disk, env::Worker& worker, env::Random& random, ClusterId cluster,
                   NodeId self) {
  log::Options options;
  options.cluster = cluster;
  options.node = self;
  options.new_incarnation = IncarnationId(random.next() | 1);
  std::optional<Status> fatal;
  LS_ASSIGN_OR_RETURN(const log::Log::Opened opened,
                      log::Log::open(disk, worker, options, [&fatal](const Status& why) { fatal = why; }));
  LS_MUST(opened.recovered.made_now, "a directory of its own");
  return fatal.value_or(Status());
}

}  // namespace lockstep::replica
