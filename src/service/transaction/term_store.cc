// Reading and writing of many transactions at a time.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "service/flat_json.h"
#include "service/store_requests.h"
#include "service/transaction/keys.h"
#include "service/transaction/term.h"
#include "service/transaction/transition.h"

namespace lockstep::service::transaction {
namespace {

// Nested transactions of one batch: each takes up to five operations of what its parent left.
constexpr std::size_t batch_max = 96;
static_assert(batch_max + 1 + 5 <= limits::txn_operations_max);
constexpr std::size_t batch_bytes_max = std::size_t{512} * limits::kibibyte;
constexpr std::size_t loads_of_one_read = 25;
static_assert(loads_of_one_read * reads_per_transaction <= limits::txn_operations_max);
constexpr std::size_t writes_at_once_max = 4;
constexpr std::size_t reads_at_once_max = 4;
constexpr std::int64_t clock_step_ms = 200;
constexpr std::uint64_t pause_spread_ms = 300;
constexpr std::int64_t damaged_pause_ms = 60'000;

const store::TxnResponse* nested_at(const store::TxnResponse& answer, std::size_t position) {
  if (position >= answer.responses.size()) return nullptr;
  return std::get_if<store::TxnResponse>(&answer.responses[position].response);
}

std::size_t bytes_of(const std::vector<store::RequestOperation>& operations) {
  std::size_t bytes = 256;
  for (const store::RequestOperation& one : operations) {
    if (const auto* put = std::get_if<store::PutRequest>(&one.request))
      bytes += put->key.size() + put->value.size();
  }
  return bytes;
}

}  // namespace

// ---- reading

bool Term::build(Active& active) {
  if (active.state.has_value() && active.machine != nullptr) return true;
  if (machine_bytes_ > 4 * options_.machine_bytes_max) {
    use_room(active);
    schedule(active, now_ms() + 50);  // others are under way, and bounded: they make room
    return false;
  }
  if (active.state.has_value()) {
    if (const auto* documents = documents_.find(active.gid, active.state->branches, active.created)) {
      if (build_from(active, documents->document, documents->registered).ok()) return true;
      documents_.erase(active.gid);  // it may be the cache that is wrong: the store knows
    }
  }
  want_load(active);
  return false;
}

Status Term::build_from(Active& active, std::string_view document,
                        const std::vector<std::string>& registered) {
  auto machine = replay(*active.state, active.gid, document, registered);
  if (!machine.ok()) return machine.status();
  active.machine = *std::move(machine);
  if (!std::exchange(active.maybe_sent_known, true)) {
    for (const Call& call : active.machine->next().calls)
      active.maybe_sent.insert({call.branch, call.operation});
  }
  active.document_bytes = document.size();
  for (const std::string& branch : registered) active.document_bytes += branch.size();
  ++machines_;
  account(active);
  return {};
}

void Term::want_load(Active& active) {
  LS_MUST(!active.writing);
  active.loading = true;
  to_load_.push_back(active.serial);
  at_turn_end();
}

void Term::load_wanted() {
  std::size_t taken = 0;
  while (taken < to_load_.size() && loads_under_way_ < reads_at_once_max) {
    std::vector<std::pair<std::uint64_t, std::string>> asked;
    store::TxnRequest reads;
    // What a later coordinator named, this one must not send.
    reads.compare.push_back(modified_at(std::string(coordinator_key), epoch_));
    for (; taken < to_load_.size() && asked.size() < loads_of_one_read; ++taken) {
      const Active* active = find(to_load_[taken]);
      if (active == nullptr) continue;
      for (store::RequestOperation& one : reads_of(active->gid)) reads.success.push_back(std::move(one));
      asked.emplace_back(active->serial, active->gid);
    }
    if (asked.empty()) break;
    ++loads_under_way_;
    context_.store.txn(
        std::move(reads), call(),
        [weak = weak_from_this(), asked = std::move(asked)](const Result<store::TxnResponse>& answer) {
          if (const auto self = weak.lock()) self->on_loaded(asked, answer);
        });
  }
  to_load_.erase(to_load_.begin(), to_load_.begin() + static_cast<std::ptrdiff_t>(taken));
}

void Term::on_loaded(const std::vector<std::pair<std::uint64_t, std::string>>& asked,
                     const Result<store::TxnResponse>& answer) {
  --loads_under_way_;
  if (over_ || stopped_) return;
  if (answer.ok() && !answer->succeeded) return end(true);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    Active* active = find(asked[i].first);
    if (active == nullptr) continue;
    active->loading = false;
    on_loaded_one(*active, answer.ok() ? loaded_of(asked[i].second, *answer, i * reads_per_transaction)
                                       : Result<Loaded>(answer.status()));
  }
  pump();
}

