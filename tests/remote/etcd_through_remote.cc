#include "etcd_process.h"
#include "platform/tcp_streams.h"
#include "platform/test_support.h"
#include "remote/store.h"
#include "stores.h"

namespace lockstep::store_contract {
namespace {

// One server for all tests: each has keys of its own.
std::uint16_t server_port() {
  static const etcd_test::EtcdProcess process;
  return process.client_port();
}

// The test's thread is the strand while it waits.
class EtcdThroughRemote final : public StoreUnderTest {
 public:
  EtcdThroughRemote()
      : executor_(clock_),
        streams_(executor_),
        connections_(executor_, clock_, random_, streams_, options()) {}
  ~EtcdThroughRemote() override {
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
  static remote::ConnectionsOptions options() {
    remote::ConnectionsOptions options;
    options.endpoints = {"127.0.0.1:" + std::to_string(server_port())};
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
  return etcd_test::EtcdProcess::available();
}

Implementation etcd_through_remote() {
  return {"EtcdThroughRemote", [] { return std::make_unique<EtcdThroughRemote>(); }};
}

}  // namespace lockstep::store_contract
