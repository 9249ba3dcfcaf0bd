#include "platform/tcp_streams.h"
#include "platform/test_support.h"
#include "remote/store.h"
#include "server_cluster.h"
#include "stores.h"

namespace lockstep::store_contract {
namespace {

using etcd_test::ServerCluster;

// One server of each kind for all tests: each has keys of its own.
const ServerCluster& etcd() {
  static const ServerCluster cluster = ServerCluster::etcd();
  return cluster;
}
const ServerCluster& lockstepd() {
  static const ServerCluster cluster = ServerCluster::lockstepd(LOCKSTEPD_PROGRAM);
  return cluster;
}
const ServerCluster& three_lockstepds() {
  static const ServerCluster cluster = ServerCluster::lockstepd(LOCKSTEPD_PROGRAM, 3);
  return cluster;
}

// The test's thread is the strand while it waits.
class ServerThroughRemote final : public StoreUnderTest {
 public:
  explicit ServerThroughRemote(const ServerCluster& cluster)
      : executor_(clock_),
        streams_(executor_),
        connections_(executor_, clock_, random_, streams_, options(cluster)) {}
  ~ServerThroughRemote() override {
    on_strand([&] {
      store_.reset();
      connections_.close();
    });
  }
  store::Store& store() override { return *store_; }
  void on_strand(const std::function<void()>& step) override {
    executor_.post([&] {
      executor_.stop();
      step();
    });
    executor_.run();
  }
  bool run_until(const std::function<bool()>& condition) override {
    const TimePoint end = now() + platform::patience;
    bool held = false;
    std::function<void()> look = [&] {
      held = condition();
      if (held || now() > end) return executor_.stop();
      executor_.schedule(now() + 200us, [&look] { look(); });
    };
    executor_.post([&look] { look(); });
    executor_.run();
    return held;
  }
  TimePoint now() override { return clock_.now(); }

 private:
  static remote::ConnectionsOptions options(const ServerCluster& cluster) {
    remote::ConnectionsOptions options;
    for (std::size_t i = 0; i < cluster.size(); ++i) options.endpoints.push_back(cluster.endpoint(i));
    return options;
  }
  platform::RealClock clock_;
  platform::RealRandom random_;
  platform::AsioExecutor executor_;
  platform::TcpStreams streams_;
  remote::Connections connections_;
  std::unique_ptr<remote::Store> store_ = std::make_unique<remote::Store>(connections_);
};

}  // namespace

bool etcd_available() {
  return ServerCluster::etcd_installed();
}

Implementation etcd_through_remote() {
  return {"EtcdThroughRemote", [] { return std::make_unique<ServerThroughRemote>(etcd()); }};
}

Implementation lockstepd_through_remote() {
  return {"LockstepdThroughRemote", [] { return std::make_unique<ServerThroughRemote>(lockstepd()); }};
}

Implementation three_lockstepds_through_remote() {
  return {"ThreeLockstepdsThroughRemote",
          [] { return std::make_unique<ServerThroughRemote>(three_lockstepds()); }};
}

}  // namespace lockstep::store_contract
