#include "raft/types.h"

#include "base/assert.h"

namespace lockstep::raft {

std::string_view to_string(EntryKind kind) {
  switch (kind) {
    case EntryKind::normal:
      return "normal";
    case EntryKind::configuration:
      return "configuration";
    case EntryKind::empty:
      return "empty";
  }
  LS_UNREACHABLE("no such kind of entry");
}

std::string_view to_string(Role role) {
  switch (role) {
    case Role::follower:
      return "follower";
    case Role::pre_candidate:
      return "pre-candidate";
    case Role::candidate:
      return "candidate";
    case Role::leader:
      return "leader";
  }
  LS_UNREACHABLE("no such role");
}

}  // namespace lockstep::raft
