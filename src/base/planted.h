// Planted bugs: switches that break one rule each, so that the checkers can be shown to notice.
//
// LS_PLANTED(name) is the constant false, and costs nothing, unless LOCKSTEP_PLANTED_BUGS is defined; only
// the
// `_planted` twins of the libraries define it, and only test and simulator binaries link those. Add a bug to
// the table, then write `if (LS_PLANTED(name)) …` where the rule is kept.
#pragma once

#include <array>
#include <cstddef>
#include <iterator>
#include <string_view>

// X(name, "which rule it breaks")
#define LOCKSTEP_PLANTED_BUG_TABLE(X)                                                                     \
  X(vote_not_persisted, "a vote is answered before it is durable, and forgotten by a restart")            \
  X(old_term_commit_by_counting, "a leader commits an entry of an older term by counting copies")         \
  X(reused_read_round, "a read is confirmed by answers to a round that began before it")                  \
  X(leader_local_read, "a leader answers reads without asking whether it still leads")                    \
  X(ack_before_persist, "entries are acknowledged before they are durable")                               \
  X(no_vote_log_check, "a vote is given to a candidate whose log is behind")                              \
  X(commit_without_quorum_joint, "in a joint configuration only the incoming voters are counted")         \
  X(wiped_member_founds, "a founder with an empty directory takes the cluster for new")                   \
  X(wiped_member_votes, "a member that lost its log votes before it caught up")                           \
  X(ack_before_fsync, "the log reports a group durable when it is handed to the disk")                    \
  X(rename_without_directory_sync, "a new file is used before its name is durable")                       \
  X(chain_not_checked, "records left in a recycled file pass for new ones")                               \
  X(torn_tail_not_cut, "the log goes on behind a torn group instead of over it")                          \
  X(dropped_watch_event, "an applied event is not noted for its watchers")                                \
  X(duplicated_watch_event_on_catch_up, "a watcher that was caught up gets its last revision twice")      \
  X(watch_revision_split, "events of one revision are spread over answers nobody asked to split")         \
  X(lease_renewal_lost, "a renewal is answered, but the lease keeps its old deadline")                    \
  X(lease_expires_early, "a lease ends a second before its deadline")                                     \
  X(request_id_ignored, "a repeated request is executed again")                                           \
  X(txn_compare_skipped, "a transaction succeeds whatever it compares")                                   \
  X(revision_reused_after_delete, "a put behind a delete in one entry gets the revision of the delete")   \
  X(txn_nested_permission_skipped, "permissions are not checked inside nested transactions")              \
  X(compare_range_first_only, "a compare over a range looks at its first key only")                       \
  X(request_table_not_in_snapshot, "a snapshot leaves out the table of request ids")                      \
  X(lease_deadline_not_in_snapshot, "a snapshot leaves out when its leases end")                          \
  X(write_back_leads_effects, "current rows are merged before the history they come from is durable")     \
  X(token_reused, "fencing tokens are rounded: two holders, one after the other, may get the same")       \
  X(herd_wake_up, "whoever waits for a lock watches everybody before it")                                 \
  X(renewal_after_loss, "a session that was lost is renewed and used again")                              \
  X(permit_leaked, "a permit does not end with its holder's session")                                     \
  X(counter_add_repeated, "an add whose outcome was unknown is done again")                               \
  X(timer_fired_twice, "an acknowledgement is answered, and the timer stays where it was")                \
  X(timer_early_after_jump, "the timer clock follows a wall clock that jumped")                           \
  X(compensation_oldest_first, "a saga undoes its steps in the order in which they were done")            \
  X(two_leaders, "a candidate leads without waiting for whoever leads")                                   \
  X(limit_refilled_twice, "what a limit gets back for a time that passed is counted twice")               \
  X(id_worker_cut, "numbers carry the last bit of their worker number only")                              \
  X(stale_first_takes_effect, "whoever's time as the first is over takes effect all the same")            \
  X(latch_counts_party_twice, "a party that counts again is counted again")                               \
  X(transaction_sent_before_logged, "a call is sent before what it follows from is in the store")         \
  X(transaction_attempts_in_memory, "how often a call was tried is known to one coordinator only")        \
  X(transaction_undone_oldest_first, "branches are cancelled in the order in which they were tried")      \
  X(transaction_cancel_forgotten, "a participant that was told to cancel first does try afterwards")      \
  X(transaction_early_after_jump, "the clock of the coordinators follows a wall clock that jumped")       \
  X(transaction_presumed_commit, "what is undecided when its time limit passes is committed")             \
  X(transaction_unknown_not_undone, "a branch whose first phase has no outcome yet is not undone")        \
  X(message_sent_undecided, "a message is sent while nobody knows whether its sender did its part")       \
  X(message_check_forgotten, "a sender whose check said no does its part afterwards")                     \
  X(topic_offset_reused, "two publishers may give their messages the same offsets")                       \
  X(topic_claim_shared, "a partition is handed out while somebody works on it for the group")             \
  X(topic_lost_claim_settles, "a claim that was lost still moves its group's cursor")                     \
  X(topic_given_back_lost, "what is given back counts as acknowledged")                                   \
  X(topic_letter_lost, "a message that was delivered too often goes, and leaves no dead letter")          \
  X(lease_end_after_old_leader, "a new leader's term does not make up for renewals lost with the old")    \
  X(term_beginning_not_restored, "a member that restarts or gets a snapshot forgets when its term began") \
  X(renewal_never_logged, "renewals answered from memory do not reach the log")                           \
  X(clock_passes_renewal, "the store clock runs past the end of a lease renewed in memory only")          \
  X(renewal_unconfirmed, "a leader renews leases without asking whether it still leads")                  \
  X(term_forgets_late_renewals, "a term adds nothing for the age that a confirmation may have")           \
  X(lease_time_rounded_down, "a lease may end within the millisecond in which its time is up")            \
  X(entry_stamped_when_begun, "an entry has the time of its first command, a lease behind it too")

namespace lockstep::planted {

enum class Bug : unsigned {
#define LS_PLANTED_ENUMERATOR(name, what) name,
  LOCKSTEP_PLANTED_BUG_TABLE(LS_PLANTED_ENUMERATOR)
#undef LS_PLANTED_ENUMERATOR
};

struct Description {
  std::string_view name;
  std::string_view what;
};
inline constexpr Description table[] = {
#define LS_PLANTED_DESCRIPTION(name, what) {#name, what},
    LOCKSTEP_PLANTED_BUG_TABLE(LS_PLANTED_DESCRIPTION)
#undef LS_PLANTED_DESCRIPTION
};
inline constexpr std::size_t bug_count = std::size(table);

// Set between runs, by one thread, before the code under test runs.
inline std::array<bool, bug_count>& switches() {
  static std::array<bool, bug_count> states{};
  return states;
}
inline bool enabled(Bug bug) {
  return switches()[static_cast<unsigned>(bug)];
}
// False if there is no bug of that name.
inline bool set(std::string_view name, bool on) {
  for (std::size_t i = 0; i < bug_count; ++i) {
    if (table[i].name != name) continue;
    switches()[i] = on;
    return true;
  }
  return false;
}
inline void clear() {
  switches().fill(false);
}

}  // namespace lockstep::planted

#ifdef LOCKSTEP_PLANTED_BUGS
#define LS_PLANTED(name) (::lockstep::planted::enabled(::lockstep::planted::Bug::name))
#else
#define LS_PLANTED(name) false
#endif
