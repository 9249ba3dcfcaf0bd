// Idempotency as stories, and in a world where calls get lost.
#include "service/idempotency/idempotency.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/names.h"
#include "service/testing/unruly_store.h"
#include "service/testing/watched_store.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::UnrulyWorld;
using testing::WatchedStore;
using testing::World;
using Kind = IdempotencyState::Kind;
using Begun = Result<IdempotencyState>;

IdempotencyBegin work(const std::string& key, const std::string& fingerprint = "f") {
  IdempotencyBegin begin;
  begin.key = key;
  begin.fingerprint = fingerprint;
  return begin;
}

class IdempotencyTest : public ::testing::Test {
 protected:
  IdempotencyState begin(const IdempotencyBegin& what) {
    Running<Begun> running(idempotency.begin(what, {}));
    world.settle();
    return *running.result();
  }
  Status refused(const IdempotencyBegin& what) {
    Running<Begun> running(idempotency.begin(what, {}));
    world.settle();
    return running.result().status();
  }
  Status complete(const IdempotencyToken& token, const std::string& answer, Duration keep = 1h) {
    Running<Status> running(idempotency.complete("k", token, answer, keep, {}));
    world.settle();
    return running.result();
  }
  Status abandon(const IdempotencyToken& token) {
    Running<Status> running(idempotency.abandon("k", token, {}));
    world.settle();
    return running.result();
  }

  World world;
  Idempotency idempotency{world.context};
};

TEST_F(IdempotencyTest, WorkIsDoneOnceAndItsAnswerGivenToAll) {
  const IdempotencyState first = begin(work("k"));
  ASSERT_EQ(first.kind, Kind::first);
  EXPECT_EQ(begin(work("k")).kind, Kind::in_progress);
  EXPECT_EQ(begin(work("k", "other")).kind, Kind::mismatch);
  EXPECT_EQ(begin(work("other")).kind, Kind::first);
  const std::string answer("{\"a\":1}\n\0\xff", 10);
  EXPECT_EQ(complete(first.token, answer), Status());
  const IdempotencyState done = begin(work("k"));
  EXPECT_EQ(done.kind, Kind::done);
  EXPECT_EQ(done.answer, answer);
  EXPECT_EQ(begin(work("k", "other")).kind, Kind::mismatch);
}

TEST_F(IdempotencyTest, CompletingAgainWithTheSameAnswerIsNoError) {
  const IdempotencyState first = begin(work("k"));
  EXPECT_EQ(complete(first.token, "a"), Status());
  EXPECT_EQ(complete(first.token, "a"), Status());
  EXPECT_EQ(complete(first.token, "b"), errors::already_completed());
  EXPECT_EQ(abandon(first.token), errors::already_completed());
  EXPECT_EQ(begin(work("k")).answer, "a");
}

TEST_F(IdempotencyTest, AFirstThatDiedMakesRoomAndComesTooLate) {
  const IdempotencyState died = begin(work("k"));
  world.advance(59s, 1s);
  EXPECT_EQ(begin(work("k")).kind, Kind::in_progress);
  world.advance(10s, 1s);
  const IdempotencyState second = begin(work("k"));
  ASSERT_EQ(second.kind, Kind::first);
  EXPECT_EQ(complete(died.token, "late"), errors::not_the_first());
  EXPECT_EQ(abandon(died.token), errors::not_the_first());
  EXPECT_EQ(complete(second.token, "good"), Status());
  EXPECT_EQ(begin(work("k")).answer, "good");
}

TEST_F(IdempotencyTest, AnAnswerIsForgottenAfterItsTime) {
  EXPECT_EQ(complete(begin(work("k")).token, "a", 100s), Status());
  world.advance(99s, 1s);
  EXPECT_EQ(begin(work("k")).kind, Kind::done);
  world.advance(20s, 1s);
  EXPECT_EQ(begin(work("k")).kind, Kind::first);
}

TEST_F(IdempotencyTest, WhoAbandonsMakesRoomAtOnce) {
  const IdempotencyState first = begin(work("k"));
  EXPECT_EQ(abandon(first.token), Status());
  EXPECT_EQ(abandon(first.token), Status());
  EXPECT_EQ(complete(first.token, "a"), errors::not_the_first());
  EXPECT_EQ(begin(work("k", "other")).kind, Kind::first);
}

TEST_F(IdempotencyTest, ABeginWithAnOwnerMayBeRepeated) {
  IdempotencyBegin owned = work("k");
  owned.owner = std::string(32, 'a');
  const IdempotencyState first = begin(owned);
  const IdempotencyState again = begin(owned);
  EXPECT_EQ(again.kind, Kind::first);
  EXPECT_EQ(again.token, first.token);
}

TEST_F(IdempotencyTest, TheEffectAndTheFirstCanBeBoundTogether) {
  const IdempotencyState died = begin(work("k"));
  world.advance(80s, 1s);
  store::TxnRequest effect;
  effect.compare.push_back(Idempotency::owned("k", died.token));
  Running<Result<store::TxnResponse>> stale(store::awaitable::txn(world.store, effect));
  EXPECT_FALSE(stale.result()->succeeded);
  effect.compare[0] = Idempotency::owned("k", begin(work("k")).token);
  Running<Result<store::TxnResponse>> good(store::awaitable::txn(world.store, effect));
  EXPECT_TRUE(good.result()->succeeded);
}

