// The three outcomes of a call, and what stands between a caller and doing something twice.
#include <stop_token>

#include "contract.h"
#include "forgetful_store.h"
#include "store/stm.h"

namespace lockstep::store_contract {
namespace {

namespace awaitable = store::awaitable;
namespace stm = store::stm;
using store::CallOptions;
using store::Store;

TEST_P(StoreContract, ADeadlineThatHasPassedIsNotDone) {
  const Revision before = put("kept", "x");
  CallOptions late;
  late.deadline = world().now() - 1ns;
  for (const auto& [what, code] : mutate_in_every_way(late)) EXPECT_EQ(code, Code::deadline_exceeded) << what;
  for (const auto& [what, code] : read_in_every_way(late)) EXPECT_EQ(code, Code::deadline_exceeded) << what;
  EXPECT_EQ(revision(), before);
  EXPECT_EQ(names_of(everything()), "kept");
}

TEST_P(StoreContract, ACallThatWasCancelledBeforeIsNotDone) {
  const Revision before = put("kept", "x");
  std::stop_source source;
  source.request_stop();
  CallOptions cancelled;
  cancelled.cancellation = source.get_token();
  for (const auto& [what, code] : mutate_in_every_way(cancelled)) EXPECT_EQ(code, Code::cancelled) << what;
  for (const auto& [what, code] : read_in_every_way(cancelled)) EXPECT_EQ(code, Code::cancelled) << what;
  EXPECT_EQ(revision(), before);
  EXPECT_EQ(names_of(everything()), "kept");
}

TEST_P(StoreContract, ADeadlineThatHasNotPassedAndATokenThatIsNotUsedChangeNothing) {
  std::stop_source source;
  CallOptions options;
  options.deadline = world().now() + 1h;
  options.cancellation = source.get_token();
  EXPECT_TRUE(call(&Store::put, {.key = key("a"), .value = "1"}, options).ok());
  EXPECT_EQ(value("a"), "1");
}

TEST_P(StoreContract, ARequestIdTakesEffectOnce) {
  if (!promised(capabilities().deduplicates_requests, "de-duplication by RequestId")) {
    EXPECT_EQ(call(&Store::register_client).status().code(), Code::unimplemented);
    return;
  }
  const ClientId client = must(call(&Store::register_client)).client;
  CallOptions once;
  once.request_id = {client, Sequence(1)};
  const auto first = call(&Store::put, {.key = key("a"), .value = "1"}, once);
  ASSERT_TRUE(first.ok());
  put("a", "2");
  const auto again = call(&Store::put, {.key = key("a"), .value = "1"}, once);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*first, *again) << "the answer of the first time";
  EXPECT_EQ(value("a"), "2");
  CallOptions next;
  next.request_id = {client, Sequence(2), Sequence(2)};
  EXPECT_TRUE(call(&Store::put, {.key = key("a"), .value = "3"}, next).ok());
  EXPECT_EQ(call(&Store::put, {.key = key("a"), .value = "1"}, once).status(),
            store::errors::request_already_answered());
  EXPECT_EQ(value("a"), "3");
}

TEST_P(StoreContract, AnUnknownClientAndAFalseIdAreRefused) {
  if (!promised(capabilities().deduplicates_requests, "refusal of unknown clients")) return;
  CallOptions stranger;
  stranger.request_id = {ClientId(987'654'321), Sequence(1)};
  EXPECT_EQ(call(&Store::put, {.key = key("a")}, stranger).status(), store::errors::client_unknown());
  CallOptions wrong;
  wrong.request_id = {must(call(&Store::register_client)).client, Sequence(1), Sequence(2)};
  EXPECT_EQ(call(&Store::put, {.key = key("a")}, wrong).status(), store::errors::request_id_invalid());
  EXPECT_EQ(value("a"), "(none)");
}

TEST_P(StoreContract, AfterAnUnknownOutcomeTheSameRequestIdIsSafe) {
  if (!promised(capabilities().deduplicates_requests, "safe repetition after an unknown outcome")) return;
  CallOptions once;
  once.request_id = {must(call(&Store::register_client)).client, Sequence(1)};
  ForgetfulStore forgetful(world().store());
  const auto lost = run(awaitable::put(forgetful, {.key = key("a"), .value = "1"}, once));
  EXPECT_TRUE(is_unknown(lost.status()));
  EXPECT_TRUE(call(&Store::put, {.key = key("a"), .value = "1"}, once).ok());
  EXPECT_EQ(get("a")->version, 1) << "one effect";
}

// ---- software transactions

// Adds one to a counter. Another client does the same between the read and the commit, so many times.
class Increment {
 public:
  Increment(Store& store, std::string key, int meddle)
      : store_(store), key_(std::move(key)), meddle_(meddle) {}
  Task<Status> operator()(stm::Transaction& transaction) {
    const auto found = co_await transaction.get(key_);
    if (!found.ok()) co_return found.status();
    const int count = std::stoi(found->value_or("0"));
    if (meddle_ > 0) {
      --meddle_;
      store::PutRequest other;
      other.key = key_;
      other.value = std::to_string(count + 100);
      const auto done = co_await awaitable::put(store_, std::move(other));
      if (!done.ok()) co_return done.status();
    }
    transaction.put(key_, std::to_string(count + 1));
    const auto own = co_await transaction.get(key_);
    if (own->value() != std::to_string(count + 1))
      co_return Status(Code::internal, "it does not read what it wrote");
    co_return Status();
  }

 private:
  Store& store_;
  std::string key_;
  int meddle_;
};

TEST_P(StoreContract, ATransactionCommitsOrRunsAgain) {
  Store& store = world().store();
  const auto alone = must(run(stm::run(store, Increment(store, key("n"), 0))));
  EXPECT_EQ(alone.attempts, 1u);
  EXPECT_EQ(alone.revision, revision());
  const auto second = must(run(stm::run(store, Increment(store, key("n"), 2))));
  EXPECT_EQ(second.attempts, 3u) << "two conflicts";
  EXPECT_EQ(value("n"), "202");
  const auto given_up = run(stm::run(store, Increment(store, key("n"), 99), stm::Options().attempts_max(5)));
  EXPECT_EQ(given_up.status().code(), Code::unavailable);
  EXPECT_EQ(value("n"), "702") << "only the other's writes";
}

TEST_P(StoreContract, ATransactionPassesTheUnknownOn) {
  ForgetfulStore forgetful(world().store());
  put("n", "0");
  const auto outcome = run(stm::run(forgetful, Increment(world().store(), key("n"), 0)));
  EXPECT_TRUE(is_unknown(outcome.status()));
  EXPECT_EQ(value("n"), "1") << "it was done, once: an unknown commit is not repeated";
}

TEST_P(StoreContract, ATransactionObeysItsDeadline) {
  CallOptions late;
  late.deadline = world().now() - 1ns;
  Store& store = world().store();
  const auto outcome = run(stm::run(store, Increment(store, key("n"), 0), stm::Options().call(late)));
  EXPECT_EQ(outcome.status().code(), Code::deadline_exceeded);
  EXPECT_EQ(value("n"), "(none)");
}

}  // namespace
}  // namespace lockstep::store_contract
