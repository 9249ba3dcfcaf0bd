// The contract of the log on a real file system, in a temporary directory.
#include "log/testing_contract.h"
#include "platform/disk.h"
#include "platform/executor.h"
#include "platform/test_support.h"
#include "platform/work_thread.h"

namespace lockstep::log::testing {
namespace {

class RealWorld final : public ContractWorld {
 public:
  RealWorld()
      : executor_(clock_),
        disk_(platform::FileDisk::open(directory_.path(), executor_).value()),
        worker_(std::make_unique<platform::ThreadWorker>(executor_)) {}

  env::Disk& disk() override { return *disk_; }
  env::Worker& worker() override { return *worker_; }
  void run_until(const std::function<bool()>& condition) override {
    const auto deadline = std::chrono::steady_clock::now() + platform::patience;
    std::function<void()> look = [&] {
      if (condition() || std::chrono::steady_clock::now() > deadline) return executor_.stop();
      executor_.post([&look] { look(); });
    };
    executor_.post([&look] { look(); });
    executor_.run();
    EXPECT_TRUE(condition()) << "not within a minute";
  }
  void settle() override {
    // The worker serves in order: when this piece is done, all earlier ones are.
    bool done = false;
    worker_->submit([] {}, [&done] { done = true; });
    run_until([&done] { return done; });
  }

 private:
  platform::TemporaryDirectory directory_;
  platform::RealClock clock_;
  platform::AsioExecutor executor_;
  std::unique_ptr<platform::FileDisk> disk_;
  std::unique_ptr<platform::ThreadWorker> worker_;
};

INSTANTIATE_TEST_SUITE_P(Real, LogContract, ::testing::Values(ContractWorldFactory([] {
                           return std::make_unique<RealWorld>();
                         })),
                         [](const auto&) { return "Disk"; });

}  // namespace
}  // namespace lockstep::log::testing
