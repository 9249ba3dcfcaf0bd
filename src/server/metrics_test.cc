// The page that Prometheus reads: well formed, named by its conventions, and the one that docs/metrics.md
// lists.
#include "server/metrics.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "gateway/etcd/testing/world.h"
#include "gateway/json/testing/fake_responder.h"
#include "gateway/pages/status_pages.h"
#include "gateway/pages/testing/exposition.h"
#include "server/transactions.h"

namespace lockstep::server {
namespace {

using gateway::testing::Exposition;
using gateway::testing::MetricFamily;
using gateway::testing::read_exposition;

constexpr const char* document = "docs/metrics.md";
constexpr std::string_view table_begin = "<!-- generated: LOCKSTEP_REWRITE=1 server_test -->\n";

MemberSample some_sample() {
  MemberSample sample;
  sample.disk.syncs.add(30us);
  sample.disk.syncs.add(30ms);
  sample.disk.syncs.add(1min);
  sample.process.cpu = 1500ms;
  sample.keys = 3;
  return sample;
}

// Everything that a member shows, before anybody called.
std::string page() {
  gateway::testing::World world;
  gateway::StatusPages pages{world.store, world.cluster, world.strand};
  gateway::HttpRouter router;
  const rpc::Server server(world.strand, world.strand);
  pages.add_metrics([&](gateway::MetricsText& text) {
    write_metrics(some_sample(), &text);
    write_metrics(TransactionFigures(), &text);
    gateway::write_metrics(server, &text);
    gateway::write_metrics(gateway::HttpMetrics{.requests = 3, .refused = {{404, 2}}}, &text);
  });
  pages.register_with(router);
  gateway::HttpRequest request;
  request.method = "GET";
  request.path = "/metrics";
  const auto responder = std::make_shared<gateway::testing::FakeResponder>();
  (*router.find("GET", "/metrics").handler)(responder, request);
  return responder->body;
}

TEST(Metrics, ThePageIsWellFormed) {
  const Exposition read = read_exposition(page());
  EXPECT_EQ(read.mistakes, std::vector<std::string>());
  EXPECT_GT(read.families.size(), 80U);
}

TEST(Metrics, NamesFollowTheConventions) {
  for (const MetricFamily& family : read_exposition(page()).families) {
    const bool ours = family.name.starts_with("lockstep_");
    EXPECT_TRUE(ours || family.name.starts_with("etcd_") || family.name.starts_with("grpc_server_") ||
                family.name.starts_with("process_"))
        << family.name;
    // etcd calls some gauges totals; its dashboards rely on that.
    if (!family.name.starts_with("etcd_"))
      EXPECT_EQ(family.type == "counter", family.name.ends_with("_total")) << family.name;
    if (family.type == "histogram") EXPECT_TRUE(family.name.ends_with("_seconds")) << family.name;
    EXPECT_TRUE(family.help.ends_with('.')) << family.name;
  }
}

TEST(Metrics, WhatIsDrawnOfEtcdIsThere) {
  const std::vector<MetricFamily> families = read_exposition(page()).families;
  for (const auto& [name, type] : {std::pair("etcd_server_has_leader", "gauge"),
                                   std::pair("etcd_server_leader_changes_seen_total", "counter"),
                                   std::pair("etcd_server_proposals_committed_total", "gauge"),
                                   std::pair("etcd_server_proposals_applied_total", "gauge"),
                                   std::pair("etcd_server_proposals_pending", "gauge"),
                                   std::pair("etcd_server_proposals_failed_total", "counter"),
                                   std::pair("etcd_disk_wal_fsync_duration_seconds", "histogram"),
                                   std::pair("etcd_mvcc_db_total_size_in_bytes", "gauge"),
                                   std::pair("etcd_debugging_mvcc_keys_total", "gauge"),
                                   std::pair("grpc_server_handled_total", "counter"),
                                   std::pair("process_resident_memory_bytes", "gauge")}) {
    const auto found = std::ranges::find(families, name, &MetricFamily::name);
    ASSERT_NE(found, families.end()) << name;
    EXPECT_EQ(found->type, type) << name;
  }
}

TEST(Metrics, DurationsAreSecondsInCumulativeBuckets) {
  gateway::MetricsText text;
  write_metrics(some_sample(), &text);
  for (const char* line : {"lockstep_log_sync_duration_seconds_bucket{le=\"0.00005\"} 1",
                           "lockstep_log_sync_duration_seconds_bucket{le=\"0.02\"} 1",
                           "lockstep_log_sync_duration_seconds_bucket{le=\"0.05\"} 2",
                           "lockstep_log_sync_duration_seconds_bucket{le=\"10\"} 2",
                           "lockstep_log_sync_duration_seconds_bucket{le=\"+Inf\"} 3",
                           "lockstep_log_sync_duration_seconds_sum 60.03003", "process_cpu_seconds_total 1.5",
                           "lockstep_raft_role{role=\"follower\"} 1"})
    EXPECT_NE(text.text().find("\n" + std::string(line) + "\n"), std::string::npos) << line;
}

TEST(Metrics, TheDocumentListsThem) {
  std::string table = "| name | type | |\n|---|---|---|\n";
  for (const MetricFamily& family : read_exposition(page()).families)
    table += "| `" + family.name + "` | " + family.type + " | " + family.help + " |\n";
  std::string text;
  {
    std::ifstream file(document, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  const std::size_t begin = text.find(table_begin);
  ASSERT_NE(begin, std::string::npos) << document;
  const std::string wanted = text.substr(0, begin + table_begin.size()) + table;
  if (std::getenv("LOCKSTEP_REWRITE") != nullptr) std::ofstream(document, std::ios::binary) << wanted;
  EXPECT_TRUE(std::getenv("LOCKSTEP_REWRITE") != nullptr || text == wanted)
      << document
      << " is not what the program shows: rewrite it with LOCKSTEP_REWRITE=1 and review the difference";
}

TEST(Exposition, MistakesAreFound) {
  // Heads of a gauge and a histogram, then what is wrong with them.
  const std::string gauge = "# HELP a A.\n# TYPE a gauge\n";
  const std::string histogram = "# HELP a A.\n# TYPE a histogram\n";
  const std::string first = "a_bucket{le=\"1\"} 2\n";
  const std::string last = "a_bucket{le=\"+Inf\"} 2\n";
  const std::vector<std::string> pages = {
      "a 1\n",
      "# TYPE a counter\na 1\n",
      "# HELP a A.\n# TYPE a sum\na 1\n",
      "# HELP a A.\n# TYPE a counter\na -1\n",
      gauge + "a\n",
      gauge + "a 1\na 2\n",
      gauge + "b 1\n",
      gauge + "a{x=1} 1\n",
      gauge + "a 1",
      gauge + "a 1\n" + gauge,
      histogram + first + "a_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
      histogram + first + "a_sum 1\na_count 2\n",
      histogram + last + "a_sum 1\na_count 3\n",
  };
  EXPECT_TRUE(read_exposition(histogram + first + last + "a_sum 1\na_count 2\n").mistakes.empty());
  for (const std::string& wrong : pages) EXPECT_FALSE(read_exposition(wrong).mistakes.empty()) << wrong;
  EXPECT_TRUE(read_exposition(gauge + "a{x=\"1,\\\"\",y=\"\"} 1e3\n").mistakes.empty());
}

}  // namespace
}  // namespace lockstep::server
