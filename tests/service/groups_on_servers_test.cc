// Elections, latches and barriers on real servers.
#include <memory>
#include <string>
#include <vector>

#include "servers.h"
#include "service/barrier/barriers.h"
#include "service/election/elections.h"
#include "service/latch/latches.h"
#include "service/session/session.h"

namespace lockstep::service_test {
namespace {

using service::SessionPtr;

class GroupsOnServers : public OnServers {
 protected:
  SessionPtr session(Client& client) {
    return run(service::open_session(client.context(), {.ttl = 10s}, {})).value();
  }
};

TEST_P(GroupsOnServers, LeadersFollowEachOtherAndAreObserved) {
  Client& here = client();
  Client& there = client();
  service::Elections elections(here.context());
  service::Elections others(there.context());
  const SessionPtr a = session(here);
  const SessionPtr b = session(there);
  service::LeaderWatch watch = others.observe(name("e"), {});
  const auto first = run(elections.campaign(a, {.name = name("e"), .value = "a"}, {})).value();
  EXPECT_EQ(run(watch.next({})).value().kv.value, "a");
  auto waiting = start(others.campaign(b, {.name = name("e"), .value = "b"}, {}));
  EXPECT_EQ(run(elections.proclaim(first.leadership(), "a2", {})).status(), Status());
  EXPECT_EQ(run(watch.next({})).value().kv.value, "a2");
  EXPECT_TRUE(waiting.waits());
  EXPECT_EQ(run(elections.resign(first.leadership(), {})).status(), Status());
  ASSERT_TRUE(ends(waiting));
  EXPECT_GT(waiting.result().value().token, first.token);
  EXPECT_EQ(run(elections.proclaim(first.leadership(), "late", {})).status(), service::errors::not_leader());
  EXPECT_EQ(run(watch.next({})).value().kv.value, "b");
  EXPECT_EQ(run(b->close({})), Status());
  EXPECT_EQ(run(elections.leader(name("e"), {})).status(), service::errors::no_leader());
}

TEST_P(GroupsOnServers, ALatchOpensForAll) {
  Client& here = client();
  Client& there = client();
  EXPECT_EQ(run(service::make_latch(here.context(), name("l"), 3, {})).status(), Status());
  auto waiting = start(service::await_latch(there.context(), name("l"), {}));
  std::vector<Running<Result<service::LatchState>>> counting;
  for (const char* party : {"a", "b", "a"}) {
    counting.push_back(start(service::count_down(here.context(), name("l"), party, {})));
  }
  for (auto& one : counting) ASSERT_TRUE(ends(one));
  EXPECT_EQ(run(service::show_latch(there.context(), name("l"), {})).value().count, 1);
  EXPECT_TRUE(waiting.waits());
  EXPECT_EQ(run(service::count_down(there.context(), name("l"), "", {})).value().count, 0);
  ASSERT_TRUE(ends(waiting));
  EXPECT_EQ(waiting.result().status(), Status());
  EXPECT_EQ(run(service::remove_latch(here.context(), name("l"), {})), Status());
}

TEST_P(GroupsOnServers, ABarrierGathersGoesOnAndIsLeft) {
  std::vector<SessionPtr> sessions;
  std::vector<Client*> clients;
  for (int number = 0; number < 3; ++number) {
    clients.push_back(&client());
    sessions.push_back(session(*clients.back()));
  }
  for (std::int64_t generation = 1; generation <= 2; ++generation) {
    std::vector<Running<Result<service::BarrierPassed>>> entering;
    std::vector<Running<Status>> leaving;
    for (std::size_t number = 0; number < 3; ++number) {
      entering.push_back(
          start(service::enter_barrier(clients[number]->context(), sessions[number], name("b"), 3, {})));
    }
    for (auto& one : entering) {
      ASSERT_TRUE(ends(one));
      EXPECT_EQ(one.result().value().generation, generation);
    }
    for (std::size_t number = 0; number < 3; ++number) {
      leaving.push_back(start(
          service::leave_barrier(clients[number]->context(), sessions[number], name("b"), generation, {})));
    }
    for (auto& one : leaving) {
      ASSERT_TRUE(ends(one));
      EXPECT_EQ(one.result(), Status());
    }
  }
  EXPECT_EQ(run(service::remove_barrier(clients[0]->context(), name("b"), {})), Status());
}

INSTANTIATE_TEST_SUITE_P(Servers, GroupsOnServers, ::testing::ValuesIn(all_servers()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lockstep::service_test
