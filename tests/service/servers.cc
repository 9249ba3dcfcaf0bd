#include "servers.h"

#include <iostream>
#include <unistd.h>

#include "platform/test_support.h"
#include "server_cluster.h"

namespace lockstep::service_test {
namespace {

using etcd_test::ServerCluster;

std::vector<std::string> endpoints_of(const ServerCluster& cluster) {
  std::vector<std::string> endpoints;
  for (std::size_t i = 0; i < cluster.size(); ++i) endpoints.push_back(cluster.endpoint(i));
  return endpoints;
}

// One of each for all tests: names are each test's own.
std::vector<std::string> lockstepd() {
  static const ServerCluster cluster = ServerCluster::lockstepd(LOCKSTEPD_PROGRAM);
  return endpoints_of(cluster);
}
std::vector<std::string> three_lockstepds() {
  static const ServerCluster cluster = ServerCluster::lockstepd(LOCKSTEPD_PROGRAM, 3);
  return endpoints_of(cluster);
}
std::vector<std::string> etcd() {
  static const ServerCluster cluster = ServerCluster::etcd();
  return endpoints_of(cluster);
}

}  // namespace

std::vector<Servers> all_servers() {
  std::vector<Servers> all = {{"Lockstepd", lockstepd}, {"ThreeLockstepds", three_lockstepds}};
  if (ServerCluster::etcd_installed()) {
    all.push_back({"Etcd", etcd});
  } else {
    std::cout << "[  LACKS   ] this machine has no etcd: recipes are not run on it\n";
  }
  return all;
}

OnServers::Client::Client(OnServers& test, const std::vector<std::string>& endpoints)
    : test_(test),
      connections_(test.executor_, test.clock_, test.random_, test.streams_,
                   [&] {
                     remote::ConnectionsOptions options;
                     options.endpoints = endpoints;
                     return options;
                   }()),
      store(connections_) {}

OnServers::~OnServers() {
  on_strand([&] { clients_.clear(); });
}

OnServers::Client& OnServers::client() {
  on_strand([&] { clients_.push_back(std::make_unique<Client>(*this, GetParam().endpoints())); });
  return *clients_.back();
}

std::string OnServers::name(const std::string& text) {
  const ::testing::TestInfo* test = ::testing::UnitTest::GetInstance()->current_test_info();
  return std::string(test->name()) + "/" + text;
}

void OnServers::on_strand(const std::function<void()>& step) {
  executor_.post([&] {
    executor_.stop();
    step();
  });
  executor_.run();
}

bool OnServers::run_until(const std::function<bool()>& condition) {
  const TimePoint end = now() + platform::patience;
  bool held = false;
  std::function<void()> look = [&] {
    held = condition();
    if (held || now() > end) return executor_.stop();
    executor_.schedule(now() + 1ms, [&look] { look(); });
  };
  executor_.post([&look] { look(); });
  executor_.run();
  return held;
}

void OnServers::pass(Duration time) {
  const TimePoint end = now() + time;
  run_until([&] { return now() >= end; });
}

}  // namespace lockstep::service_test
