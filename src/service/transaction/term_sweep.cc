// What is finished: removed when its time is out, before that shortened when there is much of it.
#include <algorithm>
#include <set>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "service/store_requests.h"
#include "service/transaction/keys.h"
#include "service/transaction/term.h"
#include "service/transaction/transition.h"

namespace lockstep::service::transaction {
namespace {

constexpr std::size_t removals_at_once_max = 96;
// Whole states are read, of up to a MiB each.
constexpr std::size_t shortened_at_once_max = 32;
constexpr std::size_t reads_of_shortened = 2;
static_assert(shortened_at_once_max * reads_of_shortened <= limits::txn_operations_max);
static_assert(removals_at_once_max + 1 + 5 <= limits::txn_operations_max);

void add_removals(const FinishedOnes::One& one, std::vector<store::RequestOperation>& operations) {
  operations.push_back(operation(removal_of(finished_key(one.gid))));
  operations.push_back(operation(removal_of(definition_key(one.gid))));
  if (!one.has_more) return;
  for (const std::string& prefix : {branches_prefix(one.gid), audits_prefix(one.gid)}) {
    store::DeleteRangeRequest removal = removal_of(prefix);
    removal.range_end = end_of_prefix(prefix);
    operations.push_back(operation(std::move(removal)));
  }
}

std::string short_form(State state, std::int64_t at_ms) {
  state.reason.clear();
  state.result.clear();
  state.calls.clear();
  state.journal.clear();
  state.branches = 0;
  state.audits = 0;
  state.remembered_ms = std::max<std::int64_t>(at_ms, 1);
  return encode(state);
}

}  // namespace

void Term::sweep() {
  if (sweeping_ || over_ || stopped_ || !finished_known_ || tell_full()) return;
  std::vector<FinishedOnes::One> due =
      finished_.take_due(now_ms(), options_.finished_kept / 1ms, removals_at_once_max);
  if (!due.empty()) return remove(std::move(due));
  std::vector<FinishedOnes::One> surplus =
      finished_.take_surplus(options_.finished_max, shortened_at_once_max);
  if (!surplus.empty()) shorten(std::move(surplus));
}

void Term::sweep_with(store::TxnRequest txn, std::vector<FinishedOnes::One> ones,
                      void (Term::*then)(std::vector<FinishedOnes::One>&, const store::TxnResponse&)) {
  sweeping_ = true;
  txn.compare.push_back(modified_at(std::string(coordinator_key), epoch_));
  context_.store.txn(std::move(txn), call(),
                     [weak = weak_from_this(), ones = std::move(ones),
                      then](const Result<store::TxnResponse>& answer) mutable {
                       const auto self = weak.lock();
                       if (self == nullptr) return;
                       self->sweeping_ = false;
                       if (self->over_ || self->stopped_) return;
                       if (answer.ok() && !answer->succeeded) return self->end(true);
                       if (answer.ok()) return (self.get()->*then)(ones, *answer);
                       // Not at once again: the next tick does.
                       self->finished_.give_back(std::move(ones));
                       self->told_full_.reset();
                     });
}

// True: it is being told, and the rest comes after it.
bool Term::tell_full() {
  const std::size_t most = options_.remembered_max;
  const bool full = finished_.size() >= most || (told_full_ == true && finished_.size() >= most - most / 10);
  if (told_full_ == full) return false;
  store::TxnRequest txn;
  const std::string key(full_key);
  txn.success.push_back(full ? operation(put_of(key, "{}", LeaseId())) : operation(removal_of(key)));
  told_full_ = full;
  sweep_with(std::move(txn), {}, &Term::on_removed);
  return true;
}

void Term::remove(std::vector<FinishedOnes::One> due) {
  store::TxnRequest txn;
  for (const FinishedOnes::One& one : due) {
    store::TxnRequest part;
    if (one.only_remembered) {
      part.compare.push_back(modified_at(remembered_key(one.gid), one.revision));
      part.success.push_back(operation(removal_of(remembered_key(one.gid))));
    } else {
      part.compare.push_back(modified_at(finished_key(one.gid), one.revision));
      add_removals(one, part.success);
    }
    txn.success.push_back(operation(std::move(part)));
  }
  sweep_with(std::move(txn), std::move(due), &Term::on_removed);
}

void Term::on_removed(std::vector<FinishedOnes::One>& /*due*/, const store::TxnResponse& /*answer*/) {
  sweep();
}

void Term::shorten(std::vector<FinishedOnes::One> surplus) {
  store::TxnRequest reads;
  for (const FinishedOnes::One& one : surplus) {
    reads.success.push_back(operation(one_key(finished_key(one.gid))));
    reads.success.push_back(operation(one_key(remembered_key(one.gid))));
  }
  sweep_with(std::move(reads), std::move(surplus), &Term::write_short);
}

void Term::write_short(std::vector<FinishedOnes::One>& surplus, const store::TxnResponse& found) {
  store::TxnRequest txn;
  std::vector<FinishedOnes::One> written;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < surplus.size(); ++i) {
    FinishedOnes::One& one = surplus[i];
    const store::RangeResponse* finished = range_at(found, reads_of_shortened * i);
    const store::RangeResponse* remembered = range_at(found, reads_of_shortened * i + 1);
    LS_MUST(finished != nullptr && remembered != nullptr, "a read answers reads");
    if (finished->kvs.empty()) {
      // Shortened by a write whose answer was lost; or somebody took it up again.
      if (remembered->kvs.empty()) continue;
      one.only_remembered = true;
      one.revision = remembered->kvs[0].mod_revision;
      finished_.add(std::move(one));
      continue;
    }
    // Taken up again and finished once more since: that end is counted by itself.
    if (one.revision != finished->kvs[0].mod_revision || !seen.insert(one.gid).second) continue;
    Result<State> state = parse_state(finished->kvs[0].value);
    if (!state.ok()) state = State{.verdict = Verdict::failed};
    one.has_more = true;
    store::TxnRequest part;
    part.compare.push_back(modified_at(finished_key(one.gid), one.revision));
    add_removals(one, part.success);
    part.success.push_back(
        operation(put_of(remembered_key(one.gid), short_form(*std::move(state), one.at_ms), LeaseId())));
    txn.success.push_back(operation(std::move(part)));
    written.push_back(std::move(one));
  }
  if (written.empty()) return sweep();
  sweep_with(std::move(txn), std::move(written), &Term::on_shortened);
}

void Term::on_shortened(std::vector<FinishedOnes::One>& surplus, const store::TxnResponse& answer) {
  for (std::size_t i = 0; i < surplus.size(); ++i) {
    const auto* part = std::get_if<store::TxnResponse>(&answer.responses.at(i).response);
    LS_MUST(part != nullptr, "one answer for each part");
    if (!part->succeeded) continue;  // taken up again: it will be finished once more
    surplus[i].only_remembered = true;
    surplus[i].revision = answer.header.revision;
    finished_.add(std::move(surplus[i]));
  }
  sweep();
}

}  // namespace lockstep::service::transaction
