// What a watched session's watcher hears when the store is away just then.
#include <algorithm>
#include <stop_token>
#include <string>

#include <gtest/gtest.h>

#include "base/assert.h"
#include "base/task_scope.h"
#include "gateway/v1/coordination.h"
#include "gateway/v1/request_reader.h"
#include "service/testing/watched_store.h"

namespace lockstep::gateway::v1 {
namespace {

class Events final : public EventSink {
 public:
  Task<bool> send(std::string event, std::string /*id*/, JsonText /*data*/) override {
    seen += event + " ";
    co_return true;
  }
  std::string seen;
};

class SessionWatchTest : public ::testing::Test {
 protected:
  static constexpr LeaseId session{255};

  void SetUp() override {
    world.store.lease_grant({600s, session}, {}, [](const auto& granted) { LS_MUST(granted.ok()); });
    const auto route = std::ranges::find(routes, "/v1/sessions/watch", &Route::path);
    LS_MUST(route != routes.end());
    Call call;
    EXPECT_FALSE(read_query("session=ff", route->request, &call.arguments).has_value());
    call.options.cancellation = client.get_token();
    call.options.deadline = world.store.strand.now() + 10s;
    scope.spawn(watch(route->stream(std::move(call), events)));
    world.settle();
    ASSERT_EQ(events.seen, "alive ");
  }
  void TearDown() override {
    client.request_stop();
    world.advance(1s);
    EXPECT_EQ(scope.size(), 0U);
  }
  static Task<void> watch(Task<Status> task) { EXPECT_EQ(co_await std::move(task), Status()); }
  void revoke() {
    world.store.lease_revoke({session}, {}, [](const auto& revoked) { LS_MUST(revoked.ok()); });
    world.settle();
  }

  service::testing::World world;
  Coordination recipes{world.context};
  Routes routes = recipes.routes();
  std::stop_source client;
  Events events;
  TaskScope scope;
};

TEST_F(SessionWatchTest, HearsOfItsEndAtOnce) {
  revoke();
  EXPECT_EQ(events.seen, "alive lost ");
}

TEST_F(SessionWatchTest, HearsOfItsEndOnceSomebodyCanSayIt) {
  world.store.cut_off = true;
  revoke();
  world.advance(1s);
  EXPECT_EQ(events.seen, "alive ");
  world.store.cut_off = false;
  world.advance(1s);
  EXPECT_EQ(events.seen, "alive lost ");
}

TEST_F(SessionWatchTest, AsksNoMoreWhenNobodyListens) {
  world.store.cut_off = true;
  revoke();
  client.request_stop();
  world.advance(1s);
  EXPECT_EQ(scope.size(), 0U);
}

}  // namespace
}  // namespace lockstep::gateway::v1
