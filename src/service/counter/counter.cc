#include "service/counter/counter.h"

#include <charconv>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "service/names.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr std::string_view counters = "lockstep/counters/";
constexpr std::string_view adds = "lockstep/adds/";

// What the key holds while a batch is folded.
struct Counted {
  Result<std::int64_t> value = std::int64_t{0};
  bool exists = false;
  KeyEnd end = KeepLease{};
  bool changed = false;
};

Status check_end(env::Clock& clock, const std::optional<Duration>& end) {
  if (!end.has_value()) return {};
  const Duration left = *end - clock.wall_now();
  if (left <= Duration{}) return errors::end_has_passed();
  // A third less than the store's limit: what is granted may be longer than what is asked for.
  if (left / 1s > limits::lease_ttl_s_max / 3 * 2) return errors::counter_end_too_far();
  return {};
}

}  // namespace

namespace errors {
Status not_a_counter() {
  return {Code::failed_precondition, "counter: the key does not hold a whole decimal number of 64 bits"};
}
Status counter_overflow() {
  return {Code::out_of_range, "counter: the result does not fit into 64 bits"};
}
Status counter_value_differs() {
  return {Code::failed_precondition, "counter: it has another value than was expected"};
}
Status counter_companion_lost() {
  return {Code::failed_precondition, "counter: what was to be written with it was changed by another"};
}
Status counter_end_too_far() {
  return {Code::invalid_argument, "counter: the time at which it is to end is too far away"};
}
}  // namespace errors

std::string counter_key(const std::string& name) {
  return std::string(counters) + name;
}

Result<std::int64_t> parse_counter(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return errors::not_a_counter();
  return value;
}

struct Counter::Update final : CombinedUpdate {
  enum class Kind : std::uint8_t { add, set, remove };
  Kind kind = Kind::add;
  CounterAdd add;
  CounterSet set;
  std::function<std::string(const CounterValue&)> companion_value;
  std::optional<Result<CounterValue>> answer;

  // The value after it, or why it changes nothing.
  [[nodiscard]] Result<std::int64_t> value_after(const Counted& counted) const {
    if (kind == Kind::set && !set.expected.has_value()) return set.value;  // also mends what is damaged
    if (!counted.value.ok()) return counted.value.status();
    if (kind == Kind::set) {
      if (*counted.value != *set.expected) return errors::counter_value_differs();
      return set.value;
    }
    std::int64_t sum = 0;
    if (__builtin_add_overflow(*counted.value, add.delta, &sum)) return errors::counter_overflow();
    return sum;
  }

  void apply(Counted& counted, env::Clock& clock) {
    if (!companion.has_value()) return apply_alone(counted, clock);
    companion->written = false;
    if (companion->lost) {
      answer = errors::counter_companion_lost();
      return;
    }
    const bool changed = std::exchange(counted.changed, false);
    apply_alone(counted, clock);
    companion->written = counted.changed;
    counted.changed = counted.changed || changed;
    if (!companion->written) return;
    LS_MUST(answer.has_value() && answer->ok());
    companion->value = companion_value(**answer);
    (*answer)->with_companion = true;
  }

 private:
  void apply_alone(Counted& counted, env::Clock& clock) {
    if (kind == Kind::remove) {
      const bool existed = std::exchange(counted.exists, false);
      answer = CounterValue{counted.value.ok() ? *counted.value : 0, existed, {}};
      counted.value = std::int64_t{0};
      counted.end = WithoutEnd{};
      counted.changed = counted.changed || existed;
      return;
    }
    const std::optional<Duration>& end = kind == Kind::set ? set.expires_at : add.expires_at;
    Result<std::int64_t> after = value_after(counted);
    if (Status passed = check_end(clock, end); !passed.ok()) after = passed;
    if (!after.ok()) {
      answer = after.status();
      return;
    }
    counted.value = *after;
    counted.exists = true;
    counted.changed = true;
    if (end.has_value()) counted.end = EndingAt{*end};
    answer = CounterValue{*after, true, {}};
  }
};

Folded Counter::fold(env::Clock& clock, const KnownKey& key, std::span<CombinedUpdate* const> updates) {
  Counted counted;
  counted.exists = key.mod_revision != Revision();
  if (counted.exists) counted.value = parse_counter(key.value);
  for (CombinedUpdate* update : updates) static_cast<Update*>(update)->apply(counted, clock);
  Folded folded;
  if (!counted.changed) return folded;
  folded.action = counted.exists ? Folded::Action::put : Folded::Action::remove;
  if (counted.exists) folded.value = std::to_string(*counted.value);
  folded.end = counted.end;
  return folded;
}

Counter::Counter(const Context& context)
    : context_(context),
      combiner_(context, {.key_prefix = std::string(counters),
                          .marker_prefix = std::string(adds),
                          .fold = [&clock = context.clock](const KnownKey& key,
                                                           std::span<CombinedUpdate* const> updates) {
                            return fold(clock, key, updates);
                          }}) {}

Task<Result<CounterValue>> Counter::submit(std::string name, std::shared_ptr<Update> update,
                                           store::CallOptions options,
                                           std::optional<CounterCompanion> beside) {
  if (Status named = check_name(name); !named.ok()) co_return named;
  if (beside.has_value()) {
    update->companion_value = std::move(beside->value);
    update->companion = Companion{.key = std::move(beside->key),
                                  .expected = beside->expected,
                                  .ttl = beside->ttl,
                                  .written = false,
                                  .value = {},
                                  .lost = false};
  }
  const Result<Revision> done = co_await combiner_.submit(std::move(name), update, std::move(options));
  if (!done.ok()) co_return done.status();
  LS_MUST(update->answer.has_value());
  if (update->answer->ok()) (*update->answer)->revision = *done;
  co_return *std::move(update->answer);
}

Task<Result<CounterValue>> Counter::add(std::string name, CounterAdd add, store::CallOptions options,
                                        std::optional<CounterCompanion> beside) {
  if (Status end = check_end(context_.clock, add.expires_at); !end.ok()) co_return end;
  const auto update = std::make_shared<Update>();
  update->add = add;
  co_return co_await submit(std::move(name), update, std::move(options), std::move(beside));
}

Task<Result<CounterValue>> Counter::set(std::string name, CounterSet set, store::CallOptions options,
                                        std::optional<CounterCompanion> beside) {
  if (Status end = check_end(context_.clock, set.expires_at); !end.ok()) co_return end;
  const auto update = std::make_shared<Update>();
  update->kind = Update::Kind::set;
  update->set = set;
  co_return co_await submit(std::move(name), update, std::move(options), std::move(beside));
}

Task<Result<CounterValue>> Counter::remove(std::string name, store::CallOptions options,
                                           std::optional<CounterCompanion> beside) {
  const auto update = std::make_shared<Update>();
  update->kind = Update::Kind::remove;
  co_return co_await submit(std::move(name), update, std::move(options), std::move(beside));
}

Task<Result<CounterValue>> Counter::get(std::string name, store::CallOptions options) {
  if (Status named = check_name(name); !named.ok()) co_return named;
  store::RangeRequest request;
  request.key = counter_key(name);
  const Result<store::RangeResponse> answer =
      co_await store::awaitable::range(context_.store, std::move(request), std::move(options));
  if (!answer.ok()) co_return answer.status();
  CounterValue counter;
  counter.revision = answer->header.revision;
  if (answer->kvs.empty()) co_return counter;
  const Result<std::int64_t> value = parse_counter(answer->kvs[0].value);
  if (!value.ok()) co_return value.status();
  counter.value = *value;
  counter.exists = true;
  co_return counter;
}

}  // namespace lockstep::service
