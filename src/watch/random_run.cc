#include "watch/random_run.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>

#include "base/prng.h"
#include "store/key_range.h"
#include "watch/test_store.h"

namespace lockstep::watch::testing {
namespace {

constexpr int steps = 4000;
constexpr std::size_t watchers_at_once = 24;

// Keeps every block; counts what had to be read from it.
class TestDisk final : public store::ColdHistory {
 public:
  Result<std::shared_ptr<const store::EffectBlock>> block_containing(Revision revision) override {
    ++reads;
    const auto behind = blocks.upper_bound(revision);
    if (behind == blocks.begin()) return Status(Code::not_found, "no such block");
    return std::prev(behind)->second;
  }
  Result<std::optional<std::string>> pinned_row(std::string_view) override {
    return std::optional<std::string>();
  }

  std::map<Revision, std::shared_ptr<const store::EffectBlock>> blocks;
  std::uint64_t reads = 0;
};

struct Subscriber {
  int number = 0;
  store::WatchRequest request;
  std::unique_ptr<store::Subscription> subscription;
  Revision covered;                   // everything up to here was delivered
  std::vector<store::Event> partial;  // fragments of a revision that is not complete yet
  std::uint64_t pace = 1;             // takes something every so many steps
  bool ended = false;
};

class Run {
 public:
  explicit Run(std::uint64_t seed)
      : prng_(seed), on_disk_(prng_.chance(1, 2)), store_(options(), cold(), history_bytes()) {}

  RunResult go() {
    for (int step = 0; step < steps && result_.violations.empty(); ++step) {
      write();
      if (prng_.chance(1, 150)) compact();
      if (prng_.chance(1, 30)) subscribe();
      if (prng_.chance(1, 60)) unsubscribe_or_resume();
      for (Subscriber& subscriber : subscribers_) {
        if (step % static_cast<int>(subscriber.pace) == 0) take(subscriber);
      }
      if (prng_.chance(1, 2)) store_.strand.turn();
    }
    finish();
    result_.parked = store_.hub->metrics().parked_total;
    result_.effects_scanned = store_.hub->metrics().effects_scanned;
    result_.read_from_disk = disk_.reads;
    return std::move(result_);
  }

