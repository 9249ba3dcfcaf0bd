// What a lock protects, and locks as others see them: guards, fences, lists, forced release.
#include "service/lock/guard.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/assert.h"
#include "service/flat_json.h"
#include "service/lock/lock_states.h"
#include "service/lock/locks.h"
#include "service/store_requests.h"
#include "service/testing/recipe_test.h"
#include "service/waiting.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::Strings;
using testing::WatchedStore;

class GuardTest : public testing::RecipeTest {
 protected:
  HeldLock lock(const SessionPtr& session, const std::string& name = "l",
                LockMode mode = LockMode::exclusive) {
    LockRequest request;
    request.name = name;
    request.mode = mode;
    request.description = {.holder = "worker", .host = "a1", .reason = "nightly", .pid = 7};
    return run(locks->acquire(session, request, {})).value();
  }
  void put_leased(const SessionPtr& session, const std::string& key, const std::string& value) {
    world.store.put(put_of(key, value, session->id()), {},
                    [](const Result<store::PutResponse>& done) { LS_MUST(done.ok()); });
    world.settle();
  }
  static store::TxnRequest write(const std::string& value) {
    store::TxnRequest txn;
    txn.success.push_back(operation(put_of("resource", value, {})));
    return txn;
  }
  Status guard(const HeldLock& held, const std::string& value) {
    return run(guarded(world.context, write(value), {held.key, held.token}, {})).status();
  }
  Status fence(std::int64_t token, const std::string& value) {
    return run(fenced(world.context, write(value), "r", Revision(token), {})).status();
  }

  void TearDown() override {
    locks.reset();
    world.settle();  // those who still wait are told
  }

  std::unique_ptr<Locks> locks = std::make_unique<Locks>(world.context);
};

TEST_F(GuardTest, AStaleHoldersWriteIsRefused) {
  const SessionPtr paused = session(1, {.ttl = 3s, .renewal = Renewal::by_holder});
  const HeldLock held = lock(paused);
  EXPECT_EQ(guard(held, "first"), Status());
  world.advance(4s);  // it does not know, and its key is gone
  EXPECT_EQ(guard(held, "late"), errors::stale_token());
  const HeldLock next = lock(session(2));
  EXPECT_EQ(guard(next, "second"), Status());
  EXPECT_EQ(guard(held, "late"), errors::stale_token());
  EXPECT_EQ(value("resource"), "second");
}

TEST_F(GuardTest, AFenceWithoutATokenIsStaleAlsoWhenNobodyHoldsTheLock) {
  store::TxnRequest txn;
  txn.success.push_back(operation(put_of("data", "x", {})));
  EXPECT_EQ(run(guarded(world.context, txn, {"l/1", Revision()}, {})).status(), errors::stale_token());
  EXPECT_EQ(value("data"), "-");
}

TEST_F(GuardTest, AGuardedTransactionAnswersAsItWouldAlone) {
  const HeldLock held = lock(session(1));
  store::TxnRequest request = write("x");
  request.compare.push_back(created_at("resource", Revision(99)));
  request.failure.push_back(operation(one_key("resource")));
  const Result<store::TxnResponse> answer = run(guarded(world.context, request, {held.key, held.token}, {}));
  ASSERT_TRUE(answer.ok());
  EXPECT_FALSE(answer->succeeded);
  EXPECT_NE(range_at(*answer, 0), nullptr);
  EXPECT_EQ(value("resource"), "-");
}

TEST_F(GuardTest, AResourceRemembersTheHighestToken) {
  EXPECT_EQ(run(highest_token(world.context, "r", {})).value(), Revision());
  EXPECT_EQ(fence(9, "nine"), Status());
  EXPECT_EQ(fence(9, "nine again"), Status());
  EXPECT_EQ(fence(10, "ten"), Status()) << "as numbers, not as texts";
  EXPECT_EQ(fence(9, "late"), errors::stale_token());
  EXPECT_EQ(fence(0, "none"), errors::stale_token());
  EXPECT_EQ(fence(-1, "none"), errors::stale_token());
  EXPECT_EQ(value("resource"), "ten");
  EXPECT_EQ(value("lockstep/fences/r"), "0000000000000000010");
  EXPECT_EQ(run(highest_token(world.context, "r", {})).value(), Revision(10));
  put("lockstep/fences/r", "zzz");
  EXPECT_EQ(fence(11, "x"), errors::fence_damaged());
  EXPECT_EQ(run(highest_token(world.context, "r", {})).status(), errors::fence_damaged());
}

