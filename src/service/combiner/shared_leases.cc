#include "service/combiner/shared_leases.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "base/assert.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr Duration grant_time_max = 10s;  // one that takes longer is no use to anybody who waits
constexpr int grants_max = 64;            // that one caller waits for, each used up by others, or too late

// Of equal leases, one is as good as another: which principal, how long or until when.
using Purpose = std::tuple<store::Principal, bool, std::int64_t>;

}  // namespace

namespace errors {
Status end_has_passed() {
  return {Code::invalid_argument, "lockstep: the time at which it is to end has passed"};
}
Status lease_not_available() {
  return {Code::unavailable, "lockstep: a lease could not be granted in time"};
}
}  // namespace errors

class SharedLeases::State {
 public:
  explicit State(const Context& context) : context_(context) {}

  struct Grant {
    std::optional<Status> outcome;
    std::map<std::uint64_t, Signal> waiting;
  };
  struct Entry {
    LeaseId lease;
    TimePoint usable_until{};
    std::size_t keys = 0;
    std::shared_ptr<Grant> grant;  // under way
  };

  // Takes the lease of the entry for one more key, if it has one that is good now.
  LeaseId take(Entry& entry) {
    const bool good = entry.lease != LeaseId() && context_.clock.now() < entry.usable_until;
    if (!good || entry.keys >= shared_lease_keys_max) return {};
    ++entry.keys;
    return entry.lease;
  }

  static Task<Result<LeaseId>> get(std::shared_ptr<State> self, Purpose purpose, Duration ttl,
                                   Duration usable, store::CallOptions options) {
    for (int grants = 0; grants < grants_max; ++grants) {
      if (const LeaseId lease = self->take(self->entry(purpose)); lease != LeaseId()) co_return lease;
      // Whoever asks first does not decide for the others when it is too late: the call has a deadline of its
      // own, and each waits as long as it likes.
      std::shared_ptr<Grant> grant = self->entry(purpose).grant;
      if (grant == nullptr) {
        grant = std::make_shared<Grant>();
        self->entry(purpose).grant = grant;
        ask_store(self, purpose, ttl, usable, grant).detach();
      }
      if (!grant->outcome.has_value()) {
        const Signal granted(self->context_);
        const std::uint64_t id = ++self->last_wait_;
        grant->waiting.emplace(id, granted);
        const Wake wake = co_await granted.wait(options.deadline, options.cancellation);
        grant->waiting.erase(id);
        if (wake == Wake::cancelled) co_return service::errors::wait_cancelled();
        if (wake == Wake::deadline) co_return errors::lease_not_available();
      }
      if (!grant->outcome->ok()) co_return *grant->outcome;
    }
    co_return errors::lease_not_available();
  }

  void forget(LeaseId lease) {
    for (auto& [purpose, entry] : entries_) {
      if (entry.lease == lease) entry.lease = LeaseId();
    }
  }

  [[nodiscard]] const Context& context() const { return context_; }

 private:
  Entry& entry(const Purpose& purpose) {
    const auto found = entries_.find(purpose);
    if (found != entries_.end()) return found->second;
    if (entries_.size() >= shared_leases_max) make_room();
    return entries_[purpose];
  }

  void make_room() {
    auto oldest = entries_.end();
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->second.grant != nullptr) continue;
      if (oldest == entries_.end() || entry->second.usable_until < oldest->second.usable_until)
        oldest = entry;
    }
    if (oldest != entries_.end()) entries_.erase(oldest);
  }

  static Task<void> ask_store(std::shared_ptr<State> self, Purpose purpose, Duration ttl, Duration usable,
                              std::shared_ptr<Grant> grant) {
    const TimePoint sent = self->context_.clock.now();
    store::CallOptions call;
    call.principal = std::get<store::Principal>(purpose);
    call.deadline = sent + grant_time_max;
    store::LeaseGrantRequest request;
    request.ttl = ttl;
    const Result<store::LeaseGrantResponse> granted =
        co_await store::awaitable::lease_grant(self->context_.store, request, call);
    Entry& entry = self->entry(purpose);
    LS_MUST(entry.grant == grant, "an entry that is being granted is never dropped");
    entry.grant = nullptr;
    Status status = granted.status();
    if (granted.ok()) {
      entry.lease = granted->id;
      entry.keys = 0;
      entry.usable_until = sent + usable;
    } else if (is_unknown(status) || status.code() == Code::deadline_exceeded) {
      status = errors::lease_not_available();
    }
    grant->outcome = std::move(status);
    for (const auto& [id, waiting] : std::map(grant->waiting)) waiting.set();
  }

  Context context_;
  std::map<Purpose, Entry> entries_;
  std::uint64_t last_wait_ = 0;
};

SharedLeases::SharedLeases(const Context& context) : state_(std::make_shared<State>(context)) {}

void SharedLeases::forget(LeaseId lease) const {
  state_->forget(lease);
}

Task<Result<LeaseId>> SharedLeases::lasting(Duration ttl, store::CallOptions options) const {
  LS_MUST(ttl > Duration{});
  const Duration slack = std::max<Duration>(ttl / 8, 1s);
  const Purpose purpose(options.principal, false, ttl.count());
  return State::get(state_, purpose, ttl + slack, slack, std::move(options));
}

Task<Result<LeaseId>> SharedLeases::until(Duration wall, store::CallOptions options) const {
  const std::shared_ptr<State> state = state_;
  const Duration left = wall - state->context().clock.wall_now();
  if (left <= Duration{}) co_return errors::end_has_passed();
  const Purpose purpose(options.principal, true, wall.count());
  // All of them end at the same moment, so it is good as long as it lives.
  co_return co_await State::get(state, purpose, left, left, std::move(options));
}

}  // namespace lockstep::service
