#include "service/limiter/limiter.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "service/names.h"

namespace lockstep::service {
namespace {

// A limit that takes longer to be as new stays for ever: leases have a longest time.
constexpr Duration kept_max = std::chrono::hours(24 * 366);

using Wide = __int128;

// The rule as it counts: every field has its meaning.
LimitRule complete(LimitRule rule) {
  if (rule.algorithm == LimitAlgorithm::sliding_window || rule.burst == 0) rule.burst = rule.limit;
  return rule;
}

Status check(const LimitTake& take) {
  const LimitRule rule = complete(take.rule);
  const bool good = rule.limit >= 1 && rule.limit <= limit_max && rule.burst >= 1 &&
                    rule.burst <= limit_max && rule.period >= limit_period_min &&
                    rule.period <= limit_period_max && rule.period % 1us == 0ns;
  if (!good) return errors::limit_wrong();
  if (take.cost < 0 || take.cost > rule.burst) return errors::limit_cost_wrong();
  return {};
}

// One limit at one moment.
class Meter {
 public:
  explicit Meter(const LimitRule& rule, std::int64_t time_us) {
    state_.rule = rule;
    state_.time_us = time_us;
    state_.tokens = rule.algorithm == LimitAlgorithm::token_bucket ? rule.burst : 0;
  }
  explicit Meter(LimitState state) : state_(std::move(state)) {}

  // Time passes: never back.
  void advance(std::int64_t time_us) {
    const std::int64_t passed = std::max<std::int64_t>(time_us - state_.time_us, 0);
    state_.time_us += passed;
    if (state_.rule.algorithm == LimitAlgorithm::sliding_window) return drop_old();
    const Wide period_us = state_.rule.period / 1us;
    const Wide level = state_.tokens * period_us + state_.fraction_us +
                       Wide(passed) * state_.rule.limit * (LS_PLANTED(limit_refilled_twice) ? 2 : 1);
    state_.tokens = static_cast<std::int64_t>(std::min<Wide>(level / period_us, state_.rule.burst));
    const bool full = state_.tokens == state_.rule.burst;
    state_.fraction_us = full ? 0 : static_cast<std::int64_t>(level % period_us);
  }

  // What was used under the old rule is used under the new one, from now.
  void adopt(const LimitRule& rule) {
    if (state_.rule == rule) return;
    const std::int64_t used = std::min(state_.rule.burst - remaining(), rule.burst);
    Meter adopted(rule, state_.time_us);
    if (used > 0) adopted.use(used);
    state_ = std::move(adopted.state_);
  }

  [[nodiscard]] std::int64_t remaining() const {
    if (state_.rule.algorithm == LimitAlgorithm::token_bucket) return state_.tokens;
    std::int64_t used = 0;
    for (std::size_t i = 0; i < state_.slices.size(); i += 2) used += state_.slices[i + 1];
    return state_.rule.limit - used;
  }

  void use(std::int64_t cost) {
    LS_MUST(cost > 0);
    LS_MUST(cost <= remaining());
    if (state_.rule.algorithm == LimitAlgorithm::token_bucket) {
      state_.tokens -= cost;
      return;
    }
    const std::int64_t slice = state_.time_us / limit_slice_us(state_.rule);
    if (state_.slices.empty() || state_.slices[state_.slices.size() - 2] != slice) {
      state_.slices.push_back(slice);
      state_.slices.push_back(0);
    }
    state_.slices.back() += cost;
  }

  // Until `cost` could be used. Requires that it can not be now.
  [[nodiscard]] Duration wait_for(std::int64_t cost) const {
    const std::int64_t missing = cost - remaining();
    LS_MUST(missing > 0);
    const std::int64_t period_us = state_.rule.period / 1us;
    if (state_.rule.algorithm == LimitAlgorithm::token_bucket) {
      const Wide parts = Wide(missing) * period_us - state_.fraction_us;
      const Wide us = (parts + state_.rule.limit - 1) / state_.rule.limit;
      return std::chrono::microseconds(static_cast<std::int64_t>(std::min<Wide>(us, kept_max / 1us)));
    }
    std::int64_t freed = 0;
    for (std::size_t i = 0; i < state_.slices.size(); i += 2) {
      freed += state_.slices[i + 1];
      if (freed >= missing) return std::chrono::microseconds(gone_at(state_.slices[i]) - state_.time_us);
    }
    LS_UNREACHABLE("no cost is above the limit");
  }

  // After that it is as new; nothing: that is too far away.
  [[nodiscard]] std::optional<Duration> as_new_after() const {
    if (state_.rule.algorithm == LimitAlgorithm::sliding_window) {
      return state_.rule.period + 2 * std::chrono::microseconds(limit_slice_us(state_.rule));
    }
    const Wide us = Wide(state_.rule.burst) * (state_.rule.period / 1us) / state_.rule.limit + 1;
    if (us > kept_max / 1us) return std::nullopt;
    return std::chrono::microseconds(static_cast<std::int64_t>(us));
  }

