#include "service/ids/generator.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "service/contenders.h"
#include "service/record/record.h"
#include "service/store_requests.h"
#include "store/awaitable.h"
#include "store/errors.h"

namespace lockstep::service {
namespace {

constexpr std::int64_t reserve_ahead_ms = 3000;
constexpr std::int64_t refill_below_ms = 1000;  // in the background, so that nobody waits
static_assert(refill_below_ms < reserve_ahead_ms);
constexpr Duration worker_ttl = 60s;
constexpr Duration worker_renewal = worker_ttl / 3;
constexpr Duration call_time_max = 5s;
constexpr int refill_steps_max = 32;
constexpr std::int64_t time_limit_ms = std::int64_t{1} << (63 - ids_worker_bits - ids_sequence_bits);
constexpr std::size_t worker_digits = 4;

}  // namespace

Ids::Generator::Generator(const Context& context, std::string name, store::Principal principal)
    : context_(context), name_(std::move(name)), principal_(principal) {}

std::string Ids::Generator::worker_key(std::uint64_t number) const {
  std::string digits = std::to_string(number);
  digits.insert(0, worker_digits - digits.size(), '0');
  return "lockstep/ids/" + name_ + "/worker/" + digits;
}

std::string Ids::Generator::floor_key(std::uint64_t number) const {
  std::string digits = std::to_string(number);
  digits.insert(0, worker_digits - digits.size(), '0');
  return "lockstep/ids/" + name_ + "/floor/" + digits;
}

store::CallOptions Ids::Generator::call() const {
  store::CallOptions options;
  options.principal = principal_;
  options.deadline = context_.clock.now() + call_time_max;
  return options;
}

std::int64_t Ids::Generator::now_ms() const {
  return std::max<std::int64_t>((context_.clock.wall_now() - ids_epoch) / 1ms, 0);
}

void Ids::Generator::close() {
  closed_ = true;
  for (const auto& [id, waiting] : std::exchange(waiting_, {})) waiting.set();
}

void Ids::Generator::draw(std::size_t count, std::vector<std::uint64_t>& ids) {
  const std::int64_t now = now_ms();
  while (ids.size() < count) {
    // Not beyond what is reserved: a clock that shows nonsense for a moment takes nothing along.
    if (next_ms_ < now && now < reserved_ms_) {
      next_ms_ = now;
      next_sequence_ = 0;
    }
    if (next_sequence_ == ids_per_millisecond) {
      ++next_ms_;
      next_sequence_ = 0;
    }
    if (next_ms_ >= reserved_ms_ || now >= reserved_ms_) return;
    const std::uint64_t milliseconds = static_cast<std::uint64_t>(next_ms_)
                                       << (ids_worker_bits + ids_sequence_bits);
    ids.push_back(milliseconds | worker_bits_ << ids_sequence_bits | next_sequence_++);
  }
}

Task<Result<std::vector<std::uint64_t>>> Ids::Generator::take(std::shared_ptr<Generator> self,
                                                              std::size_t count, store::CallOptions options) {
  std::vector<std::uint64_t> ids;
  ids.reserve(count);
  while (true) {
    if (Status wanted = still_wanted(self->context_, options); !wanted.ok()) co_return wanted;
    if (self->closed_) co_return errors::ids_closed();
    self->draw(count, ids);
    const std::int64_t from = std::max(self->next_ms_, self->now_ms());
    const bool short_of = self->reserved_ms_ - from < refill_below_ms;
    if (short_of && !self->refilling_) self->start_refill();
    if (ids.size() == count) co_return ids;
    if (self->refilling_) {
      const Signal refilled(self->context_);
      const std::uint64_t id = ++self->last_wait_;
      self->waiting_.emplace(id, refilled);
      const Wake wake = co_await refilled.wait(options.deadline, options.cancellation);
      self->waiting_.erase(id);
      if (wake == Wake::deadline) co_return errors::wait_deadline_over();
      if (wake == Wake::cancelled) co_return errors::wait_cancelled();
    }
    if (!self->closed_ && !self->refilled_.ok()) co_return self->refilled_;
  }
}

void Ids::Generator::start_refill() {
  refilling_ = true;
  refill(shared_from_this()).detach();
}

Task<void> Ids::Generator::refill(std::shared_ptr<Generator> self) {
  Status outcome(Code::unavailable, "ids: others took the worker numbers again and again");
  for (int steps = 0; steps < refill_steps_max && !self->closed_; ++steps) {
    if (steps > 1) {
      const Duration pause(static_cast<std::int64_t>(self->context_.random.next() % (4ms * steps).count()));
      static_cast<void>(co_await pause_until(self->context_, self->context_.clock.now() + pause, {}));
    }
    std::optional<Status> done = co_await self->refill_step();
    if (!done.has_value()) continue;
    outcome = *std::move(done);
    break;
  }
  self->refilled_ = outcome;
  self->refilling_ = false;
  for (const auto& [id, waiting] : std::exchange(self->waiting_, {})) waiting.set();
}

Task<std::optional<Status>> Ids::Generator::refill_step() {
  if (worker_.has_value() && context_.clock.now() - worker_->renewed > worker_renewal) {
    const bool renewed = co_await renew();
    if (!renewed) worker_.reset();
  }
  if (!worker_.has_value()) co_return co_await claim();
  co_return co_await reserve();
}

// False: the lease is gone. A renewal that fails otherwise is tried again another time: the reservation finds
// out who holds the worker number.
Task<bool> Ids::Generator::renew() {
  const TimePoint sent = context_.clock.now();
  store::LeaseKeepAliveRequest request;
  request.id = worker_->lease;
  const Result<store::LeaseKeepAliveResponse> renewed =
      co_await store::awaitable::lease_keep_alive(context_.store, request, call());
  if (!renewed.ok()) co_return renewed.status() != store::errors::lease_not_found();
  if (renewed->ttl > Duration{}) worker_->renewed = sent;
  co_return renewed->ttl > Duration{};
}

Task<std::optional<Status>> Ids::Generator::claim() {
  using Outcome = std::optional<Status>;
  store::RangeRequest workers = one_key("lockstep/ids/" + name_ + "/worker/");
  workers.range_end = prefix_end(workers.key);
  workers.keys_only = true;
  const Result<store::RangeResponse> held = co_await store::awaitable::range(context_.store, workers, call());
  if (!held.ok()) co_return Outcome(held.status());
  std::set<std::string> taken;
  for (const store::KeyValue& kv : held->kvs) taken.insert(kv.key);
  std::vector<std::uint64_t> free;
  for (std::uint64_t number = 0; number < ids_workers_max; ++number) {
    if (!taken.contains(worker_key(number)) && !unusable_.contains(number)) free.push_back(number);
  }
  if (free.empty() && !unusable_.empty()) {
    unusable_.clear();  // the next one looks again: they may be repaired
    co_return Outcome(unusable_why_);
  }
  if (free.empty()) co_return Outcome(errors::ids_no_worker());
  const std::uint64_t number = free[context_.random.next() % free.size()];
  const TimePoint sent = context_.clock.now();
  store::LeaseGrantRequest request;
  request.ttl = worker_ttl;
  const Result<store::LeaseGrantResponse> lease =
      co_await store::awaitable::lease_grant(context_.store, request, call());
  if (!lease.ok() && is_unknown(lease.status())) co_return Outcome();
  if (!lease.ok()) co_return Outcome(lease.status());
  co_return co_await claim_number(number, lease->id, sent);
}

Task<std::optional<Status>> Ids::Generator::claim_number(std::uint64_t number, LeaseId lease,
                                                         TimePoint granted) {
  using Outcome = std::optional<Status>;
  store::PutRequest put;
  put.key = worker_key(number);
  put.value = to_hexadecimal(context_.random.next());
  put.lease = lease;
  store::TxnRequest txn;
  txn.compare.push_back(created_at(put.key, Revision()));
  txn.success.push_back(operation(one_key(floor_key(number))));
  txn.success.push_back(operation(put));
  const Result<store::TxnResponse> claimed = co_await store::awaitable::txn(context_.store, txn, call());
  // After an unknown outcome another number is claimed; if this one is ours, it ends with its lease.
  if (!claimed.ok() && is_unknown(claimed.status())) co_return Outcome();
  if (!claimed.ok() && claimed.status() == store::errors::lease_not_found()) co_return Outcome();
  if (!claimed.ok()) co_return Outcome(claimed.status());
  if (!claimed->succeeded) co_return Outcome();
  const store::RangeResponse* floor = range_at(*claimed, 0);
  if (floor == nullptr) co_return Outcome(errors::answer_of_other_shape());
  Outcome owned = own(number, lease, granted, claimed->header.revision, *floor);
  if (owned.has_value()) owned = co_await give_back(number, lease, *std::move(owned));
  co_return owned;
}

// A number that is of no use; another may be. Should the revocation fail, the lease ends by itself.
Task<std::optional<Status>> Ids::Generator::give_back(std::uint64_t number, LeaseId lease, Status why) {
  unusable_.insert(number);
  unusable_why_ = std::move(why);
  store::LeaseRevokeRequest request;
  request.id = lease;
  static_cast<void>(co_await store::awaitable::lease_revoke(context_.store, request, call()));
  co_return std::nullopt;
}

std::optional<Status> Ids::Generator::own(std::uint64_t number, LeaseId lease, TimePoint granted,
                                          Revision token, const store::RangeResponse& floor) {
  Worker worker;
  worker.number = number;
  worker.lease = lease;
  worker.renewed = granted;
  worker.token = token;
  std::int64_t floor_ms = 0;
  if (!floor.kvs.empty()) {
    const Result<std::int64_t> parsed = parse_ids_floor(floor.kvs[0].value);
    if (!parsed.ok()) return parsed.status();
    if (*parsed + reserve_ahead_ms >= time_limit_ms) return errors::ids_time_over();
    floor_ms = *parsed;
    worker.floor_mod = floor.kvs[0].mod_revision;
  }
  // Below it lie the numbers of whoever held it before; above ours, so that they grow.
  const std::int64_t begin = next_sequence_ > 0 ? next_ms_ + 1 : next_ms_;
  next_ms_ = std::max(begin, floor_ms);
  next_sequence_ = 0;
  reserved_ms_ = next_ms_;  // nothing yet, with this number
  worker_bits_ = LS_PLANTED(id_worker_cut) ? number & 1U : number;
  worker_ = worker;
  return std::nullopt;
}

Task<std::optional<Status>> Ids::Generator::reserve() {
  using Outcome = std::optional<Status>;
  Worker& worker = *worker_;
  const std::int64_t target = std::max(now_ms(), next_ms_) + reserve_ahead_ms;
  if (target >= time_limit_ms) co_return Outcome(errors::ids_time_over());
  store::PutRequest put;
  put.key = floor_key(worker.number);
  put.value = std::to_string(target);
  store::TxnRequest txn;
  txn.compare.push_back(created_at(worker_key(worker.number), worker.token));
  txn.compare.push_back(modified_at(put.key, worker.floor_mod));
  txn.success.push_back(operation(put));
  txn.failure.push_back(operation(one_key(worker_key(worker.number))));
  txn.failure.push_back(operation(one_key(put.key)));
  const Result<store::TxnResponse> reserved = co_await store::awaitable::txn(context_.store, txn, call());
  if (!reserved.ok() && is_unknown(reserved.status())) co_return Outcome();
  if (!reserved.ok()) co_return Outcome(reserved.status());
  if (reserved->succeeded) {
    worker.floor_mod = reserved->header.revision;
    reserved_ms_ = target;
    co_return Outcome(Status());
  }
  const store::RangeResponse* owner = range_at(*reserved, 0);
  const store::RangeResponse* floor = range_at(*reserved, 1);
  if (owner == nullptr || floor == nullptr) co_return Outcome(errors::answer_of_other_shape());
  if (owner->kvs.empty() || owner->kvs[0].create_revision != worker.token) {
    worker_.reset();
    co_return Outcome();
  }
  // Ours still: a reservation whose answer got lost. The floor goes up once more.
  worker.floor_mod = floor->kvs.empty() ? Revision() : floor->kvs[0].mod_revision;
  co_return Outcome();
}

}  // namespace lockstep::service
