#include "watchers.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "base/assert.h"

namespace lockstep::faults {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::size_t answer_bytes_max = 1 << 20;
constexpr Duration patience = 500ms;

std::string everything() {
  return std::string(1, '\0');  // braces would mean a list of two characters
}

class Watcher {
 public:
  explicit Watcher(RealActor& client) : client_(client), prng_(client.prng()) { draw_request(); }

  Task<void> run() {
    while (!client_.recorder().stopping()) {
      open();
      co_await follow();
      subscription_.reset();
      if (prng_.chance(1, 10)) draw_request();
      co_await client_.sleep(static_cast<std::int64_t>(prng_.below(200)) * ms);
    }
  }

 private:
  void draw_request() {
    constexpr const char* prefixes[][2] = {
        {"k/", "k0"}, {"r/", "r0"}, {"bank/", "bank0"}, {"lease/", "lease0"}, {"pulse/", "pulse0"}};
    const auto& prefix = prefixes[prng_.below(std::size(prefixes))];
    request_ = {};
    request_.key = prefix[0];
    request_.range_end = prefix[1];
    if (prng_.chance(1, 4)) request_.key = request_.range_end = everything();
    if (prng_.chance(1, 5)) {
      request_.key = prng_.chance(1, 2) ? "r/0" : "bank/1";
      request_.range_end.clear();
    }
    request_.prev_kv = prng_.chance(1, 2);
    request_.no_put = prng_.chance(1, 8);
    request_.no_delete = prng_.chance(1, 8);
    request_.fragment = prng_.chance(1, 4);
    request_.progress_notify = prng_.chance(1, 2);
    const std::int64_t seen = client_.recorder().revision_high();
    begin_at(prng_.chance(1, 4)
                 ? seen + 20
                 : std::max<std::int64_t>(2, seen - static_cast<std::int64_t>(prng_.below(100))));
  }
  // A new logical watch: what it covered before does not matter any more.
  void begin_at(std::int64_t revision) {
    watcher_ = client_.recorder().next_watcher();
    request_.start_revision = Revision(revision);
  }

  void open() {
    client_.recorder().coverage().add(sim::Covered::op_watch);
    sim::WatchRecord record;
    record.watcher = watcher_;
    record.request = request_;
    record.opened_at = Revision(request_.start_revision.value() - 1);
    client_.recorder().watches().push_back(std::move(record));
    record_ = &client_.recorder().watches().back();
    auto subscription = client_.store().watch(request_);
    LS_MUST(subscription.ok());
    subscription_ = *std::move(subscription);
  }

  Task<void> follow() {
    while (!client_.recorder().stopping()) {
      std::optional<store::WatchResponse> response = subscription_->next(prng_.between(100, 20'000));
      if (!response.has_value()) {
        const bool heard = co_await wait();
        if (!heard && prng_.chance(1, 4)) subscription_->request_progress();
        if (!heard && prng_.chance(1, 20)) co_return;
        continue;
      }
      if (!take(*std::move(response)) || prng_.chance(1, 100)) co_return;
    }
  }

  // False: silence for a while.
  Task<bool> wait() {
    const bool heard = co_await from_callback<bool>([this](auto done) {
      auto once = std::make_shared<std::move_only_function<void(bool)>>(std::move(done));
      const auto finish = [once](bool result) {
        if (*once) std::exchange(*once, nullptr)(result);
      };
      platform::AsioExecutor& executor = client_.machine().executor();
      const env::TimerId timer =
          executor.schedule(client_.machine().after(patience), [finish] { finish(false); });
      subscription_->notify_when_ready([&executor, timer, finish] {
        executor.cancel(timer);
        // Not within the subscription's own call: it may be destroyed next.
        executor.post([finish] { finish(true); });
      });
    });
    co_return heard;
  }

  // False: the subscription is over.
  bool take(store::WatchResponse response) {
    record_->responses.push_back(response);
    if (response.canceled) {
      if (response.compact_revision.value() > 0) begin_at(response.compact_revision.value() + 1);
      return false;
    }
    if (response.fragment) return true;
    std::int64_t covered = response.header.revision.value();
    if (!response.events.empty()) covered = std::max(covered, response.events.back().kv.mod_revision.value());
    // A bookmark may lie below a start in the future.
    request_.start_revision = std::max(request_.start_revision, Revision(covered + 1));
    return true;
  }

  RealActor& client_;
  Prng& prng_;
  store::WatchRequest request_;
  std::uint64_t watcher_ = 0;
  sim::WatchRecord* record_ = nullptr;
  std::unique_ptr<store::Subscription> subscription_;
};

}  // namespace

Task<void> run_watcher(RealActor& client) {
  const sim::Actor::Active active(client);
  Watcher watcher(client);
  co_await watcher.run();
}

Collector::Collector(Machine& machine, const std::vector<std::string>& endpoints, std::int64_t first)
    : machine_(machine),
      connections_(machine.connect(endpoints)),
      store_(*connections_),
      covered_(first - 1) {
  store::WatchRequest request;
  request.key = request.range_end = everything();
  request.start_revision = Revision(first);
  auto subscription = store_.watch(std::move(request));
  LS_MUST(subscription.ok());
  subscription_ = *std::move(subscription);
  read();
}

void Collector::read() {
  while (std::optional<store::WatchResponse> response = subscription_->next(answer_bytes_max))
    take(*response);
  subscription_->notify_when_ready([this] {
    machine_.executor().post([this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) read();
    });
  });
}

void Collector::take(const store::WatchResponse& response) {
  if (response.canceled) {
    trouble_ = "the collector's watch ended: " + response.cancel_reason + ", compacted " +
               std::to_string(response.compact_revision.value());
    return;
  }
  for (const store::Event& event : response.events) {
    const Revision revision = event.kv.mod_revision;
    if (effects_.empty() || effects_.back().revision != revision) {
      sim::RevisionEffects effects;
      effects.revision = revision;
      effects.first_seen_ns = machine_.now_ns();
      effects_.push_back(std::move(effects));
    }
    effects_.back().events.push_back(event);
    covered_ = std::max(covered_, revision.value());
  }
  covered_ = std::max(covered_, response.header.revision.value());
}

}  // namespace lockstep::faults