void Term::on_loaded_one(Active& active, Result<Loaded> loaded) {
  if (!loaded.ok()) {
    use_room(active);
    const Code code = loaded.status().code();
    if (code == Code::not_found) return drop(active);
    const bool damaged = code == Code::failed_precondition;
    if (damaged) tell_of(active, Mode::saga, std::string(loaded.status().message()));
    const auto pause_ms = static_cast<std::int64_t>(100 + context_.random.next() % pause_spread_ms);
    return schedule(active, now_ms() + (damaged ? damaged_pause_ms : pause_ms));
  }
  if (loaded->finished) {
    finished_.add({active.gid, loaded->view.revision, now_ms(), true});
    note_gone(active.gid, loaded->seen);
    return drop(active);
  }
  const bool newer = active.newer.has_value() && active.newer->mod_revision > loaded->view.revision;
  if (!newer) active.newer.reset();
  if (!newer && (!active.state.has_value() || loaded->view.revision != active.revision)) {
    store::KeyValue kv;
    kv.value = encode(loaded->view.state);
    kv.mod_revision = loaded->view.revision;
    kv.create_revision = loaded->seen;
    active.newer = std::move(kv);
  }
  documents_.put(active.gid, {loaded->document, loaded->registered}, loaded->seen);
  if (active.newer.has_value()) take_newer(active);
  if (!active.state.has_value()) return use_room(active);
  const bool fits = std::cmp_equal(active.state->branches, loaded->registered.size());
  if (fits && active.machine == nullptr) {
    const Status built = build_from(active, loaded->document, loaded->registered);
    if (!built.ok()) {
      // Nothing is called of what is not understood; it is looked at again when somebody edits it, or later.
      schedule(active, now_ms() + damaged_pause_ms);
      tell_of(active, active.state->mode, std::string(built.message()));
    }
  }
  if (active.machine == nullptr) return use_room(active);
  schedule(active, 0);
}

// ---- writing

void Term::want_write(Active& active) {
  LS_MUST(!active.writing && !active.loading);
  State& state = *active.state;
  if (active.machine != nullptr) {
    const Next& next = next_of(active);
    settle(state, *active.machine, next, wall_ms());
    const auto now = [&](const Call& call) { return active.is_under_way(call) || may_send(active, call); };
    const bool look = std::any_of(next.calls.begin(), next.calls.end(), now);
    state.next_ms = look || final(state.verdict) ? 0 : due_of(active);
  }
  Write write;
  write.serial = active.serial;
  write.gid = active.gid;
  write.revision = active.revision;
  write.verdict = state.verdict;
  write.has_more = state.branches > 0 || state.audits > 0;
  if (LS_PLANTED(transaction_attempts_in_memory)) {
    State forgetful = state;
    forgetful.calls.clear();
    write.operations = operations_of(active.gid, forgetful, false);
  } else {
    write.operations = operations_of(active.gid, state, false);
  }
  write.bytes = bytes_of(write.operations);
  active.writing = true;
  active.unsaved = false;
  schedule(active, -1);
  to_write_.push_back(std::move(write));
  at_turn_end();
}

void Term::write_wanted() {
  std::size_t taken = 0;
  while (writes_under_way_ < writes_at_once_max && (taken < to_write_.size() || tick_due_)) {
    std::vector<Write> batch;
    std::size_t bytes = 0;
    for (; taken < to_write_.size() && batch.size() < batch_max; ++taken) {
      bytes += to_write_[taken].bytes;
      if (!batch.empty() && bytes > batch_bytes_max) break;
      batch.push_back(std::move(to_write_[taken]));
    }
    send_batch(std::move(batch));
  }
  to_write_.erase(to_write_.begin(), to_write_.begin() + static_cast<std::ptrdiff_t>(taken));
}