 private:
  WatchHubOptions options() {
    WatchHubOptions options;
    options.slice_effects_max = prng_.between(1, 200);
    return options;
  }
  store::ColdHistory* cold() { return on_disk_ ? &disk_ : nullptr; }
  std::size_t history_bytes() { return on_disk_ ? prng_.between(1, 100'000) : 1 << 30; }
  std::string random_key() {
    return std::string(1, static_cast<char>('a' + prng_.below(6))) + std::to_string(prng_.below(4));
  }

  void write() {
    std::vector<Changes> revisions(prng_.between(0, 6));
    for (Changes& changes : revisions) {
      std::set<std::string> keys;
      const std::uint64_t count = prng_.chance(1, 4) ? prng_.between(2, 8) : 1;
      for (std::uint64_t number = 0; number < count; ++number) keys.insert(random_key());
      for (const std::string& key : keys)
        changes.push_back(
            {prng_.chance(3, 4), key, std::string(prng_.below(40), 'v') + std::to_string(prng_.below(1000))});
    }
    const Revision before = store_.history.newest();
    store_.apply(revisions);
    if (!on_disk_ || store_.history.newest() == before) return;
    disk_.blocks.emplace(before.next(), store_.history.blocks().back());
    if (prng_.chance(1, 3)) store_.history.set_durable_revision(store_.history.newest());
  }
  void compact() {
    const Revision newest = store_.history.newest();
    const Revision least = std::max(store_.compacted(), Revision(1));
    store_.compact(Revision(static_cast<std::int64_t>(prng_.between(
        static_cast<std::uint64_t>(least.value()), static_cast<std::uint64_t>(newest.value())))));
  }

  store::WatchRequest random_request() {
    store::WatchRequest request;
    const std::uint64_t kind = prng_.below(4);
    request.key = random_key();
    if (kind == 1) request.range_end = request.key.substr(0, 1) + "~";
    if (kind == 2) request.range_end = std::string(1, '\0');
    if (kind == 3) {
      request.range_end = random_key();
      if (request.range_end <= request.key) request.range_end = request.key + "~";
    }
    request.prev_kv = prng_.chance(1, 2);
    request.no_put = prng_.chance(1, 6);
    request.no_delete = prng_.chance(1, 6);
    request.fragment = prng_.chance(1, 3);
    const std::int64_t newest = store_.history.newest().value();
    if (prng_.chance(1, 2))
      request.start_revision =
          Revision(static_cast<std::int64_t>(prng_.between(1, static_cast<std::uint64_t>(newest) + 20)));
    return request;
  }
  void subscribe() {
    if (subscribers_.size() >= watchers_at_once) return;
    static constexpr std::uint64_t paces[] = {1, 3, 20, 1500};
    Subscriber subscriber;
    subscriber.number = ++subscribers_made_;
    subscriber.request = random_request();
    subscriber.pace = paces[prng_.below(4)];
    subscriber.covered = subscriber.request.start_revision == Revision{}
                             ? store_.history.newest()
                             : subscriber.request.start_revision.previous();
    subscriber.subscription = store_.watch(subscriber.request);
    if (prng_.chance(1, 3)) subscriber.subscription->request_progress();
    subscribers_.push_back(std::move(subscriber));
  }
  void unsubscribe_or_resume() {
    if (subscribers_.empty()) return;
    const std::size_t index = prng_.below(subscribers_.size());
    Subscriber& subscriber = subscribers_[index];
    if (subscriber.ended || prng_.chance(1, 2)) {
      subscribers_.erase(subscribers_.begin() + static_cast<std::ptrdiff_t>(index));
      return;
    }
    subscriber.partial.clear();  // a fragmented revision starts over
    subscriber.request.start_revision = subscriber.covered.next();
    subscriber.subscription = store_.watch(subscriber.request);
    ++result_.resumed;
  }

  void take(Subscriber& subscriber) {
    const std::size_t bytes = prng_.chance(1, 3) ? prng_.between(1, 500) : 1 << 20;
    for (std::uint64_t answers = prng_.between(1, 5); answers > 0; --answers) {
      const auto answer = subscriber.subscription->next(bytes);
      if (!answer.has_value()) return;
      check(subscriber, *answer);
    }
  }
  void finish() {
    for (bool more = true; more && result_.violations.empty();) {
      more = store_.strand.turn();
      for (Subscriber& subscriber : subscribers_) {
        subscriber.subscription->request_progress();
        while (const auto answer = subscriber.subscription->next(1 << 20)) {
          check(subscriber, *answer);
          more = more || !answer->events.empty();
        }
      }
    }
    for (const Subscriber& subscriber : subscribers_) {
      if (!subscriber.ended && subscriber.covered < store_.history.newest())
        violation(subscriber, "complete",
                  "ends at " + std::to_string(subscriber.covered.value()) + " of " +
                      std::to_string(store_.history.newest().value()));
    }
  }

  void violation(const Subscriber& subscriber, const std::string& guarantee, const std::string& what) {
    if (result_.violations.size() > 10) return;
    result_.violations.push_back(guarantee + ": watcher " + std::to_string(subscriber.number) + " on [" +
                                 subscriber.request.key + ", " + subscriber.request.range_end + "): " + what);
  }
  static bool wants(const store::WatchRequest& request, const store::Event& event) {
    if (!store::KeyRange(request.key, request.range_end).contains(event.kv.key)) return false;
    return event.kind == store::EventKind::put ? !request.no_put : !request.no_delete;
  }

  void check(Subscriber& subscriber, const store::WatchResponse& answer) {
    if (subscriber.ended) return violation(subscriber, "complete", "an answer after the last");
    if (answer.canceled) {
      subscriber.ended = true;
      ++result_.cancelled_compacted;
      if (answer.compact_revision <= subscriber.covered.next())
        violation(subscriber, "complete", "cancelled without need: " + to_string(answer));
      return;
    }
    if (answer.fragment) {
      ++result_.answers_fragmented;
      if (!subscriber.request.fragment) violation(subscriber, "atomic", "a fragment nobody asked for");
    }
    std::ranges::copy(answer.events, std::back_inserter(subscriber.partial));
    result_.events += answer.events.size();
    if (answer.header.revision < subscriber.covered)
      violation(subscriber, "bookmarkable",
                "the bookmark goes back to " + std::to_string(answer.header.revision.value()));
    if (answer.fragment) return;
    check_delivered(subscriber, std::exchange(subscriber.partial, {}), answer.header.revision);
    subscriber.covered = std::max(subscriber.covered, answer.header.revision);
  }
  // Exactly the matching events behind `covered`, up to the bookmark.
  void check_delivered(const Subscriber& subscriber, const std::vector<store::Event>& got,
                       Revision bookmark) {
    const auto& all = store_.events();
    const auto revision_of = [](const store::Event& event) { return event.kv.mod_revision; };
    auto expected = std::ranges::upper_bound(all, subscriber.covered, {}, revision_of);
    const auto next_expected = [&] {
      while (expected != all.end() && !wants(subscriber.request, *expected)) ++expected;
    };
    Revision previous;
    std::string previous_key;
    for (const store::Event& event : got) {
      if (revision_of(event) == previous && event.kv.key <= previous_key)
        return violation(subscriber, "unique", to_string(event) + " twice, or keys out of order");
      previous_key = event.kv.key;
      if (revision_of(event) < previous) return violation(subscriber, "ordered", to_string(event));
      previous = revision_of(event);
      if (revision_of(event) <= subscriber.covered)
        return violation(subscriber, "unique", to_string(event) + " again");
      if (revision_of(event) > bookmark)
        return violation(subscriber, "bookmarkable", "behind the bookmark: " + to_string(event));
      next_expected();
      if (expected == all.end() || !same(subscriber, event, *expected)) {
        const std::string wanted = expected == all.end() ? "nothing" : to_string(*expected);
        return violation(subscriber, "complete", "got " + to_string(event) + ", expected " + wanted);
      }
      ++expected;
    }
    next_expected();
    if (expected == all.end() || revision_of(*expected) > bookmark) return;
    const bool of_last = !got.empty() && revision_of(*expected) == revision_of(got.back());
    violation(subscriber, of_last ? "atomic" : "complete",
              "missing up to the bookmark " + std::to_string(bookmark.value()) + ": " + to_string(*expected));
  }
  bool same(const Subscriber& subscriber, const store::Event& got, const store::Event& expected) {
    if (got.kind != expected.kind || got.kv != expected.kv) return false;
    if (!subscriber.request.prev_kv) return !got.prev_kv.has_value();
    if (got.prev_kv == expected.prev_kv) return true;
    // What came before the compacted revision may be gone.
    return !got.prev_kv.has_value() && got.kv.mod_revision <= store_.compacted();
  }

  Prng prng_;
  bool on_disk_;
  TestDisk disk_;
  TestStore store_;
  std::vector<Subscriber> subscribers_;
  int subscribers_made_ = 0;
  RunResult result_;
};

}  // namespace

RunResult random_run(std::uint64_t seed) {
  return Run(seed).go();
}

}  // namespace lockstep::watch::testing
