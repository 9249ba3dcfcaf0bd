// One transaction's step: what arrived and what time it is go into its journal; once that is written, what
// its machine names is sent.
#include <algorithm>
#include <chrono>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "service/transaction/term.h"
#include "service/transaction/transition.h"

namespace lockstep::service::transaction {
namespace {

// What rests with a longer journal is read again.
constexpr std::size_t resting_journal_bytes_max = 4096;
constexpr std::size_t resting_calls_max = 16;
// In the client, for a call's turn; then it counts as not sent.
constexpr Duration turn_time_max = 30s;

const Call* named_in(const Next& next, const SentCall& sent) {
  for (const Call& call : next.calls) {
    if (call.operation == sent.operation && call.branch == sent.branch && call.round == sent.round)
      return &call;
  }
  return nullptr;
}

CallState* find_row(State& state, const Call& call) {
  return const_cast<CallState*>(find_call(state, call.branch, call.operation));
}
CallState& row_of(State& state, const Call& call) {
  if (CallState* known = find_row(state, call)) return *known;
  CallState& made = state.calls.emplace_back();
  made.branch = call.branch;
  made.operation = call.operation;
  return made;
}

std::int64_t in_ms(Duration duration) {
  return std::chrono::ceil<std::chrono::milliseconds>(duration).count();
}

// Of the second phase: somebody else's reservations, locks or losses last until it is done.
bool ends_something(Operation operation) {
  return operation == Operation::confirm || operation == Operation::cancel ||
         operation == Operation::commit || operation == Operation::rollback ||
         operation == Operation::compensate;
}

// Of the first phase: what a refusal of it says decides what is undone.
bool begins_something(Operation operation) {
  return operation == Operation::action || operation == Operation::attempt || operation == Operation::prepare;
}

bool has_time_limit(Verdict verdict) {
  return verdict == Verdict::running || verdict == Verdict::waiting;
}

}  // namespace

void Term::step(Active& active) {
  LS_MUST(!active.writing, "one transition at a time");
  if (active.loading || !build(active)) return;
  use_room(active);
  bool changed = take_arrived(active);
  changed = take_time(active) || changed;
  changed = take_given_up(active) || changed;
  changed = drop_unsent(active) || changed;
  begin_delays(active);
  changed = record_attempts(active) || changed;
  account(active);
  if (changed) {
    if (LS_PLANTED(transaction_sent_before_logged)) send_due(active);
    return want_write(active);
  }
  send_due(active);
  schedule(active, due_of(active));
  rest(active);
}

const Next& Term::next_of(Active& active) {
  LS_MUST(active.machine != nullptr);
  if (!active.next.has_value()) active.next = active.machine->next();
  return *active.next;
}

// False: the machine named the call and does not take its outcome. Only that transaction stops then.
bool Term::tell(Active& active, JournalLine line) {
  line.at_ms = std::max<std::int64_t>(wall_ms() - active.state->created_ms, 0);
  const Status told = record(*active.state, *active.machine, std::move(line));
  active.next.reset();
  if (!told.ok()) tell_of(active, active.state->mode, std::string(told.message()));
  return told.ok();
}

bool Term::take_arrived(Active& active) {
  bool changed = false;
  for (ArrivedReply& reply : std::exchange(active.arrived, {})) {
    if (!take_reply(active, reply)) continue;
    changed = true;
    active.taken.push_back(std::move(reply));
  }
  return changed;
}

// False: nobody waits for it any more.
bool Term::take_reply(Active& active, ArrivedReply& arrived) {
  const Call* call = named_in(next_of(active), arrived.call);
  if (call == nullptr) return false;
  State& state = *active.state;
  Reply reply = reply_of(*call, state.mode, arrived.answer);
  if (reply.kind == Reply::Kind::outcome) {
    JournalLine line;
    line.attempts = arrived.call.attempt;
    line.took_ms = arrived.took_ms;
    line.entry.branch = call->branch;
    line.entry.operation = call->operation;
    line.entry.outcome = reply.outcome;
    if (reply.outcome == Outcome::refused && begins_something(call->operation) && !arrived.call.is_first)
      line.entry.outcome = Outcome::refused_late;
    line.entry.status = reply.status;
    line.entry.output = std::move(reply.output);
    active.maybe_sent.erase({call->branch, call->operation});
    if (tell(active, std::move(line))) return true;
    reply.kind = Reply::Kind::failed;
    reply.error = "its outcome does not fit";
    call = named_in(next_of(active), arrived.call);
    if (call == nullptr) return false;
  }
  CallState& row = row_of(state, *call);
  const Code code = arrived.answer.status().code();
  if (code == Code::deadline_exceeded) {
    // Its turn did not come: that says nothing of the participant, and is no attempt.
    if (arrived.call.is_first) active.maybe_sent.erase({call->branch, call->operation});
    row.attempts = std::min(row.attempts, arrived.call.attempt - 1);
  } else {
    row.attempts = std::max(row.attempts, arrived.call.attempt);
  }
  row.status = reply.status;
  row.error = std::move(reply.error);
  Duration delay = call->retry.interval;
  if (reply.kind == Reply::Kind::ongoing) {
    ++row.ongoing;
    delay = reply.retry_after.value_or(delay);
  } else {
    ++figures_.calls_failed;
    delay =
        jitter(back_off(call->retry, std::max<std::int64_t>(row.attempts - row.ongoing, 1)), context_.random);
    delay = std::max(delay, reply.retry_after.value_or(Duration{}));
    if (code == Code::permission_denied || code == Code::invalid_argument) delay = call->retry.interval_max;
  }
  row.due_ms = now_ms() + in_ms(delay);
  return true;
}

bool Term::take_time(Active& active) {
  State& state = *active.state;
  if (active.deadline_told || !has_time_limit(next_of(active).verdict)) return false;
  const Duration limit = active.machine->time_limit();
  if (limit <= Duration{}) return false;
  if (state.deadline_ms == 0) {
    state.deadline_ms = now_ms() + in_ms(limit);
    active.deadline_ms = state.deadline_ms;
    active.unsaved = true;
  }
  if (now_ms() < state.deadline_ms) return false;
  JournalLine line;
  line.entry.kind = Entry::Kind::timed_out;
  line.at_ms = std::max<std::int64_t>(wall_ms() - state.created_ms, 0);
  active.deadline_told = true;
  // One that has no use for it is not told again.
  if (!record(state, *active.machine, std::move(line)).ok()) return false;
  active.next.reset();
  return true;
}

// Calls without an address are done; those that were tried as often as they may are given up.
bool Term::take_given_up(Active& active) {
  bool changed = false;
  while (true) {
    const Next& next = next_of(active);
    const auto over = [&](const Call& call) {
      if (active.is_under_way(call) || active.is_recorded(call)) return false;
      if (call.url.empty()) return call.delay <= Duration{};
      const CallState* row = find_call(*active.state, call.branch, call.operation);
      return row != nullptr && call.retry.attempts_max > 0 &&
             row->attempts - row->ongoing >= call.retry.attempts_max;
    };
    const auto found = std::find_if(next.calls.begin(), next.calls.end(), over);
    if (found == next.calls.end()) return changed;
    JournalLine line;
    line.entry.branch = found->branch;
    line.entry.operation = found->operation;
    if (!found->url.empty()) {
      const CallState* row = find_call(*active.state, found->branch, found->operation);
      line.entry.outcome = Outcome::gave_up;
      line.entry.status = row->status;
      line.attempts = row->attempts;
    }
    if (!tell(active, std::move(line))) return changed;
    changed = true;
  }
}

// An action that was named before its saga was given up, and that certainly nobody sent, is not sent any
// more.
bool Term::drop_unsent(Active& active) {
  bool changed = false;
  while (active.state->mode == Mode::saga && next_of(active).verdict == Verdict::aborting) {
    const auto unsent = [&](const Call& call) {
      return call.operation == Operation::action && !active.is_under_way(call) &&
             !active.maybe_sent.contains({call.branch, call.operation});
    };
    const Next& next = next_of(active);
    const auto found = std::ranges::find_if(next.calls, unsent);
    if (found == next.calls.end()) break;
    JournalLine line;
    line.entry.branch = found->branch;
    line.entry.outcome = Outcome::dropped;
    std::erase_if(active.recorded, [&](const SentCall& one) {
      return one.operation == Operation::action && one.branch == line.entry.branch;
    });
    if (!tell(active, std::move(line))) break;
    changed = true;
  }
  return changed;
}

void Term::begin_delays(Active& active) {
  for (const Call& call : next_of(active).calls) {
    if (call.delay <= Duration{} || find_row(*active.state, call) != nullptr) continue;
    row_of(*active.state, call).due_ms = now_ms() + in_ms(call.delay);
    active.unsaved = true;
  }
}

bool Term::may_send(Active& active, const Call& call) {
  if (active.is_under_way(call)) return false;
  const CallState* row = find_call(*active.state, call.branch, call.operation);
  return row == nullptr || row->due_ms <= now_ms();
}

// Where attempts are limited, none is sent that the store does not know of.
bool Term::record_attempts(Active& active) {
  bool changed = false;
  for (const Call& call : next_of(active).calls) {
    if (call.retry.attempts_max <= 0 || active.is_recorded(call) || !may_send(active, call)) continue;
    CallState& row = row_of(*active.state, call);
    ++row.attempts;
    SentCall attempt;
    attempt.branch = call.branch;
    attempt.operation = call.operation;
    attempt.attempt = row.attempts;
    active.recorded.push_back(std::move(attempt));
    changed = true;
  }
  return changed;
}

// When there is something to do again that does not come by itself.
std::int64_t Term::due_of(Active& active) {
  std::int64_t due_ms = never_ms;
  const Next& next = next_of(active);
  const State& state = *active.state;
  if (has_time_limit(next.verdict) && state.deadline_ms > 0 && !active.deadline_told) {
    due_ms = state.deadline_ms;
  }
  for (const Call& call : next.calls) {
    if (active.is_under_way(call)) continue;
    const CallState* row = find_call(state, call.branch, call.operation);
    if (row != nullptr && row->due_ms > now_ms()) due_ms = std::min(due_ms, row->due_ms);
  }
  return due_ms;
}

void Term::send_due(Active& active) {
  for (const Call& call : next_of(active).calls) {
    if (!may_send(active, call)) continue;
    if (call.retry.attempts_max > 0 && !active.is_recorded(call)) continue;
    send(active, call);
  }
  if (active.unsaved) unsaved_.insert(active.serial);
}

void Term::send(Active& active, const Call& call) {
  SentCall sent;
  sent.branch = call.branch;
  sent.operation = call.operation;
  sent.round = call.round;
  sent.host = host_of(call.url);
  sent.at = context_.clock.now();
  const bool urgent = ends_something(call.operation);
  if (!gate_.take(sent.host, urgent)) {
    const std::pair waited_for(sent.host, urgent);
    if (std::ranges::find(active.hosts_waited_for, waited_for) == active.hosts_waited_for.end()) {
      active.hosts_waited_for.push_back(waited_for);
      gate_.wait(sent.host, urgent, active.serial);
    }
    return;
  }
  const CallState* row = find_call(*active.state, call.branch, call.operation);
  sent.attempt = row == nullptr ? 1 : row->attempts + 1;
  std::erase_if(active.recorded, [&](const SentCall& recorded) {
    const bool same = recorded.operation == call.operation && recorded.branch == call.branch;
    if (same) sent.attempt = recorded.attempt;
    return same;
  });
  sent.is_first = active.maybe_sent.insert({call.branch, call.operation}).second;
  active.under_way.push_back(sent);
  ++figures_.calls_sent;
  env::HttpCall request = request_of(call, active.gid, active.state->mode, sent.attempt, epoch_);
  // Whatever its rule says; and a while for its turn to come, which is none of the participant's time.
  request.time_max = std::min(call.retry.timeout, attempt_time_max);
  const TimePoint deadline = sent.at + request.time_max + turn_time_max;
  client_.call(std::move(request), deadline,
               [weak = weak_from_this(), serial = active.serial, sent](Result<env::HttpReply> answer) {
                 if (const auto self = weak.lock()) self->on_reply(serial, sent, std::move(answer));
               });
}

void Term::on_reply(std::uint64_t serial, const SentCall& sent, Result<env::HttpReply> answer) {
  gate_.give_back(sent.host);
  if (over_ || stopped_) return;
  if (Active* active = find(serial)) {
    std::erase_if(active->under_way, [&](const SentCall& one) {
      return one.operation == sent.operation && one.branch == sent.branch;
    });
    const std::int64_t took_ms =
        std::chrono::floor<std::chrono::milliseconds>(context_.clock.now() - sent.at).count();
    active->arrived.push_back({sent, took_ms, std::move(answer)});
    if (!active->writing && !active->loading) schedule(*active, 0);
  }
  pump();
}

// Nothing is to be done for it now: what can be read again need not be kept.
void Term::rest(Active& active) {
  if (!active.under_way.empty() || !active.arrived.empty()) return;
  active.next.reset();
  if (machines_ > options_.machines_max || machine_bytes_ > options_.machine_bytes_max)
    forget_machine(active);
  if (active.unsaved || active.state->journal.size() <= resting_journal_bytes_max) return;
  forget_machine(active);
  active.state.reset();
}

// Much that waits for a far time, or for somebody, is read again then.
void Term::rest_unless_due(Active& active) {
  if (!active.state.has_value() || active.machine != nullptr || active.unsaved) return;
  if (active.due_ms >= 0 && active.due_ms <= now_ms()) return;
  if (!active.under_way.empty() || !active.arrived.empty() || !active.taken.empty()) return;
  const State& state = *active.state;
  if (state.journal.size() > resting_journal_bytes_max || state.calls.size() > resting_calls_max)
    active.state.reset();
}

// A machine grows with what it learns.
void Term::account(Active& active) {
  LS_MUST(active.machine != nullptr && active.state.has_value());
  const std::size_t bytes = active.document_bytes + active.state->journal.size() + active.machine->bytes();
  machine_bytes_ = machine_bytes_ - active.machine_bytes + bytes;
  active.machine_bytes = bytes;
}

void Term::forget_machine(Active& active) {
  active.next.reset();
  if (active.machine == nullptr) return;
  active.machine.reset();
  --machines_;
  machine_bytes_ -= std::exchange(active.machine_bytes, 0);
}

void Term::look_at_alarm(Active& active) {
  const bool needed = active.state.has_value() && !active.state->needs_operator.empty();
  if (needed == active.alarmed) return;
  if (needed) return tell_of(active, active.state->mode, active.state->needs_operator);
  active.alarmed = false;
  --figures_.need_operator;
}

void Term::tell_of(Active& active, Mode mode, std::string reason) {
  if (std::exchange(active.alarmed, true)) return;
  ++figures_.need_operator;
  if (options_.alarm) options_.alarm({active.gid, mode, std::move(reason)});
}

}  // namespace lockstep::service::transaction