TEST_F(IdempotencyTest, WhatIsAskedIsChecked) {
  EXPECT_EQ(refused(work("")), errors::name_empty());
  EXPECT_EQ(refused(work("k", std::string(fingerprint_bytes_max + 1, 'f'))), errors::fingerprint_too_long());
  IdempotencyBegin begin_wrong = work("k");
  for (const Duration time : {Duration{}, Duration(-1), in_progress_time_max + 1s}) {
    begin_wrong.in_progress_time = time;
    EXPECT_EQ(refused(begin_wrong), errors::idempotency_time_wrong());
  }
  begin_wrong = work("k");
  begin_wrong.owner = "me";
  EXPECT_EQ(refused(begin_wrong), errors::idempotency_owner_wrong());
  const IdempotencyToken token = begin(work("k")).token;
  EXPECT_EQ(complete(token, std::string(stored_answer_bytes_max + 1, 'a')), errors::answer_too_long());
  EXPECT_EQ(complete(token, "a", Duration{}), errors::idempotency_time_wrong());
  EXPECT_EQ(complete({}, "a"), errors::idempotency_token_wrong());
  EXPECT_EQ(complete(token, std::string(stored_answer_bytes_max, 'a')), Status());
}

TEST_F(IdempotencyTest, TokensAreTextAndBack) {
  const IdempotencyToken token{std::string(32, 'b'), Revision(17)};
  EXPECT_EQ(to_string(token), std::string(32, 'b') + ".17");
  EXPECT_EQ(*parse_idempotency_token(to_string(token)), token);
  const std::string owner(32, 'b');
  for (const std::string& bad : {std::string(), owner, owner + ".", owner + ".x", owner + ".0", owner + ".-1",
                                 owner + ".1x", owner + "x1", std::string(31, 'b') + "g.1"}) {
    EXPECT_EQ(parse_idempotency_token(bad).status(), errors::idempotency_token_wrong()) << bad;
  }
}

TEST_F(IdempotencyTest, WhatIsNoRecordIsAPreciseError) {
  for (const std::string bad :
       {"", "{", "[]", "{}", R"({"state":"done","owner":"x","fingerprint":""})",
        R"({"state":"odd","owner":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","fingerprint":""})"}) {
    store::PutRequest put;
    put.key = "lockstep/idempotency/k";
    put.value = bad;
    Running<Result<store::PutResponse>> done(store::awaitable::put(world.store, put));
    EXPECT_EQ(refused(work("k")).code(), Code::failed_precondition) << bad;
  }
}

// Every single fault: the story ends as it should, and at most one is first.
TEST(IdempotencyFaults, EveryFaultOfEveryCall) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done}) {
    for (std::size_t call = 0;; ++call) {
      SCOPED_TRACE("call " + std::to_string(call));
      World world;
      Idempotency idempotency(world.context);
      world.store.fail_call(call, fault);
      Running<Begun> begun(idempotency.begin(work("k"), {}));
      world.advance(2s);
      if (begun.result().ok()) {
        EXPECT_EQ(begun.result()->kind, Kind::first);
        Running<Status> completed(idempotency.complete("k", begun.result()->token, "a", 1h, {}));
        world.advance(2s);
        EXPECT_NE(completed.result().code(), Code::unknown_outcome);
        Running<Begun> again(idempotency.begin(work("k"), {}));
        world.advance(2s);
        if (again.result().ok()) {
          EXPECT_EQ(again.result()->kind, completed.result().ok() ? Kind::done : Kind::in_progress);
        }
      } else {
        EXPECT_NE(begun.result().status().code(), Code::unknown_outcome);
      }
      if (!world.store.failed()) break;
      ASSERT_LT(call, 50U);
    }
  }
}

struct Ledger {
  std::map<std::string, int> firsts;  // alive at once, of each key
  std::map<std::string, std::string> answers;
  int done = 0;
};

Task<void> one_request(Context context, Idempotency& idempotency, std::string key, int worker,
                       Ledger& ledger) {
  const Begun begun = co_await idempotency.begin(work(key), {});
  if (!begun.ok()) co_return;
  if (begun->kind == Kind::done) {
    ++ledger.done;
    EXPECT_EQ(begun->answer, ledger.answers.at(key));
    co_return;
  }
  if (begun->kind != Kind::first) co_return;
  EXPECT_EQ(++ledger.firsts[key], 1) << "two do the work at once";
  static_cast<void>(co_await pause_until(context, context.clock.now() + 5ms, {}));
  const std::string answer = "by " + std::to_string(worker);
  --ledger.firsts[key];
  // Said beforehand: whoever begins from now on may get it.
  ledger.answers.emplace(key, answer);
  Status completed = co_await idempotency.complete(key, begun->token, answer, 1h, {});
  while (!completed.ok() && completed.code() == Code::unavailable) {
    completed = co_await idempotency.complete(key, begun->token, answer, 1h, {});
  }
  EXPECT_EQ(completed, Status());
  EXPECT_EQ(ledger.answers.at(key), answer);
}

TEST(IdempotencyInABadWorld, OneFirstAndOneAnswerForEachKey) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    UnrulyWorld world(seed);
    const auto a = world.process();
    const auto b = world.process();
    Idempotency one(world.context(*a));
    Idempotency two(world.context(*b));
    Ledger ledger;
    for (int i = 0; i < 200; ++i) {
      const std::string key = "k" + std::to_string(i / 10);
      const bool first = world.prng.chance(1, 2);
      one_request(world.context(first ? *a : *b), first ? one : two, key, i, ledger).detach();
      world.advance(std::chrono::milliseconds(world.prng.below(10)));
    }
    world.advance(20s, 5ms);
    EXPECT_GT(ledger.done, 20);
  }
}

}  // namespace
}  // namespace lockstep::service
