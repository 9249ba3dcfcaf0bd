// The memory store, and on it the awaitable calls and software transactions.
#include "replica/memory_store.h"

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "store/awaitable.h"
#include "store/errors.h"
#include "store/stm.h"

namespace lockstep::replica {
namespace {

namespace awaitable = store::awaitable;
namespace stm = store::stm;

// Turns and time pass only when told.
class ManualStrand final : public env::Executor, public env::Clock {
 public:
  void post(env::Closure closure) override { queue_.push_back(std::move(closure)); }
  void post_from_any_thread(env::Closure closure) override { post(std::move(closure)); }
  env::TimerId schedule(TimePoint deadline, env::Closure closure) override {
    const env::TimerId id(++timers_made_);
    timers_.emplace(std::pair(deadline, id), std::move(closure));
    return id;
  }
  void cancel(env::TimerId timer) override {
    std::erase_if(timers_, [&](const auto& entry) { return entry.first.second == timer; });
  }
  TimePoint now() override { return now_; }
  Duration wall_now() override { return now_.time_since_epoch(); }

  void run() {
    while (!queue_.empty()) {
      env::Closure closure = std::move(queue_.front());
      queue_.erase(queue_.begin());
      closure();
    }
  }
  void advance(Duration by) {
    const TimePoint until = now_ + by;
    while (!timers_.empty() && timers_.begin()->first.first <= until) {
      auto first = timers_.extract(timers_.begin());
      now_ = std::max(now_, first.key().first);
      first.mapped()();
      run();
    }
    now_ = until;
  }

 private:
  std::vector<env::Closure> queue_;
  std::map<std::pair<TimePoint, env::TimerId>, env::Closure> timers_;
  std::uint64_t timers_made_ = 0;
  TimePoint now_{};
};

class MemoryStoreTest : public ::testing::Test {
 protected:
  // Waits for a task of this strand.
  template <class T>
  T get(Task<T> task) {
    std::optional<T> result;
    keep(std::move(task), &result).detach();
    strand_.run();
    EXPECT_TRUE(result.has_value()) << "the task waits for something that will not come";
    return std::move(*result);
  }
  // Also inside a task: the store answers before it returns.
  Revision put(std::string key, std::string value, LeaseId lease = {}) {
    Revision revision;
    store_.put({.key = std::move(key), .value = std::move(value), .lease = lease}, {},
               [&](const Result<store::PutResponse>& response) { revision = response->header.revision; });
    return revision;
  }
  std::string value(std::string key) {
    const auto response = get(awaitable::range(store_, {.key = std::move(key)}));
    return response->kvs.empty() ? "(none)" : response->kvs[0].value;
  }

  Task<Status> reads_over_compaction(stm::Transaction& transaction, bool* meddle) {
    const auto a = co_await transaction.get("a");
    if (std::exchange(*meddle, false)) {
      const Revision revision = put("a", "2");
      store_.compact({.revision = revision}, {}, [](const auto& done) { LS_MUST(done.ok()); });
    }
    const auto b = co_await transaction.get("b");
    if (!b.ok()) co_return b.status();
    transaction.put("sum", **a + **b);
    co_return Status();
  }

  ManualStrand strand_;
  MemoryStore store_{strand_, strand_};

