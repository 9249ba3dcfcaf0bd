// What becomes of what a request took when nobody is there to take it.
#include "gateway/v1/seat.h"

#include <algorithm>
#include <memory>
#include <stop_token>
#include <string>

#include <gtest/gtest.h>

#include "base/assert.h"
#include "base/task_scope.h"
#include "gateway/etcd/testing/world.h"
#include "gateway/v1/request_reader.h"
#include "service/testing/watched_store.h"

namespace lockstep::gateway::v1 {
namespace {

// Handlers, each called as the server would.
class SeatTest : public ::testing::Test {
 protected:
  struct Calling {
    std::stop_source client;
    std::string said;
  };
  using CallingPtr = std::shared_ptr<Calling>;

  CallingPtr start(const std::string& path, const std::string& body) {
    const auto found = std::ranges::find(routes, path, &Route::path);
    LS_MUST(found != routes.end());
    auto calling = std::make_shared<Calling>();
    Call call;
    EXPECT_FALSE(read_body(body, found->request, &call.arguments).has_value());
    call.options.cancellation = calling->client.get_token();
    call.options.deadline = world.strand.now() + 10s;
    scope.spawn(go(found->handler(std::move(call)), calling));
    return calling;
  }
  std::string ask(const std::string& path, const std::string& body) {
    const CallingPtr calling = start(path, body);
    world.strand.run();
    return calling->said;
  }
  static Task<void> go(Task<Outcome> task, CallingPtr calling) {
    const Outcome outcome = co_await std::move(task);
    if (const auto* json = std::get_if<JsonText>(&outcome)) calling->said = json->str();
    if (const auto* status = std::get_if<Status>(&outcome)) calling->said = problem_of(*status).kind->code;
    if (const auto* problem = std::get_if<Problem>(&outcome)) calling->said = problem->kind->code;
  }
  static std::string after(const std::string& json, const std::string& name) {
    const std::size_t at = json.find("\"" + name + "\":") + name.size() + 3;
    std::string value = json.substr(at, json.find_first_of(",}", at) - at);
    std::erase(value, '"');
    return value;
  }
  std::string open_session() { return after(ask("/v1/sessions/open", R"({"ttl_ms":600000})"), "session"); }
  void sleep(Duration time) {
    for (Duration slept{}; slept < time; slept += 50ms) {
      world.strand.advance(50ms);
      world.strand.run();
    }
  }
  bool exists(const std::string& key) {
    bool there = false;
    world.store.range({.key = key}, {},
                      [&](const Result<store::RangeResponse>& read) { there = !read->kvs.empty(); });
    world.strand.run();
    return there;
  }

  gateway::testing::World world;
  service::testing::SeededRandom numbers;
  Coordination recipes{{world.store, world.strand, world.strand, numbers}};
  Routes routes = recipes.routes();
  TaskScope scope;
};

// In the very turn in which the answer comes.
TEST_F(SeatTest, WhoeverGoesAwayReleasesOnlyWhatItsRequestTook) {
  const std::string mine = open_session();
  const std::string other = open_session();
  ask("/v1/locks/acquire", R"({"name":"k","session":")" + mine + "\"}");
  const std::string held = ask("/v1/locks/acquire", R"({"name":"l","session":")" + other + "\"}");
  const CallingPtr both =
      start("/v1/locks/acquire-all", R"({"names":["k","l"],"wait_ms":5000,"session":")" + mine + "\"}");
  world.strand.run();
  ASSERT_EQ(both->said, "");
  const CallingPtr released = start("/v1/locks/release", R"({"name":"l","session":")" + other +
                                                             R"(","token":)" + after(held, "token") + "}");
  both->client.request_stop();
  sleep(2s);
  EXPECT_EQ(both->said, "cancelled");
  EXPECT_TRUE(exists("k/" + mine)) << "held before, and it was told so";
  EXPECT_FALSE(exists("l/" + mine));
}

TEST_F(SeatTest, WhatTheSessionHeldStaysItsOwnWhenARepetitionIsGivenUp) {
  const std::string mine = open_session();
  const std::string session = R"(,"session":")" + mine + "\"}";
  ask("/v1/locks/acquire", R"({"name":"k")" + session);
  const CallingPtr again = start("/v1/locks/acquire", R"({"name":"k")" + session);
  again->client.request_stop();
  const std::string permit = ask("/v1/semaphores/acquire", R"({"name":"s","permits":1)" + session);
  const CallingPtr another = start("/v1/semaphores/acquire", R"({"name":"s","permits":1)" + session);
  another->client.request_stop();
  sleep(2s);
  EXPECT_NE(again->said, "");
  EXPECT_NE(another->said, "");
  EXPECT_TRUE(exists("k/" + mine));
  EXPECT_TRUE(exists(after(permit, "key")));
}

}  // namespace
}  // namespace lockstep::gateway::v1