  [[nodiscard]] const LimitState& state() const { return state_; }

 private:
  [[nodiscard]] std::int64_t gone_at(std::int64_t slice) const {
    return (slice + 1) * limit_slice_us(state_.rule) + state_.rule.period / 1us;
  }
  void drop_old() {
    std::size_t old = 0;
    while (old < state_.slices.size() && gone_at(state_.slices[old]) <= state_.time_us) old += 2;
    state_.slices.erase(state_.slices.begin(), state_.slices.begin() + static_cast<std::ptrdiff_t>(old));
  }

  LimitState state_;
};

std::int64_t time_now_us(env::Clock& clock, const KnownKey& key, const LimitState* state) {
  const std::int64_t wall_us = std::max<std::int64_t>(clock.wall_now() / 1us, 0);
  if (state == nullptr) return wall_us;
  const std::int64_t since_us = std::max<std::int64_t>((clock.now() - key.known_at) / 1us, 0);
  const std::int64_t gone_on_us = state->time_us + since_us;
  return key.written_here ? gone_on_us : std::max(wall_us, gone_on_us);
}

}  // namespace

struct Limiter::Update final : CombinedUpdate {
  std::optional<LimitTake> take;  // nothing: reset
  std::optional<Result<LimitAnswer>> answer;

  // True: something was used.
  bool apply(Meter& meter) {
    meter.adopt(take->rule);
    LimitAnswer given;
    given.allowed = take->cost <= meter.remaining();
    if (!given.allowed) given.retry_after = meter.wait_for(take->cost);
    const bool uses = given.allowed && take->cost > 0;
    if (uses) meter.use(take->cost);
    given.remaining = meter.remaining();
    answer = given;
    return uses;
  }
};

Folded Limiter::fold(env::Clock& clock, const KnownKey& key, std::span<CombinedUpdate* const> updates) {
  const bool exists = key.mod_revision != Revision();
  Status damaged;
  std::optional<Meter> meter;
  if (exists) {
    Result<LimitState> state = parse_limit(key.value);
    damaged = state.status();
    if (state.ok()) {
      const std::int64_t now_us = time_now_us(clock, key, &*state);
      meter.emplace(*std::move(state));
      meter->advance(now_us);
    }
  }
  bool changed = false;
  for (CombinedUpdate* one : updates) {
    auto& update = *static_cast<Update*>(one);
    if (!update.take.has_value()) {
      update.answer = LimitAnswer();
      changed = changed || meter.has_value() || !damaged.ok();
      meter.reset();
      damaged = Status();
    } else if (!damaged.ok()) {
      update.answer = damaged;
    } else {
      if (!meter.has_value()) meter.emplace(update.take->rule, time_now_us(clock, key, nullptr));
      changed = update.apply(*meter) || changed;
    }
  }
  Folded folded;
  if (!changed) return folded;
  folded.action = meter.has_value() ? Folded::Action::put : Folded::Action::remove;
  folded.end = WithoutEnd{};
  if (!meter.has_value()) return folded;
  folded.value = encode(meter->state());
  if (const auto as_new = meter->as_new_after()) folded.end = LastingFor{*as_new};
  return folded;
}

Limiter::Limiter(const Context& context)
    : combiner_(context, {.key_prefix = limit_key(""),
                          .marker_prefix = "lockstep/takes/",
                          .fold = [&clock = context.clock](const KnownKey& key,
                                                           std::span<CombinedUpdate* const> updates) {
                            return fold(clock, key, updates);
                          }}) {}

Task<Result<LimitAnswer>> Limiter::take(std::string name, LimitTake take, store::CallOptions options) {
  if (Status named = check_name(name); !named.ok()) co_return named;
  if (Status checked = check(take); !checked.ok()) co_return checked;
  take.rule = complete(take.rule);
  const auto update = std::make_shared<Update>();
  update->take = take;
  const Result<Revision> done = co_await combiner_.submit(std::move(name), update, std::move(options));
  if (!done.ok()) co_return done.status();
  LS_MUST(update->answer.has_value());
  if (update->answer->ok()) (*update->answer)->revision = *done;
  co_return *std::move(update->answer);
}

Task<Status> Limiter::reset(std::string name, store::CallOptions options) {
  if (Status named = check_name(name); !named.ok()) co_return named;
  const auto update = std::make_shared<Update>();
  const Result<Revision> done = co_await combiner_.submit(std::move(name), update, std::move(options));
  co_return done.status();
}

}  // namespace lockstep::service
