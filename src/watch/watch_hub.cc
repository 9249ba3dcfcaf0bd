#include "watch/watch_hub.h"

#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "store/errors.h"
#include "watch/hub_core.h"

namespace lockstep::watch {
namespace {

// The first revision that can have an effect; an empty store stands at 1.
constexpr Revision first_effect{2};

// The subscriber's handle. Outliving the hub it has nothing more to say.
class HubSubscription final : public store::Subscription {
 public:
  HubSubscription(std::weak_ptr<WatchHub::Core> core, std::unique_ptr<Watcher> watcher)
      : core_(std::move(core)), watcher_(std::move(watcher)) {}
  ~HubSubscription() override {
    if (const auto core = open_core()) core->remove(*watcher_);
  }
  std::optional<store::WatchResponse> next(std::size_t bytes_max) override {
    const auto core = open_core();
    return core == nullptr ? std::nullopt : core->next(*watcher_, bytes_max);
  }
  void notify_when_ready(std::move_only_function<void()> ready) override {
    if (const auto core = open_core()) core->notify_when_ready(*watcher_, std::move(ready));
  }
  void request_progress() override {
    if (const auto core = open_core()) core->request_progress(*watcher_);
  }

 private:
  [[nodiscard]] std::shared_ptr<WatchHub::Core> open_core() const {
    auto core = core_.lock();
    return core != nullptr && !core->closed() ? core : nullptr;
  }