void Term::send_batch(std::vector<Write> batch) {
  store::TxnRequest txn;
  txn.compare.push_back(modified_at(std::string(coordinator_key), epoch_));
  for (Write& write : batch) {
    store::TxnRequest part;
    part.compare.push_back(modified_at(unfinished_key(write.gid), write.revision));
    part.success = std::move(write.operations);
    part.failure.push_back(operation(one_key(unfinished_key(write.gid))));
    part.failure.push_back(operation(one_key(finished_key(write.gid))));
    txn.success.push_back(operation(std::move(part)));
  }
  const std::int64_t clock_ms = now_ms();
  if (tick_due_ || clock_ms - clock_written_ms_ >= clock_step_ms) {
    FlatJsonWriter json;
    txn.success.push_back(
        operation(put_of(std::string(clock_key), json.number("now_ms", clock_ms).str(), LeaseId())));
    clock_written_ms_ = clock_ms;
    tick_due_ = false;
  }
  ++writes_under_way_;
  ++figures_.batches;
  context_.store.txn(
      std::move(txn), call(),
      [weak = weak_from_this(), batch = std::move(batch)](const Result<store::TxnResponse>& answer) {
        if (const auto self = weak.lock()) self->on_written(batch, answer);
      });
}

void Term::on_written(const std::vector<Write>& batch, const Result<store::TxnResponse>& answer) {
  --writes_under_way_;
  if (over_ || stopped_) return;
  if (answer.ok() && !answer->succeeded) return end(true);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Active* active = find(batch[i].serial);
    LS_MUST(active != nullptr && active->writing, "what is being written stays");
    const store::TxnResponse* part = answer.ok() ? nested_at(*answer, i) : nullptr;
    if (part != nullptr) {
      on_written_one(batch[i], *part, answer->header.revision);
    } else {
      write_failed(*active,
                   now_ms() + static_cast<std::int64_t>(50 + context_.random.next() % pause_spread_ms));
    }
  }
  pump();
}

void Term::on_written_one(const Write& write, const store::TxnResponse& answer, Revision revision) {
  Active& active = *find(write.serial);
  if (!answer.succeeded) {
    ++figures_.conflicts;
    const store::RangeResponse* found = range_at(answer, 0);
    const store::RangeResponse* finished = range_at(answer, 1);
    write_failed(active, 0);
    if (found == nullptr || finished == nullptr) return;
    if (found->kvs.empty()) {
      if (!finished->kvs.empty()) finished_.add({active.gid, finished->kvs[0].mod_revision, now_ms(), true});
      note_gone(active.gid, revision);
      return drop(active);
    }
    active.newer = found->kvs[0];
    return take_newer(active);
  }
  ++figures_.transitions;
  active.writing = false;
  active.revision = revision;
  active.taken.clear();
  if (final(write.verdict)) {
    ++(write.verdict == Verdict::committed ? figures_.committed
       : write.verdict == Verdict::aborted ? figures_.aborted
                                           : figures_.failed);
    finished_.add({active.gid, revision, now_ms(), write.has_more});
    note_gone(active.gid, revision);
    return drop(active);
  }
  if (active.newer.has_value() && active.newer->mod_revision > revision) {
    use_room(active);
    return take_newer(active);
  }
  active.newer.reset();
  look_at_alarm(active);
  schedule(active, 0);
}

// What was to be written is in doubt, or refused: the store is asked.
void Term::write_failed(Active& active, std::int64_t again_ms) {
  active.writing = false;
  active.arrived.insert(active.arrived.begin(), std::make_move_iterator(active.taken.begin()),
                        std::make_move_iterator(active.taken.end()));
  active.taken.clear();
  active.deadline_told = false;
  use_room(active);
  forget_machine(active);
  active.state.reset();
  schedule(active, again_ms);
}

}  // namespace lockstep::service::transaction