TEST_F(GuardTest, AHolderIsToldAtOnceWhenItsLockIsTakenAway) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const HeldLock held = lock(a);
  Running<Status> over(until_over(world.context, a, {held.key, held.token}, {}));
  const HeldLock other = lock(a, "other");
  Running<Status> by_end(until_over(world.context, a, {other.key, other.token}, {}));
  Running<Status> timed(until_over(world.context, a, {other.key, other.token}, within(1s)));
  world.settle();
  EXPECT_TRUE(over.waits() && by_end.waits());
  const Result<ForcedRelease> forced =
      run(force_release(world.context, {"l", held.token, "root", "stuck"}, {}));
  ASSERT_TRUE(forced.ok());
  EXPECT_EQ(over.result(), errors::holding_removed());
  world.advance(1s);
  EXPECT_EQ(timed.result(), errors::wait_deadline_over());
  EXPECT_EQ(run(a->close({})), Status());
  world.settle();
  EXPECT_EQ(by_end.result(), errors::session_closed());
}

TEST_F(GuardTest, ForcedReleaseIsOnTheRecordAndServesTheNext) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const HeldLock held = lock(a);
  Running<Result<HeldLock>> waiter(locks->acquire(session(2, {.ttl = 1h}), {.name = "l"}, {}));
  world.settle();
  EXPECT_EQ(run(force_release(world.context, {"l", held.token.next(), "root", ""}, {})).status(),
            waiter.waits() ? Status() : errors::not_holder())
      << "a waiter may be removed, too";
  EXPECT_EQ(run(force_release(world.context, {"l", Revision(999), "root", ""}, {})).status(),
            errors::not_holder());
  EXPECT_EQ(run(force_release(world.context, {"m", held.token, "root", ""}, {})).status(),
            errors::not_holder());
  for (const auto fault : {WatchedStore::Fault::unknown_done, WatchedStore::Fault::unknown_not_done}) {
    const HeldLock again = lock(a, "again");
    world.store.next_txn = fault;
    const Result<ForcedRelease> forced =
        run(force_release(world.context, {"again", again.token, "root", "stuck"}, {}));
    ASSERT_TRUE(forced.ok());
    const Result<FlatJson> record = FlatJson::parse(value(forced->audit_key));
    ASSERT_TRUE(record.ok());
    EXPECT_EQ(record->text("name"), "again");
    EXPECT_EQ(record->text("by"), "root");
    EXPECT_EQ(record->text("reason"), "stuck");
    EXPECT_EQ(record->text("holder"), "worker");
    EXPECT_EQ(record->number("token"), again.token.value());
  }
  EXPECT_EQ(run(locks->release({"again", LockMode::exclusive, a->id(), Revision(1)}, {})).status(),
            errors::not_holder());
}

TEST_F(GuardTest, AForcedReleaseThatMayHaveHappenedIsNotCalledUndone) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const Revision token = lock(a).token;
  world.store.fail_call(1, WatchedStore::Fault::unknown_done);  // 0: the read
  Running<Result<ForcedRelease>> forcing(force_release(world.context, {"l", token, "me", "why"}, within(5s)));
  world.settle();
  world.store.down = true;
  world.advance(6s);
  world.store.down = false;
  ASSERT_FALSE(forcing.result().ok());
  EXPECT_EQ(forcing.result().status().code(), Code::unknown_outcome);
  EXPECT_EQ(value("l/1"), "-");
}

TEST_F(GuardTest, AForcedReleaseTakesNothingOfALockWhoseNameContainsItsOwn) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const Revision token = lock(a, "a/b").token;
  EXPECT_EQ(run(force_release(world.context, {"a", token, "me", "why"}, {})).status(), errors::not_holder());
  EXPECT_TRUE(run(force_release(world.context, {"a/b", token, "me", "why"}, {})).ok());
}

