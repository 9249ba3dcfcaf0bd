// Who takes part: voters, learners, and the joint state between two sets of voters (dissertation 4.3).
//
// A configuration is effective as soon as its entry is in the log and rolled back if the entry is truncated
// (docs/decisions/0015-configuration-at-append.md). While `voters_outgoing` is not empty the configuration is
// joint: every decision needs a majority of both sets.
//
// Invariants: every list is sorted and free of doubles and zeros; voters is not empty (P52), unless the whole
// configuration is (a member that has not heard of its cluster yet); no member is voter and learner, and
// learners_next are outgoing voters that become learners when the joint state is left.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"

namespace lockstep::raft {

// Carried unread beside the member lists: the driver's addresses of the members.
inline constexpr std::size_t configuration_context_bytes_max = 32 * limits::kibibyte;

struct Configuration {
  std::vector<NodeId> voters;
  std::vector<NodeId> voters_outgoing;  // not empty: joint
  std::vector<NodeId> learners;
  std::vector<NodeId> learners_next;
  bool auto_leave = false;  // the leader leaves the joint state by itself, once it is committed and applied
  std::string context;

  [[nodiscard]] bool joint() const { return !voters_outgoing.empty(); }
  [[nodiscard]] bool empty() const { return voters.empty(); }
  // In either set of voters.
  [[nodiscard]] bool is_voter(NodeId node) const;
  [[nodiscard]] bool is_learner(NodeId node) const;
  [[nodiscard]] bool contains(NodeId node) const { return is_voter(node) || is_learner(node); }
  // Voters of both sets and learners, sorted.
  [[nodiscard]] std::vector<NodeId> members() const;

  friend bool operator==(const Configuration&, const Configuration&) = default;
};

enum class MemberChangeKind : std::uint8_t {
  add_learner,  // a new member, which replicates but does not count
  promote,      // a caught-up learner becomes a voter
  demote,       // a voter becomes a learner
  remove,       // a voter or learner
};

struct MemberChange {
  MemberChangeKind kind = MemberChangeKind::add_learner;
  NodeId node;
};

// What to change. No changes at all, in a joint state without auto_leave: leave it.
struct ConfigurationChange {
  std::vector<MemberChange> changes;
  std::optional<std::string> context;  // replaces the old one
  bool auto_leave = true;
};

// The invariants above; the error says which is broken.
Status validate(const Configuration& configuration);

// The configuration to append for `change`: joint if the set of voters differs. Errors: invalid_argument
// (unknown or doubled member, no voter left, too many members, context too long), failed_precondition
// (already joint, or nothing to leave).
Result<Configuration> apply_change(const Configuration& current, const ConfigurationChange& change);
// The configuration after the joint one. Requires current.joint().
Configuration leave_joint(const Configuration& current);

std::string encode_configuration(const Configuration& configuration);
// Errors: corruption. What it returns is valid.
Result<Configuration> decode_configuration(std::string_view bytes);

// "voters 1 2 3 outgoing 1 2 learners 4"
std::string to_string(const Configuration& configuration);

// Does a majority of each set of voters satisfy `vote`? Both callables take a NodeId.
template <class Predicate>
bool majority(const std::vector<NodeId>& voters, Predicate&& vote) {
  std::size_t count = 0;
  for (const NodeId node : voters) count += vote(node) ? 1 : 0;
  return count > voters.size() / 2;
}
template <class Predicate>
bool quorum(const Configuration& configuration, Predicate&& vote) {
  if (!majority(configuration.voters, vote)) return false;
  return !configuration.joint() || majority(configuration.voters_outgoing, vote);
}

// The largest value that a majority of each set of voters has reached. `reached` maps a NodeId to an
// std::uint64_t.
std::uint64_t majority_value(std::vector<std::uint64_t> reached);
template <class Reached>
std::uint64_t quorum_value(const Configuration& configuration, Reached&& reached) {
  const auto of = [&](const std::vector<NodeId>& voters) {
    std::vector<std::uint64_t> values;
    values.reserve(voters.size());
    for (const NodeId node : voters) values.push_back(reached(node));
    return majority_value(std::move(values));
  };
  const std::uint64_t incoming = of(configuration.voters);
  if (!configuration.joint()) return incoming;
  const std::uint64_t outgoing = of(configuration.voters_outgoing);
  return incoming < outgoing ? incoming : outgoing;
}

}  // namespace lockstep::raft
