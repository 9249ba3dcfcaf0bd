// What watchers cost the writer: on_block() for each put, with and without 10,000 watchers on distinct keys.
#include <cstdio>
#include <string>
#include <time.h>
#include <vector>

#include "base/assert.h"
#include "watch/test_store.h"

namespace lockstep::watch::testing {
namespace {

constexpr int watchers = 10'000;
constexpr int keys = 10'000;
constexpr int blocks = 2'000;
constexpr int puts_per_block = 100;

double cpu_seconds() {
  timespec now{};
  LS_MUST(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::string key_of(std::uint64_t number) {
  return "/registry/service/" + std::to_string(number % keys);
}

std::shared_ptr<const store::EffectBlock> block_of_puts(Revision first, std::uint64_t seed,
                                                        const std::string& value) {
  store::EffectBlockBuilder builder;
  builder.start(first, 0, puts_per_block);
  for (int number = 0; number < puts_per_block; ++number) {
    const std::string key = key_of(seed * 7919 + static_cast<std::uint64_t>(number) * 104'729);
    store::RowView row;
    row.key = key;
    row.value = value;
    row.mod_revision = first + number;
    row.create_revision = row.mod_revision;
    row.version = 1;
    builder.begin_revision(row.mod_revision);
    builder.put(row, {}, std::nullopt);
  }
  return builder.finish();
}

struct Watched {
  enum class Kind { none, other_keys, written_keys, prefixes };
  const char* name;
  Kind kind;
  bool consume;
};

double cost_per_put(const Watched& watched) {
  ManualStrand strand;
  store::History history({}, nullptr);
  WatchHub hub(history, strand, strand);
  std::vector<std::unique_ptr<store::Subscription>> subscriptions;
  std::uint64_t events = 0;
  std::function<void(store::Subscription*)> listen = [&](store::Subscription* subscription) {
    subscription->notify_when_ready([&, subscription] {
      while (const auto answer = subscription->next(1 << 20)) events += answer->events.size();
      listen(subscription);
    });
  };
  for (int number = 0; watched.kind != Watched::Kind::none && number < watchers; ++number) {
    store::WatchRequest request;
    request.key = key_of(static_cast<std::uint64_t>(number));
    if (watched.kind == Watched::Kind::other_keys) request.key = "/other" + request.key;
    if (watched.kind == Watched::Kind::prefixes) {
      request.key += "/";
      request.range_end = request.key;
      ++request.range_end.back();
    }
    subscriptions.push_back(*hub.watch(std::move(request)));
    if (watched.consume) listen(subscriptions.back().get());
  }
  std::vector<std::shared_ptr<const store::EffectBlock>> made;
  const std::string value(256, 'v');
  Revision next = history.newest().next();
  for (int number = 0; number < blocks; ++number) {
    made.push_back(block_of_puts(next, static_cast<std::uint64_t>(number), value));
    next = made.back()->last_revision().next();
  }
  const double begin = cpu_seconds();
  for (const auto& block : made) {
    history.append(block);
    hub.on_block(*block);
    if (watched.consume) strand.run();
  }
  const double cost = (cpu_seconds() - begin) * 1e9 / (blocks * puts_per_block);
  std::printf("%-52s %8.1f ns a put", watched.name, cost);
  if (watched.consume) std::printf(", %llu events delivered", static_cast<unsigned long long>(events));
  std::printf("\n");
  std::fflush(stdout);
  return cost;
}

}  // namespace
}  // namespace lockstep::watch::testing

int main() {
  using namespace lockstep::watch::testing;
  const Watched cases[] = {
      {"no watchers", Watched::Kind::none, false},
      {"10,000 watchers of other keys", Watched::Kind::other_keys, false},
      {"10,000 watchers of the written keys, not taking", Watched::Kind::written_keys, false},
      {"10,000 watchers of the written keys, taking all", Watched::Kind::written_keys, true},
      {"10,000 watchers of prefixes beside them", Watched::Kind::prefixes, false},
  };
  for (const Watched& watched : cases) cost_per_put(watched);
  return 0;
}