  std::weak_ptr<WatchHub::Core> core_;
  std::unique_ptr<Watcher> watcher_;
};

Status check(const store::WatchRequest& request) {
  if (request.key.size() > limits::key_bytes_max) return {Code::invalid_argument, "the key is too long"};
  if (request.range_end.size() > limits::key_bytes_max)
    return {Code::invalid_argument, "the end of the range is too long"};
  if (request.start_revision < Revision{}) return {Code::invalid_argument, "the start revision is negative"};
  const bool unbounded = request.range_end == std::string_view("\0", 1);
  if (!request.range_end.empty() && !unbounded && request.range_end <= request.key)
    return {Code::invalid_argument, "the range is empty"};
  return {};
}

}  // namespace

WatchHub::WatchHub(store::History& history, env::Executor& executor, env::Clock& clock,
                   WatchHubOptions options)
    : core_(std::make_shared<Core>(history, executor, clock, std::move(options))) {}

WatchHub::~WatchHub() {
  core_->close();
}

void WatchHub::on_block(const store::EffectBlock& block) {
  core_->on_block(block);
}

void WatchHub::on_restored(store::History& history) {
  core_->on_restored(history);
}

Result<std::unique_ptr<store::Subscription>> WatchHub::watch(store::WatchRequest request) {
  return core_->watch(std::move(request));
}

WatchMetrics WatchHub::metrics() const {
  return core_->metrics();
}

bool WatchHub::any_in_a_hurry() const {
  return core_->any_in_a_hurry();
}

WatchHub::Core::Core(store::History& history, env::Executor& executor, env::Clock& clock,
                     WatchHubOptions options)
    : history_(&history),
      executor_(executor),
      clock_(clock),
      options_(std::move(options)),
      newest_(history.newest()) {
  LS_MUST(options_.slice_effects_max > 0);
  LS_MUST(options_.progress_interval > Duration::zero());
}

void WatchHub::Core::close() {
  closed_ = true;
  executor_.cancel(std::exchange(tick_timer_, {}));
  watchers_.clear();
}

WatchMetrics WatchHub::Core::metrics() const {
  WatchMetrics metrics = metrics_;
  metrics.watchers = watchers_.size();
  metrics.watchers_lagging = lagging_places_.size();
  return metrics;
}

Result<std::unique_ptr<store::Subscription>> WatchHub::Core::watch(store::WatchRequest request) {
  LS_MUST(newest_ == history_->newest(), "on_block() follows every append");
  LS_RETURN_IF_ERROR(check(request));
  if (watchers_.size() >= watchers_max) return Status(Code::resource_exhausted, "too many watches");
  if (request.key.empty()) request.key = std::string(1, '\0');  // the smallest key, as etcd takes it
  auto watcher = std::make_unique<Watcher>();
  watcher->id = std::exchange(next_id_, next_id_.next());
  watcher->request = std::move(request);
  const Revision start = watcher->request.start_revision;
  watcher->first = start == Revision{} ? newest_.next() : std::max(start, first_effect);
  watcher->known_until = std::min(watcher->first.previous(), newest_);
  watchers_.emplace(watcher->id, watcher.get());
  if (watcher->request.patient) ++patient_watchers_;
  if (watcher->request.progress_notify) {
    ++progress_watchers_;
    schedule_tick();
  }
  if (start != Revision{} && start < history_->compacted()) {
    cancel(*watcher, store::errors::compacted());
  } else {
    place(*watcher);
  }
  return std::unique_ptr<store::Subscription>(
      std::make_unique<HubSubscription>(weak_from_this(), std::move(watcher)));
}

// Puts a watcher that is in no index where it belongs.
void WatchHub::Core::place(Watcher& watcher) {
  LS_MUST(watcher.known_until <= newest_);
  if (watcher.known_until == newest_) {
    watcher.phase = Phase::live;
    live_.insert(watcher);
    if (has_answer(watcher)) wake(watcher);
    return;
  }
  watcher.phase = Phase::lagging;
  lagging_.insert(watcher);
  LS_MUST(lagging_places_.emplace(watcher.known_until, watcher.id).second);
  schedule_slice();
}

// The opposite; afterwards known_until counts and phase is for the caller to set.
void WatchHub::Core::displace(Watcher& watcher) {
  switch (watcher.phase) {
    case Phase::live:
      live_.erase(watcher);
      watcher.known_until = newest_;
      return;
    case Phase::lagging:
      lagging_.erase(watcher);
      LS_MUST(lagging_places_.erase({watcher.known_until, watcher.id}) == 1);
      return;
    case Phase::parked:
      LS_MUST(metrics_.watchers_parked > 0);
      --metrics_.watchers_parked;
      return;
    case Phase::ended:
      return;
    case Phase::scanned:
      break;
  }
  LS_UNREACHABLE("nothing else happens while a slice is scanned");
}

void WatchHub::Core::remove(Watcher& watcher) {
  LS_MUST(overflowed_.empty(), "subscriptions do not end inside on_block()");
  displace(watcher);
  LS_MUST(watchers_.erase(watcher.id) == 1);
  if (watcher.request.patient) {
    LS_MUST(patient_watchers_ > 0);
    --patient_watchers_;
  }
  if (!watcher.request.progress_notify) return;
  LS_MUST(progress_watchers_ > 0);
  if (--progress_watchers_ == 0) executor_.cancel(std::exchange(tick_timer_, {}));
}

void WatchHub::Core::on_block(const store::EffectBlock& block) {
  LS_MUST(block.first_revision() == newest_.next());
  const Revision before = newest_;
  newest_ = block.last_revision();
  if (live_.empty()) return;
  std::size_t position = 0;
  for (Revision revision = before.next(); revision <= newest_; ++revision) {
    for (const std::size_t end = block.end_of(revision); position < end; ++position) {
      live_.visit(block.key(position), [&](Watcher& watcher) {
        if (watcher.phase != Phase::live) return;  // overflowed in this block
        if (LS_PLANTED(dropped_watch_event) && revision.value() % 8 == 0) return;
        if (note(watcher, revision, block, position)) return wake(watcher);
        watcher.phase = Phase::parked;
        watcher.known_until = revision.previous();
        overflowed_.push_back(&watcher);
      });
    }
  }
  LS_MUST(position == block.size());
  for (Watcher* watcher : std::exchange(overflowed_, {})) {
    live_.erase(*watcher);
    ++metrics_.watchers_parked;
    ++metrics_.parked_total;
  }
}

bool WatchHub::Core::note(Watcher& watcher, Revision revision, const store::EffectTable& block,
                          std::size_t position) {
  if (revision < watcher.first) return true;
  if (!watcher.matched.empty() && watcher.matched.back() == revision) return true;
  if (watcher.request.no_put || watcher.request.no_delete) {
    const bool is_put = block.effect(position).kind == store::EffectKind::put;
    if (is_put ? watcher.request.no_put : watcher.request.no_delete) return true;
  }
  if (watcher.matched.size() >= matched_revisions_max) return false;
  LS_MUST(watcher.matched.empty() || watcher.matched.back() < revision);
  watcher.matched.push_back(revision);
  return true;
}

void WatchHub::Core::on_restored(store::History& history) {
  history_ = &history;
  const Revision before = std::exchange(newest_, history_->newest());
  LS_MUST(newest_ >= before, "a snapshot never takes the store back");
  for (const auto& [id, watcher] : watchers_) {
    if (watcher->phase != Phase::live || newest_ == before) continue;
    live_.erase(*watcher);
    // A start that was still to come here may lie behind the new compaction without anything being missed.
    watcher->known_until = std::clamp(watcher->first.previous(), before, newest_);
    place(*watcher);
  }
}

void WatchHub::Core::cancel(Watcher& watcher, const Status& why) {
  LS_MUST(!why.ok());
  if (watcher.phase == Phase::ended) return;
  watcher.phase = Phase::ended;
  watcher.matched.clear();
  store::WatchResponse& answer = watcher.last_answer.emplace();
  answer.header = header(newest_);
  answer.canceled = true;
  answer.cancel_reason = why.message();
  if (why.code() == Code::out_of_range) {
    answer.compact_revision = history_->compacted();
    ++metrics_.cancelled_compacted;
  }
  wake(watcher);
}

Revision WatchHub::Core::known_end(const Watcher& watcher) const {
  return watcher.phase == Phase::live ? newest_ : watcher.known_until;
}

// An answer without events would tell the subscriber something, and something true. A watch that starts in
// the future waits for its start: a bookmark below it would lead a resumed watch to earlier events.
bool WatchHub::Core::progress_is_true(const Watcher& watcher) const {
  return watcher.phase == Phase::live && watcher.matched.empty() && newest_.next() >= watcher.first;
}

bool WatchHub::Core::has_answer(const Watcher& watcher) const {
  if (!watcher.matched.empty() || watcher.last_answer.has_value()) return true;
  return watcher.progress_asked && progress_is_true(watcher);
}

void WatchHub::Core::notify_when_ready(Watcher& watcher, std::move_only_function<void()> ready) {
  watcher.ready = std::move(ready);
  if (has_answer(watcher)) wake(watcher);
}

void WatchHub::Core::request_progress(Watcher& watcher) {
  watcher.progress_asked = true;
  if (has_answer(watcher)) wake(watcher);
}

// At most one notification a turn, outside of whatever is going on now.
void WatchHub::Core::wake(Watcher& watcher) {
  if (watcher.ready == nullptr || std::exchange(watcher.notification_queued, true)) return;
  to_notify_.push_back(watcher.id);
  if (to_notify_.size() > 1) return;
  executor_.post([weak = weak_from_this()] {
    if (const auto core = weak.lock()) core->notify();
  });
}

// Callbacks may do anything to the hub, end any subscription included.
void WatchHub::Core::notify() {
  for (const WatcherId id : std::exchange(to_notify_, {})) {
    const auto found = watchers_.find(id);
    if (found == watchers_.end()) continue;
    Watcher& watcher = *found->second;
    watcher.notification_queued = false;
    if (watcher.ready == nullptr || !has_answer(watcher)) continue;
    auto ready = std::exchange(watcher.ready, nullptr);
    ready();
  }
}

void WatchHub::Core::schedule_tick() {
  if (tick_timer_ != env::TimerId{}) return;
  tick_timer_ = executor_.schedule(clock_.now() + options_.progress_interval, [weak = weak_from_this()] {
    if (const auto core = weak.lock()) core->tick();
  });
}

void WatchHub::Core::tick() {
  tick_timer_ = {};
  for (const auto& [id, watcher] : watchers_) {
    if (!watcher->request.progress_notify) continue;
    if (std::exchange(watcher->answered_since_tick, false)) continue;
    if (!progress_is_true(*watcher)) continue;
    watcher->progress_asked = true;
    wake(*watcher);
  }
  if (progress_watchers_ > 0) schedule_tick();
}

}  // namespace lockstep::watch
