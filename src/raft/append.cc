// The follower's side of replication (paper 5.3): what it accepts, and how it answers.
#include <algorithm>

#include "base/assert.h"
#include "base/planted.h"
#include "raft/raft.h"
#include "raft/trace.h"

namespace lockstep::raft {

void Raft::on_append(Message& message) {
  accept_leader(message);
  learn_from_leader(message);
  if (receiving_.has_value() && receiving_->installing) {
    // The state machine is being replaced: the log stands still until it is (F35). The leader sends again.
    trace("installs a snapshot and takes no entries");
    return;
  }
  const std::span<const Entry> entries = message.entries;
  const LogIndex last_new = message.index + entries.size();
  const std::optional<Term> previous_term = log_.term_at(message.index);
  if (message.index > log_.last_index() || (message.index > commit_ && previous_term != message.log_term)) {
    reject_append(message);
    return;
  }
  LS_MUST(message.index < log_.base_index() || previous_term == message.log_term,
          "a leader's log has every committed entry");
  const std::size_t known = log_.first_conflict(entries);
  if (known < entries.size()) append_entries(entries.subspan(known));
  // Committed entries are the leader's as well, whatever this message says about them.
  matched_ = std::max({matched_, last_new, commit_});
  LS_MUST(matched_ <= log_.last_index());
  commit_to(std::min(message.commit, matched_));
  if (receiving_.has_value() && commit_ >= receiving_->snapshot.index) abandon_snapshot();
  acknowledge_append(message, last_new);
}

// Replaces our log from entries.front() on.
void Raft::append_entries(std::span<const Entry> entries) {
  const LogIndex first = entries.front().index;
  LS_MUST(first > commit_, "a committed entry would be overwritten");
  LS_MUST(first > matched_, "a leader never replaces what it sent in its own term");
  LS_MUST(role_ == Role::follower);
  if (first <= log_.last_index()) {
    trace("drops entries ", first, " to ", log_.last_index());
    forget_configurations_from(first);
    clip_pending_persists(first.previous());
  }
  log_.append(entries, commit_);
  trace("appends ", first, " to ", log_.last_index());
  for (const Entry& entry : entries) {
    if (entry.kind != EntryKind::configuration) continue;
    Result<Configuration> configuration = decode_configuration(entry.payload.view());
    LS_MUST(configuration.ok(), "validate() decoded it");
    adopt_configuration(entry.index, *std::move(configuration));
  }
}

void Raft::reject_append(const Message& message) {
  Message response = respond(message, MessageKind::append_response);
  response.reject = true;
  response.index = message.index;
  response.hint_index = log_.last_possible_match(message.index, message.log_term);
  response.hint_term = log_.term_at(response.hint_index).value_or(Term{});
  trace("refuses entries after ", message.index, "@", message.log_term, ", hints at ", response.hint_index,
        "@", response.hint_term);
  send(std::move(response));
}

void Raft::acknowledge_append(const Message& message, LogIndex index) {
  Message response = respond(message, MessageKind::append_response);
  response.index = index;
  if (LS_PLANTED(ack_before_persist)) {
    send(std::move(response));
  } else {
    send_after_persist(std::move(response));
  }
}

void Raft::on_heartbeat(const Message& message) {
  accept_leader(message);
  learn_from_leader(message);
  const bool installing = receiving_.has_value() && receiving_->installing;
  // The commit index may be ahead of what we share with the leader (it may remember us with a longer log):
  // only what was compared in this term is known to be the leader's (P48).
  if (!installing) commit_to(std::min(message.commit, matched_));
  if (message.round == Round{}) return;
  Message response = respond(message, MessageKind::heartbeat_response);
  response.index = std::min(matched_, durable_);
  send(std::move(response));
}

// Doubt about this member's past is lifted or raised by the leader, which names the boot it means: a message
// meant for an earlier boot says nothing about this one.
void Raft::learn_from_leader(const Message& message) {
  LS_MUST(message.from == leader_);
  if (message.doubt_boot != boot_) return;
  if (message.round < restored_round_) return;  // overtaken
  if (message.in_doubt && !in_doubt_ && !LS_PLANTED(wiped_member_votes)) {
    trace("is in doubt: it lost what it had acknowledged");
    in_doubt_ = true;
  }
  if (message.restored_index == LogIndex{} || !in_doubt_) return;
  if (std::min(matched_, durable_) < message.restored_index) return;
  trace("may vote again");
  in_doubt_ = false;
  restored_round_ = message.round;
  output_.vote_restored = true;
}

}  // namespace lockstep::raft
