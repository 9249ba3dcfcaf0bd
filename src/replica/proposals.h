// Mutations between the call and its answer: the batch being filled, and what was proposed or forwarded and
// not yet decided.
//
// Invariants:
//   1. Every callback is called exactly once (or dropped with the member).
//   2. A callback gets an error other than unknown_outcome only if its command was never proposed, or another
//      entry was COMMITTED at its index: an entry cut from our log may still be committed by another leader
//      (Raft paper, figure 8).
//   3. Callbacks run from run_completions() only, never inside an apply.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "replica/peer_message.h"
#include "store/command.h"
#include "store/result.h"
#include "store/store.h"

namespace lockstep::replica {

// Who waits for a batch that a peer forwarded.
struct ForwardOrigin {
  NodeId peer;
  ForwardId id;
};

struct RenewalWaiter {
  LeaseId id;
  store::Principal principal;
  store::Callback<store::LeaseKeepAliveResponse> done;
};

using CommandCallback =
    std::variant<std::monostate, store::Callback<store::PutResponse>,
                 store::Callback<store::DeleteRangeResponse>, store::Callback<store::TxnResponse>,
                 store::Callback<store::CompactResponse>, store::Callback<store::LeaseGrantResponse>,
                 store::Callback<store::LeaseRevokeResponse>, store::Callback<store::AlarmResponse>,
                 store::Callback<store::RegisterClientResponse>, store::Callback<store::AuthResponse>,
                 std::vector<RenewalWaiter>>;

struct PendingCommand {
  CommandCallback done;
  TimePoint deadline = no_deadline;
  std::stop_token cancellation;
};

// The commands of one entry or one forwarded batch.
struct PendingBatch {
  std::vector<PendingCommand> commands;
  TimePoint deadline_first = no_deadline;  // the earliest of the commands'
  std::optional<ForwardOrigin> origin;     // set: `commands` is empty, the answers go to a peer

  void add(PendingCommand command) {
    deadline_first = std::min(deadline_first, command.deadline);
    commands.push_back(std::move(command));
  }
};

class Proposals {
 public:
  // ---- proposed here as entries
  void proposed(LogIndex index, Term term, PendingBatch batch);
  // The batch that the committed entry (index, term) answers, if it is ours. Batches which that entry proves
  // lost are failed.
  [[nodiscard]] std::optional<PendingBatch> committed(LogIndex index, Term term);
  // A snapshot went past `index`: what was decided there is not known here.
  void skipped(LogIndex index);

  // ---- sent to the leader
  void forwarded(ForwardId id, NodeId leader, PendingBatch batch);
  // Nothing if `from` was not asked, or nobody waits any more.
  [[nodiscard]] std::optional<PendingBatch> answered(ForwardId id, NodeId from);
  // The leader's connection closed: it may or may not have got what is under way.
  void leader_lost(NodeId leader);

  // `leader` leads now. What others were sent is theirs to answer until `give_up`, then unknown: one that is
  // frozen keeps its connections.
  void leader_changed(NodeId leader, TimePoint give_up);

  // ---- answers
  // Hands out the results of one batch, in order.
  void complete(PendingBatch batch, std::vector<store::CommandResult> results, const store::Header& header);
  void fail(PendingBatch batch, const Status& status);
  // Gives up what is past its deadline or cancelled, outcome unknown.
  void expire(TimePoint now);
  // The same for a batch that is kept elsewhere.
  void expire_commands(PendingBatch& batch, TimePoint now) { expire_batch(batch, now, *this); }
  // Calls the callbacks that are due. Answers to peers come out of take_answers().
  void run_completions();
  struct PeerAnswer {
    NodeId peer;
    ForwardAnswer answer;
  };
  [[nodiscard]] std::vector<PeerAnswer> take_answers() { return std::exchange(answers_, {}); }

  [[nodiscard]] bool waiting() const { return !entries_.empty() || !forwards_.empty(); }
  // Batches that are not decided.
  [[nodiscard]] std::size_t pending() const { return entries_.size() + forwards_.size(); }
  // Since the start, expired ones too.
  [[nodiscard]] std::uint64_t commands_failed() const { return commands_failed_; }

 private:
  // Of one batch, as it came: commands are not moved one by one.
  struct Completion {
    std::vector<PendingCommand> commands;
    std::vector<store::CommandResult> results;  // one for each
  };
  struct Forwarded {
    NodeId leader;
    PendingBatch batch;
  };
  void fail_command(PendingCommand& command, const Status& status);
  static void expire_batch(PendingBatch& batch, TimePoint now, Proposals& self);

  // More than one batch at an index: an earlier leadership's may still wait for its fate (invariant 2).
  std::multimap<LogIndex, std::pair<Term, PendingBatch>> entries_;
  std::map<ForwardId, Forwarded> forwards_;
  std::vector<Completion> completions_;
  std::vector<PeerAnswer> answers_;
  std::uint64_t commands_failed_ = 0;
};

// Calls the callback with its part of the result.
void answer(CommandCallback& done, store::CommandResult result);

Status unknown_timeout();    // gave up waiting; the mutation may still take effect
Status unknown_lost();       // the member that had it is gone, or a snapshot went past it
Status too_many_requests();  // never proposed
Status not_done_replaced();  // another entry took its place: it never will take effect

}  // namespace lockstep::replica
