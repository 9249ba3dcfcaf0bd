// One batch: fold what is known, write it bound to what is known, learn what became of it.
#include <array>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "service/combiner/core.h"
#include "service/store_requests.h"
#include "service/waiting.h"
#include "store/awaitable.h"
#include "store/errors.h"

namespace lockstep::service {
namespace {

// A call that has no answer by then is taken for lost; what it was for is then settled by another.
constexpr Duration call_time_max = 5s;
// A marker is used for new transactions during the first half of the time that it is certain to live: the
// other half is for settling the last of them.
constexpr Duration marker_ttl = 600s;
constexpr Duration marker_use = marker_ttl / 2;
constexpr int folds_max = 200;
constexpr int sends_max = 24;  // of one transaction whose outcome is unknown: longer than any call waits
constexpr int leases_lost_max = 3;
constexpr int back_off_doublings_max = 8;  // 256 ms
static_assert(sends_max * (call_time_max + 256ms) < marker_ttl - marker_use,
              "an unknown outcome is settled, or given up, while the marker lives");

std::string hexadecimal(std::uint64_t number) {
  std::array<char, 16> digits{};
  for (std::size_t i = digits.size(); i-- > 0; number >>= 4) digits[i] = "0123456789abcdef"[number & 15];
  return {digits.data(), digits.size()};
}

}  // namespace

Task<Result<Revision>> Combiner::Commit::run() {
  for (int folds = 0; folds < folds_max; ++folds) {
    if (folds > 1) co_await back_off(folds - 1);
    if (!lane_.known.has_value() || lane_.known->doubtful) {
      if (Status looked = co_await look(); !looked.ok()) co_return looked;
    }
    drop_answered();
    if (!anybody_waits()) co_return errors::update_outcome_unknown();
    const TimePoint folded_at = core_.context().clock.now();
    const std::vector<CombinedUpdate*> folding = updates();
    Folded folded = core_.options().fold(lane_.known->key, folding);
    if (folded.action == Folded::Action::nothing) {
      if (current_) co_return lane_.known->at;
      lane_.known->doubtful = true;
      continue;
    }
    Outcome outcome = co_await write(std::move(folded), folded_at);
    if (outcome.has_value()) co_return *std::move(outcome);
  }
  co_return errors::too_contended();
}

Task<Status> Combiner::Commit::look() {
  const Result<store::RangeResponse> answer =
      co_await store::awaitable::range(core_.context().store, one_key(key()), call());
  if (!answer.ok()) co_return answer.status();
  learn(*answer, answer->header.revision);
  co_return Status();
}

// What is known already stays known since when it is: the user's time goes on from there.
void Combiner::Commit::learn(const store::RangeResponse& found, Revision at) {
  KnownKey key;
  key.known_at = core_.context().clock.now();
  if (!found.kvs.empty()) {
    const store::KeyValue& kv = found.kvs.front();
    key.mod_revision = kv.mod_revision;
    key.value = kv.value;
    key.lease = kv.lease;
    if (lane_.known.has_value() && lane_.known->key.mod_revision == kv.mod_revision) {
      key.known_at = lane_.known->key.known_at;
      key.written_here = lane_.known->key.written_here;
    }
  }
  lane_.known = Lane::Known{std::move(key), at};
  current_ = true;
}

Task<Status> Combiner::Commit::ensure_marker() {
  const TimePoint now = core_.context().clock.now();
  if (lane_.marker.has_value() && now < lane_.marker->usable_until) co_return Status();
  const Result<LeaseId> lease = co_await core_.leases().lasting(marker_ttl, call());
  if (!lease.ok()) co_return lease.status();
  Lane::Marker marker;
  marker.key =
      core_.options().marker_prefix + lane_.key.second + "/" + hexadecimal(core_.context().random.next());
  marker.lease = *lease;
  marker.usable_until = now + marker_use;
  lane_.marker = std::move(marker);
  co_return Status();
}

Task<Result<LeaseId>> Combiner::Commit::lease_for(KeyEnd end) {
  if (std::holds_alternative<KeepLease>(end)) co_return lane_.known->key.lease;
  if (const auto* lasting = std::get_if<LastingFor>(&end)) {
    co_return co_await core_.leases().lasting(lasting->ttl, call());
  }
  if (const auto* ending = std::get_if<EndingAt>(&end)) {
    co_return co_await core_.leases().until(ending->wall, call());
  }
  co_return LeaseId();
}

Task<Status> Combiner::Commit::lease_companions() {
  beside_.clear();
  for (const auto& [id, waiting] : lane_.batch) {
    std::optional<Companion>& companion = waiting->update->companion;
    if (!companion.has_value() || !companion->written) continue;
    LS_MUST(!companion->lost, "nothing is written beside what must not take effect");
    const Result<LeaseId> lease = co_await core_.leases().lasting(companion->ttl, call());
    if (!lease.ok()) co_return lease.status();
    beside_.push_back({&*companion, *lease});
  }
  LS_MUST(beside_.size() <= companions_per_batch_max);
  co_return Status();
}

void Combiner::Commit::note_lost_companions(const store::TxnResponse& answer) {
  for (std::size_t i = 0; i < beside_.size(); ++i) {
    const store::RangeResponse* found = range_at(answer, 2 + i);
    if (found == nullptr) continue;  // an answer of another shape: the next one tells
    const Revision revision = found->kvs.empty() ? Revision() : found->kvs.front().mod_revision;
    Companion& companion = *beside_[i].companion;
    companion.lost = revision != companion.expected;
  }
}

Task<Combiner::Commit::Outcome> Combiner::Commit::write(Folded folded, TimePoint folded_at) {
  Result<LeaseId> lease = co_await lease_for(folded.end);
  if (!lease.ok() && lease.status() == errors::end_has_passed()) co_return Outcome();  // since it was folded
  if (!lease.ok()) co_return Outcome(lease.status());
  if (Status leased = co_await lease_companions(); !leased.ok()) co_return Outcome(leased);
  if (Status marked = co_await ensure_marker(); !marked.ok()) co_return Outcome(marked);
  // Whoever gave up since the fold was told that there is no effect.
  if (std::ranges::any_of(lane_.batch, [](const auto& one) { return one.second->answered(); }))
    co_return Outcome();
  ++lane_.transactions;
  for (const auto& [id, waiting] : lane_.batch) waiting->sent = true;
  bool in_doubt = false;
  for (int sends = 0; sends < sends_max && anybody_waits(); ++sends) {
    if (sends > 0) co_await back_off(sends);
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(core_.context().store, request(folded, *lease, in_doubt), call());
    if (answer.ok()) co_return settle(*answer, folded, *lease, folded_at, in_doubt);
    if (answer.status() == store::errors::lease_not_found()) co_return on_lease_lost(*lease, in_doubt);
    if (!in_doubt && !is_unknown(answer.status())) co_return Outcome(answer.status());
    in_doubt = true;
  }
  lane_.known->doubtful = true;
  if (!in_doubt) co_return Outcome(errors::update_outcome_unknown());  // nobody listens, nothing was sent
  // Given up: it may still take effect, but then nothing that is sent with another marker has missed it.
  lane_.marker.reset();
  co_return Outcome(errors::update_outcome_unknown());
}

Combiner::Commit::Outcome Combiner::Commit::settle(const store::TxnResponse& answer, const Folded& folded,
                                                   LeaseId lease, TimePoint folded_at, bool in_doubt) {
  const Revision revision = answer.header.revision;
  if (answer.succeeded) {
    Lane::Known known;
    known.at = revision;
    known.key.known_at = folded_at;
    known.key.written_here = true;
    if (folded.action == Folded::Action::put) {
      known.key.mod_revision = revision;
      known.key.value = folded.value;
      known.key.lease = lease;
    }
    lane_.known = std::move(known);
    lane_.marker->mod_revision = revision;
    return revision;
  }
  const store::RangeResponse* found = range_at(answer, 0);
  const store::RangeResponse* mark = range_at(answer, 1);
  if (found == nullptr || mark == nullptr) {
    lane_.known->doubtful = true;
    lane_.marker.reset();
    return in_doubt ? errors::update_outcome_unknown() : errors::answer_of_other_shape();
  }
  learn(*found, revision);
  const store::KeyValue* marker = mark->kvs.empty() ? nullptr : mark->kvs.data();
  const Revision marked = marker == nullptr ? Revision() : marker->mod_revision;
  const Revision expected = lane_.marker->mod_revision;
  if (marked == expected || (in_doubt && LS_PLANTED(counter_add_repeated))) {
    if (in_doubt) lane_.marker->mod_revision = marked == expected ? revision : marked;
    note_lost_companions(answer);
    nothing_was_sent();
    return std::nullopt;
  }
  if (in_doubt && marker != nullptr && marker->value == mark_of_done()) {
    lane_.marker->mod_revision = marked;
    return marked;
  }
  if (in_doubt && marker != nullptr && marker->value == mark_of_not_done()) {
    lane_.marker->mod_revision = marked;
    note_lost_companions(answer);
    nothing_was_sent();
    return std::nullopt;
  }
  lane_.marker.reset();  // gone with its lease, or touched by others: it tells nothing any more
  if (in_doubt) return errors::update_outcome_unknown();
  note_lost_companions(answer);
  nothing_was_sent();
  return std::nullopt;
}

// What has been sent can not take effect later: no put with a lease that is gone does. Whether it did before
// is not known.
Combiner::Commit::Outcome Combiner::Commit::on_lease_lost(LeaseId lease, bool in_doubt) {
  core_.leases().forget(lease);
  core_.leases().forget(lane_.marker->lease);
  for (const Beside& each : beside_) core_.leases().forget(each.lease);
  lane_.marker.reset();
  lane_.known->doubtful = true;
  if (in_doubt) return errors::update_outcome_unknown();
  if (++leases_lost_ > leases_lost_max) return store::errors::lease_not_found();
  nothing_was_sent();
  return std::nullopt;
}

void Combiner::Commit::nothing_was_sent() {
  for (const auto& [id, waiting] : lane_.batch) waiting->sent = false;
}

store::TxnRequest Combiner::Commit::request(const Folded& folded, LeaseId lease, bool in_doubt) const {
  const Lane::Marker& marker = *lane_.marker;
  store::PutRequest mark;
  mark.key = marker.key;
  mark.value = mark_of_done();
  mark.lease = marker.lease;
  store::TxnRequest txn;
  txn.compare.push_back(modified_at(key(), lane_.known->key.mod_revision));
  txn.compare.push_back(modified_at(marker.key, marker.mod_revision));
  if (folded.action == Folded::Action::put) {
    store::PutRequest put;
    put.key = key();
    put.value = folded.value;
    put.lease = lease;
    txn.success.emplace_back().request = std::move(put);
  } else {
    store::DeleteRangeRequest removal;
    removal.key = key();
    txn.success.emplace_back().request = std::move(removal);
  }
  txn.success.emplace_back().request = mark;
  txn.failure.push_back(operation(one_key(key())));
  txn.failure.push_back(operation(one_key(marker.key)));
  for (const Beside& each : beside_) {
    txn.compare.push_back(modified_at(each.companion->key, each.companion->expected));
    store::PutRequest put;
    put.key = each.companion->key;
    put.value = each.companion->value;
    put.lease = each.lease;
    txn.success.emplace_back().request = std::move(put);
    txn.failure.push_back(operation(one_key(each.companion->key)));
  }
  if (in_doubt) {
    // Only where the mark is the one from before: what says "done", or "not done" already, stays readable,
    // should this answer get lost, too.
    store::TxnRequest settled;
    settled.compare.push_back(modified_at(marker.key, marker.mod_revision));
    mark.value = mark_of_not_done();
    settled.success.push_back(operation(std::move(mark)));
    txn.failure.push_back(operation(std::move(settled)));
  }
  return txn;
}

std::string Combiner::Commit::mark_of_done() const {
  return std::to_string(lane_.transactions);
}

std::string Combiner::Commit::mark_of_not_done() const {
  return std::to_string(lane_.transactions) + " not done";
}

std::string Combiner::Commit::key() const {
  return core_.options().key_prefix + lane_.key.second;
}

store::CallOptions Combiner::Commit::call() const {
  store::CallOptions options;
  options.principal = lane_.key.first;
  options.deadline = core_.context().clock.now() + call_time_max;
  return options;
}

std::vector<CombinedUpdate*> Combiner::Commit::updates() const {
  std::vector<CombinedUpdate*> pointers;
  pointers.reserve(lane_.batch.size());
  for (const auto& [id, waiting] : lane_.batch) pointers.push_back(waiting->update.get());
  return pointers;
}

bool Combiner::Commit::anybody_waits() const {
  return std::ranges::any_of(lane_.batch, [](const auto& one) { return !one.second->answered(); });
}

// Before a fold nothing that was sent can still take effect, so whoever stopped waiting is left out.
void Combiner::Commit::drop_answered() {
  std::erase_if(lane_.batch, [](const auto& one) { return one.second->answered(); });
}

Task<void> Combiner::Commit::back_off(int times) {
  const int doublings = std::min(times, back_off_doublings_max);
  const Duration most = std::chrono::milliseconds(1 << doublings);
  const auto wait = Duration(
      static_cast<std::int64_t>(core_.context().random.next() % static_cast<std::uint64_t>(most.count())));
  static_cast<void>(co_await pause_until(core_.context(), core_.context().clock.now() + wait, {}));
}

}  // namespace lockstep::service
