#include <stdexcept>
#include <string_view>

#include "engine/rocksdb_engine.h"
#include "platform/platform.h"
#include "platform/test_support.h"
#include "replica/replica.h"
#include "store_under_test.h"

namespace lockstep::store_contract {
namespace {

template <class T>
T or_throw(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().to_string());
  return *std::move(result);
}

// The test's thread is the strand while it waits.
class NativeOnDiskUnderTest final : public StoreUnderTest {
 public:
  NativeOnDiskUnderTest() {
    platform::PlatformOptions platform_options;
    platform_options.data_directory = directory_.path();
    platform_options.cluster = ClusterId(7);
    platform_options.node = NodeId(1);
    platform_options.log = [](std::string_view) {};
    platform_ = or_throw(platform::Platform::open(platform_options));
    engine_ = or_throw(engine::open_rocksdb_engine(directory_.path() + "/engine", {}));
    on_strand([&] {
      replica_ = or_throw(open_replica());
      replica_->campaign();
    });
    const bool leads = run_until([&] { return replica_->raft().is_leader(); });
    if (!leads) throw std::runtime_error("a lone member leads by itself");
  }
  ~NativeOnDiskUnderTest() override {
    on_strand([&] { replica_.reset(); });
    platform_.reset();
    engine_.reset();
  }

  store::Store& store() override { return *replica_; }
  void on_strand(const std::function<void()>& step) override {
    platform_->executor().post([&] {
      platform_->stop();
      step();
    });
    platform_->run();
  }
  bool run_until(const std::function<bool()>& condition) override {
    const TimePoint end = now() + platform::patience;
    bool held = false;
    std::function<void()> look = [&] {
      held = condition();
      if (held || now() > end) return platform_->stop();
      platform_->executor().schedule(now() + 200us, [&look] { look(); });
    };
    platform_->executor().post([&look] { look(); });
    platform_->run();
    return held;
  }
  TimePoint now() override { return platform_->environment().clock.now(); }

 private:
  Result<std::unique_ptr<replica::Replica>> open_replica() {
    replica::Options options;
    options.cluster = ClusterId(7);
    options.node = NodeId(1);
    options.founders = {{NodeId(1), ""}};
    options.engine = engine_.get();
    options.election_timeout = 50ms;  // nobody to wait for
    options.heartbeat_interval = 10ms;
    return replica::Replica::open(platform_->environment(), std::move(options));
  }

  platform::TemporaryDirectory directory_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<platform::Platform> platform_;
  std::unique_ptr<replica::Replica> replica_;
};

}  // namespace

Implementation native_on_disk() {
  return {"NativeOnDisk", [] { return std::make_unique<NativeOnDiskUnderTest>(); }};
}

}  // namespace lockstep::store_contract
