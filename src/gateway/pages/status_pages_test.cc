#include "gateway/pages/status_pages.h"

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/version.h"
#include "gateway/etcd/testing/world.h"
#include "gateway/json/testing/fake_responder.h"
#include "gateway/pages/testing/exposition.h"

namespace lockstep::gateway {
namespace {

class StatusPagesTest : public ::testing::Test {
 protected:
  StatusPagesTest() { pages.register_with(router); }
  // "200 body"
  std::string get(const std::string& path, const std::string& query = {}) {
    HttpRequest request;
    request.method = "GET";
    request.path = path;
    request.query = query;
    auto responder = std::make_shared<testing::FakeResponder>();
    (*router.find("GET", path).handler)(responder, request);
    world.strand.run();
    return std::to_string(responder->status) + " " + responder->body;
  }
  void raise_alarm(store::AlarmKind kind) {
    world.store.alarm({store::AlarmAction::activate, {NodeId(1), kind}}, {},
                      [](const Result<store::AlarmResponse>& done) { LS_MUST(done.ok()); });
  }

  testing::World world;
  StatusPages pages{world.store, world.cluster, world.strand};
  HttpRouter router;
};

TEST_F(StatusPagesTest, TheVersionIsThatOfTheApi) {
  EXPECT_EQ(get("/version"), R"(200 {"etcdserver":"3.5.13","etcdcluster":"3.5.0","lockstep":")" +
                                 std::string(version) + "\"}");
}

TEST_F(StatusPagesTest, HealthNeedsALeaderUnlessThisMemberAloneIsAsked) {
  EXPECT_EQ(get("/health"), R"(200 {"health":"true","reason":""})");
  world.cluster.set_has_leader(false);
  EXPECT_EQ(get("/health"), R"(503 {"health":"false","reason":"RAFT NO LEADER"})");
  EXPECT_EQ(get("/health", "serializable=true"), R"(200 {"health":"true","reason":""})");
  EXPECT_EQ(get("/health", "serializable=false"), R"(503 {"health":"false","reason":"RAFT NO LEADER"})");
}

TEST_F(StatusPagesTest, AlarmsAreNotHealthy) {
  raise_alarm(store::AlarmKind::no_space);
  EXPECT_EQ(get("/health"), R"(503 {"health":"false","reason":"ALARM NOSPACE"})");
  EXPECT_EQ(get("/health", "exclude=NOSPACE"), R"(200 {"health":"true","reason":""})");
  raise_alarm(store::AlarmKind::corrupt);
  EXPECT_EQ(get("/health", "exclude=NOSPACE&x"), R"(503 {"health":"false","reason":"ALARM CORRUPT"})");
}

TEST_F(StatusPagesTest, ReadinessNamesWhatFails) {
  EXPECT_EQ(get("/livez"), "200 ok\n");
  EXPECT_EQ(get("/readyz"), "200 ok\n");
  EXPECT_EQ(
      get("/readyz", "verbose"),
      "200 [+]serving ok\n[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\nok\n");
  EXPECT_EQ(get("/readyz", "verbose&exclude=linearizable_read&exclude=serving"),
            "200 [+]data_corruption ok\n[+]serializable_read ok\nok\n");
  raise_alarm(store::AlarmKind::corrupt);
  EXPECT_EQ(get("/readyz", "exclude=linearizable_read&exclude=serving"),
            "503 [-]data_corruption failed: corruption: alarm activated: CORRUPT\n[+]serializable_read "
            "ok\nreadyz check "
            "failed\n");
}

TEST_F(StatusPagesTest, AStoppingServerIsAliveAndNotReady) {
  pages.set_serving(false);
  EXPECT_EQ(get("/livez", "verbose"), "200 [+]serializable_read ok\nok\n");
  EXPECT_EQ(get("/readyz").substr(0, 60), "503 [-]serving failed: unavailable: the server stops\n[+]data");
}

TEST_F(StatusPagesTest, MetricsAreOfThePresent) {
  const rpc::Server server(world.strand, world.strand);
  pages.add_metrics([&](MetricsText& text) {
    write_metrics(server, &text);
    write_metrics(HttpMetrics{.requests = 3, .refused = {{404, 2}}}, &text);
  });
  const std::string text = get("/metrics");
  EXPECT_EQ(testing::read_exposition(text.substr(4)).mistakes, std::vector<std::string>());
  const std::string leader =
      "# HELP etcd_server_has_leader 1 if a leader is known.\n# TYPE etcd_server_has_leader gauge\n"
      "etcd_server_has_leader 1\n";
  EXPECT_EQ(text.substr(0, leader.size() + 4), "200 " + leader);
  for (const char* line : {"etcd_debugging_mvcc_current_revision 1", "lockstep_http_requests_total 3",
                           "lockstep_http_refused_total{status=\"404\"} 2",
                           "lockstep_grpc_bad_calls_total{reason=\"reset_flood\"} 0"}) {
    EXPECT_NE(text.find("\n" + std::string(line) + "\n"), std::string::npos) << line << " not in\n" << text;
  }
}

TEST(MetricsText, LabelsAreEscaped) {
  MetricsText text;
  text.family("a_total", MetricsText::Kind::counter, "Help.");
  text.sample({{"x", "a\"b\\c\nd"}, {"y", ""}}, 1);
  EXPECT_EQ(text.text(),
            "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 1\n");
}

}  // namespace
}  // namespace lockstep::gateway
