// The rows of a snapshot, made the rows of another cluster that begins with them (docs/decisions/0020).
//
// Keys, leases, users, roles and request ids stay as they are, and so do index, term and store clock. What
// belongs to the old members goes: their list is replaced, their alarms are dropped, their logins end. With
// the revision the auth revision is raised, so that no credential is given out a second time.
//
// A backup does not have the writes that came after it, whose revisions were handed out all the same: to
// watchers that will resume there, and as fencing tokens. So the revision may be raised above all of them.
// One effect is then written at the new revision, on a key that clients do not see, and everything below it
// is compacted: whoever resumes in between is told so instead of being shown another past (I4), and tokens go
// on growing (I5).
//
// Invariant: the outcome is a function of the engine's content and the options, so that members that are made
// from one file hold the same rows.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/engine.h"
#include "store/recovery.h"

namespace lockstep::store {

// The key of the effect at a raised revision: its value says what was restored.
std::string_view restored_key();

struct RebaseOptions {
  std::string configuration;          // of the new members, encoded by their driver
  std::int64_t revisions_raised = 0;  // zero: history stays too
  std::string remark;                 // value of restored_key()
  // The key that signs logins of the new cluster, from the old one's; else the old cluster's logins, and
  // names that were given out after the backup, would be good here.
  std::function<std::string(std::string_view old_key)> token_key_of;
};

// The raise that a revision still has room for; above it the revisions of years to come would not fit.
inline constexpr std::int64_t revisions_raised_max = std::int64_t{1} << 53;

// `recovered` is what recover() gave for the engine's present content. Nothing else may use the engine.
// Durable when it returns. Errors: corruption, out_of_range (no room for the raise), the engine's.
Status rebase(engine::Engine& engine, const Recovered& recovered, const RebaseOptions& options);

}  // namespace lockstep::store
