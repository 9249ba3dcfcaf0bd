#include "replica/proposals.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace lockstep::replica {

Status unknown_timeout() {
  return Status(Code::unknown_outcome, "etcdserver: request timed out");
}
Status unknown_lost() {
  return Status(Code::unknown_outcome, "etcdserver: request timed out, possibly due to connection lost");
}
Status too_many_requests() {
  return Status(Code::resource_exhausted, "etcdserver: too many requests");
}
Status not_done_replaced() {
  return Status(Code::unavailable, "etcdserver: leader changed");
}

namespace {

void set_header(store::Header* header, const store::Header& from) {
  header->cluster = from.cluster;
  header->member = from.member;
  header->term = from.term;
}

void answer_renewals(std::vector<RenewalWaiter>& waiters, store::CommandResult result) {
  if (!result.ok()) {
    for (RenewalWaiter& waiter : waiters) waiter.done(result.status());
    return;
  }
  auto* response = std::get_if<store::LeaseRenewResponse>(&*result);
  LS_MUST(response != nullptr);
  LS_MUST(response->renewals.size() == waiters.size());
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    LS_MUST(response->renewals[i].id == waiters[i].id);
    response->renewals[i].header = response->header;
    waiters[i].done(std::move(response->renewals[i]));
  }
}

template <class Wanted>
void answer_one(store::Callback<Wanted>& done, store::CommandResult result) {
  if (!result.ok()) return done(result.status());
  auto* response = std::get_if<Wanted>(&*result);
  // A client used a RequestId again for a request of another kind: the kept answer is the first one's, and
  // the second was not executed.
  if (response == nullptr) {
    return done(Status(Code::invalid_argument, "request id belongs to another request"));
  }
  done(std::move(*response));
}

}  // namespace

void answer(CommandCallback& done, store::CommandResult result) {
  std::visit(
      [&]<class T>(T& callback) {
        if constexpr (std::is_same_v<T, std::vector<RenewalWaiter>>) {
          answer_renewals(callback, std::move(result));
        } else if constexpr (!std::is_same_v<T, std::monostate>) {
          answer_one(callback, std::move(result));
        }
      },
      done);
}

void Proposals::proposed(LogIndex index, Term term, PendingBatch batch) {
  LS_MUST(index > LogIndex(0));
  LS_MUST(term > Term(0));
  entries_.emplace(index, std::pair(term, std::move(batch)));
}

std::optional<PendingBatch> Proposals::committed(LogIndex index, Term term) {
  std::optional<PendingBatch> ours;
  while (!entries_.empty() && entries_.begin()->first <= index) {
    auto& [proposed_term, batch] = entries_.begin()->second;
    if (entries_.begin()->first == index && proposed_term == term) {
      LS_MUST(!ours.has_value(), "one term has one entry at an index");
      ours = std::move(batch);
    } else {
      fail(std::move(batch), not_done_replaced());
    }
    entries_.erase(entries_.begin());
  }
  return ours;
}

void Proposals::skipped(LogIndex index) {
  while (!entries_.empty() && entries_.begin()->first <= index) {
    fail(std::move(entries_.begin()->second.second), unknown_lost());
    entries_.erase(entries_.begin());
  }
}

void Proposals::forwarded(ForwardId id, NodeId leader, PendingBatch batch) {
  LS_MUST(id != ForwardId{});
  const bool inserted = forwards_.emplace(id, Forwarded{leader, std::move(batch)}).second;
  LS_MUST(inserted, "a forward id is used once");
}

std::optional<PendingBatch> Proposals::answered(ForwardId id, NodeId from) {
  const auto found = forwards_.find(id);
  if (found == forwards_.end() || found->second.leader != from) return std::nullopt;
  PendingBatch batch = std::move(found->second.batch);
  forwards_.erase(found);
  return batch;
}

void Proposals::leader_lost(NodeId leader) {
  for (auto it = forwards_.begin(); it != forwards_.end();) {
    if (it->second.leader == leader) {
      fail(std::move(it->second.batch), unknown_lost());
      it = forwards_.erase(it);
    } else {
      ++it;
    }
  }
}

void Proposals::leader_changed(NodeId leader, TimePoint give_up) {
  for (auto& [id, forwarded] : forwards_) {
    if (forwarded.leader == leader) continue;
    for (PendingCommand& command : forwarded.batch.commands) {
      command.deadline = std::min(command.deadline, give_up);
    }
    forwarded.batch.deadline_first = std::min(forwarded.batch.deadline_first, give_up);
  }
}

void Proposals::complete(PendingBatch batch, std::vector<store::CommandResult> results,
                         const store::Header& header) {
  for (store::CommandResult& result : results) {
    if (!result.ok()) continue;
    std::visit([&](auto& response) { set_header(&response.header, header); }, *result);
  }
  if (batch.origin) {
    answers_.push_back(
        {batch.origin->peer, ForwardAnswer{batch.origin->id, header.member, Status(), std::move(results)}});
    return;
  }
  LS_MUST(batch.commands.size() == results.size());
  completions_.push_back({std::move(batch.commands), std::move(results)});
}

void Proposals::fail_command(PendingCommand& command, const Status& status) {
  LS_MUST(!status.ok());
  if (std::holds_alternative<std::monostate>(command.done)) return;
  ++commands_failed_;
  Completion& completion = completions_.emplace_back();
  completion.commands.push_back({std::exchange(command.done, std::monostate{}), {}, {}});
  completion.results.emplace_back(status);
}

void Proposals::fail(PendingBatch batch, const Status& status) {
  if (batch.origin) {
    answers_.push_back({batch.origin->peer, ForwardAnswer{batch.origin->id, NodeId{}, status, {}}});
    return;
  }
  for (PendingCommand& command : batch.commands) fail_command(command, status);
}

void Proposals::expire_batch(PendingBatch& batch, TimePoint now, Proposals& self) {
  TimePoint first = no_deadline;
  for (PendingCommand& command : batch.commands) {
    if (command.deadline <= now || command.cancellation.stop_requested()) {
      self.fail_command(command, unknown_timeout());
    } else {
      first = std::min(first, command.deadline);
    }
  }
  batch.deadline_first = first;
}

void Proposals::expire(TimePoint now) {
  for (auto& [index, entry] : entries_) expire_batch(entry.second, now, *this);
  for (auto it = forwards_.begin(); it != forwards_.end();) {
    expire_batch(it->second.batch, now, *this);
    // Nobody waits any more: the answer, should it come, is for nobody.
    it = it->second.batch.deadline_first == no_deadline ? forwards_.erase(it) : std::next(it);
  }
}

void Proposals::run_completions() {
  while (!completions_.empty()) {
    std::vector<Completion> due = std::exchange(completions_, {});
    for (Completion& completion : due) {
      for (std::size_t i = 0; i < completion.commands.size(); ++i) {
        answer(completion.commands[i].done, std::move(completion.results[i]));
      }
    }
  }
}

}  // namespace lockstep::replica