TEST_F(GuardTest, LocksAreShownWithTheirHoldersAndTheirQueue) {
  const SessionPtr a = session(1);
  const SessionPtr b = session(2);
  const SessionPtr c = session(3);
  lock(a, "l", LockMode::shared);
  lock(b, "l", LockMode::shared);
  Running<Result<HeldLock>> writer(locks->acquire(c, {.name = "l"}, within(1h)));
  world.settle();
  lock(c, "m/sub");
  put("l/notes", "no lease, no lock");
  const LockState state = run(show_lock(world.context, "l", {})).value();
  std::string text;
  for (const LockContender& contender : state.contenders) {
    text += contender.key + (contender.mode == LockMode::shared ? " reads" : " writes") +
            (contender.holds ? " holds " : " waits ") + contender.value.description.holder + "; ";
  }
  EXPECT_EQ(text,
            "l/r/1 reads holds worker; l/r/2 reads holds worker; l/3 writes waits ; l/notes writes waits ; ");
  const LockList list = run(list_locks(world.context, {}, {})).value();
  ASSERT_EQ(list.locks.size(), 2U);
  EXPECT_EQ(list.locks[0].name, "l");
  EXPECT_EQ(list.locks[1].name, "m/sub");
  EXPECT_EQ(list.next, "");
  EXPECT_EQ(run(list_locks(world.context, {.prefix = "m/"}, {})).value().locks.size(), 1U);
  EXPECT_TRUE(run(show_lock(world.context, "free", {})).value().contenders.empty());
  EXPECT_TRUE(
      run(locks->release({"m/sub", LockMode::exclusive, c->id(), list.locks[1].contenders[0].token}, {}))
          .ok());
  EXPECT_EQ(run(c->close({})), Status());
  world.settle();
  EXPECT_EQ(writer.result().status(), errors::session_closed());
}

TEST_F(GuardTest, ManyLocksComePageByPage) {
  const SessionPtr a = session(1, {.ttl = 1h});
  for (int number = 0; number < 250; ++number) lock(a, "n" + std::to_string(1000 + number));
  LockListRequest request{.prefix = "n", .from = ""};
  std::size_t listed = 0;
  for (int page = 0; page < 3; ++page) {
    const LockList list = run(list_locks(world.context, request, {})).value();
    listed += list.locks.size();
    EXPECT_EQ(list.next.empty(), page == 2);
    request.from = list.next;
  }
  EXPECT_EQ(listed, 250U);
}

TEST_F(GuardTest, APageOfLocksIsBoundedInBytesAndInContendersOfEach) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const std::string large(400 * 1024, 'x');
  for (int number = 10; number < 40; ++number) put_leased(a, "n" + std::to_string(number) + "/1", large);
  for (int number = 0; number < 30; ++number) put("many/" + std::to_string(number), "");
  put_leased(a, "many/1", "");
  LockListRequest request;
  std::vector<std::string> names;
  int pages = 0;
  do {
    const LockList list = run(list_locks(world.context, request, {})).value();
    EXPECT_LE(list.locks.size(), 10U) << "the bytes end a page";
    for (const LockState& state : list.locks) {
      names.push_back(state.name);
      EXPECT_EQ(state.more, state.name == "many");
      EXPECT_LE(state.contenders.size(), lock_contenders_listed_max);
    }
    request.from = list.next;
    ++pages;
  } while (!request.from.empty() && pages < 10);
  EXPECT_EQ(pages, 4);
  EXPECT_EQ(names.size(), 31U);
  EXPECT_TRUE(std::ranges::is_sorted(names));
}

TEST_F(GuardTest, DescriptionsAreJsonThatPeopleRead) {
  HolderValue value;
  value.description = {.holder = "a\"b", .host = "h\n", .reason = "größe", .pid = 4711};
  value.since_ms = 17;
  value.count = 2;
  value.attempt = "ff";
  const std::string text = encode(value);
  EXPECT_EQ(text,
            "{\"holder\":\"a\\\"b\",\"host\":\"h\\u000a\",\"pid\":4711,\"reason\":\"größe\","
            "\"since_ms\":17,\"count\":2,\"attempt\":\"ff\"}");
  EXPECT_EQ(decode_holder(text), value);
  EXPECT_EQ(decode_holder("{\"new\":[1,{\"x\":null}],\"pid\":1.5,\"count\":-3}"), HolderValue());
  for (const char* none :
       {"", "x", "{", "[]", "{\"pid\":1}x", "{\"holder\":\"\xff\"}", "{\"a\":\"\\ud800\"}"}) {
    EXPECT_EQ(decode_holder(none), HolderValue()) << none;
  }
}

}  // namespace
}  // namespace lockstep::service