 private:
  template <class T>
  static Task<> keep(Task<T> task, std::optional<T>* result) {
    result->emplace(co_await std::move(task));
  }
};

TEST_F(MemoryStoreTest, LeasesEndByTheClock) {
  const auto granted = get(awaitable::lease_grant(store_, {.ttl = 1ms}));
  EXPECT_EQ(granted->ttl, 100ms) << "raised to the smallest";
  put("k", "v", granted->id);
  strand_.advance(99ms);
  EXPECT_EQ(value("k"), "v");
  EXPECT_EQ(get(awaitable::lease_keep_alive(store_, {granted->id}))->ttl, 100ms);
  strand_.advance(99ms);
  EXPECT_EQ(value("k"), "v");
  EXPECT_EQ(get(awaitable::lease_time_to_live(store_, {granted->id, true}))->remaining, 1ms);
  strand_.advance(1ms);
  EXPECT_EQ(value("k"), "v") << "the millisecond in which it was renewed may have just begun";
  strand_.advance(1ms);
  EXPECT_EQ(value("k"), "(none)");
  EXPECT_EQ(get(awaitable::lease_keep_alive(store_, {granted->id}))->ttl, 0ms);
  EXPECT_FALSE(get(awaitable::lease_time_to_live(store_, {granted->id}))->found);
}

TEST_F(MemoryStoreTest, ARequestIdTakesEffectOnce) {
  const ClientId client = get(awaitable::register_client(store_))->client;
  store::CallOptions once;
  once.request_id = {client, Sequence(1)};
  const auto first = get(awaitable::put(store_, {.key = "k", .value = "1"}, once));
  put("k", "2");
  const auto again = get(awaitable::put(store_, {.key = "k", .value = "1"}, once));
  EXPECT_EQ(*first, *again);
  EXPECT_EQ(value("k"), "2");
  EXPECT_EQ(get(awaitable::compact(store_, {.revision = Revision(1)}, once)).status().code(),
            Code::invalid_argument);
}

TEST_F(MemoryStoreTest, LateAndCancelledCallsHaveNoEffect) {
  strand_.advance(1s);
  store::CallOptions late;
  late.deadline = strand_.now();
  EXPECT_EQ(get(awaitable::put(store_, {.key = "k"}, late)).status().code(), Code::deadline_exceeded);
  std::stop_source source;
  source.request_stop();
  store::CallOptions cancelled;
  cancelled.cancellation = source.get_token();
  EXPECT_EQ(get(awaitable::put(store_, {.key = "k"}, cancelled)).status().code(), Code::cancelled);
  EXPECT_EQ(value("k"), "(none)");
}

TEST_F(MemoryStoreTest, WatchSeesEveryChange) {
  auto subscription = store_.watch({.key = "a", .range_end = "z"});
  ASSERT_TRUE(subscription.ok());
  put("k", "v");
  const store::WatchResponse response = get(awaitable::next(**subscription));
  ASSERT_EQ(response.events.size(), 1u);
  EXPECT_EQ(response.events[0].kv.value, "v");
}

TEST_F(MemoryStoreTest, CompactionGivesBackInTheBackground) {
  for (int i = 0; i < 5000; ++i) put("k", std::to_string(i));
  EXPECT_TRUE(get(awaitable::compact(store_, {.revision = Revision(5000)})).ok());
  EXPECT_EQ(get(awaitable::range(store_, {.key = "k", .revision = Revision(4999)})).status(),
            store::errors::compacted());
  EXPECT_EQ(get(awaitable::range(store_, {.key = "k", .revision = Revision(5000)}))->kvs[0].value, "4998");
}

TEST_F(MemoryStoreTest, SpaceExhaustedRefusesWrites) {
  const store::Alarm alarm{NodeId(1), store::AlarmKind::no_space};
  EXPECT_TRUE(get(awaitable::alarm(store_, {store::AlarmAction::activate, alarm})).ok());
  EXPECT_EQ(get(awaitable::put(store_, {.key = "k"})).status(), store::errors::no_space());
  EXPECT_TRUE(get(awaitable::delete_range(store_, {.key = "k"})).ok());
}

// Moves one from a to b, if a has some. `meddle` runs between the reads and the commit.
class Move {
 public:
  explicit Move(std::function<void()> meddle) : meddle_(std::move(meddle)) {}
  Task<Status> operator()(stm::Transaction& transaction) {
    auto from = co_await transaction.get("a");
    if (!from.ok()) co_return from.status();
    auto to = co_await transaction.get("b");
    if (!to.ok()) co_return to.status();
    if (meddle_) meddle_();
    if (!from->has_value() || **from == "0") co_return Status(Code::failed_precondition, "a is empty");
    transaction.put("a", std::to_string(std::stoi(**from) - 1));
    transaction.put("b", std::to_string(std::stoi(to->value_or("0")) + 1));
    const auto own = co_await transaction.get("a");
    LS_MUST(own->value() == std::to_string(std::stoi(**from) - 1), "a transaction reads what it wrote");
    co_return Status();
  }

 private:
  std::function<void()> meddle_;
};

TEST_F(MemoryStoreTest, ATransactionCommitsOrRunsAgain) {
  put("a", "3");
  const auto first = get(stm::run(store_, Move(nullptr)));
  EXPECT_EQ(first->attempts, 1u);
  EXPECT_EQ(value("a") + value("b"), "21");

  int meddled = 0;
  const auto second = get(stm::run(store_, Move([&] {
                                     if (meddled++ < 2) put("b", std::to_string(10 * meddled));
                                   })));
  EXPECT_EQ(second->attempts, 3u) << "two conflicts";
  EXPECT_EQ(value("a") + " " + value("b"), "1 21");
}

TEST_F(MemoryStoreTest, ATransactionGivesUp) {
  EXPECT_EQ(get(stm::run(store_, Move(nullptr))).status().code(), Code::failed_precondition);
  put("a", "100");
  int meddled = 0;
  const auto outcome = get(
      stm::run(store_, Move([&] { put("a", std::to_string(++meddled)); }), stm::Options().attempts_max(5)));
  EXPECT_EQ(outcome.status().code(), Code::unavailable);
  EXPECT_EQ(meddled, 5);
  EXPECT_EQ(value("b"), "(none)");
}

TEST_F(MemoryStoreTest, ATransactionWhoseHistoryIsCompactedRunsAgain) {
  put("a", "1");
  put("b", "1");
  bool meddle = true;
  const auto body = [&](stm::Transaction& transaction) {
    return reads_over_compaction(transaction, &meddle);
  };
  const auto outcome = get(stm::run(store_, body));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->attempts, 2u);
}

}  // namespace
}  // namespace lockstep::replica
