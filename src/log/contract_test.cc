// The contract of the log on the simulated disk.
#include "log/testing_contract.h"
#include "log/testing_support.h"

namespace lockstep::log::testing {
namespace {

class SimulatedWorld final : public ContractWorld {
 public:
  env::Disk& disk() override { return machine_.disk; }
  env::Worker& worker() override { return machine_; }
  void run_until(const std::function<bool()>& condition) override {
    while (!condition() && machine_.run_one()) {
    }
    EXPECT_TRUE(condition()) << "nothing left to do";
  }
  void settle() override { machine_.run(); }

 private:
  Machine machine_{1};
};

INSTANTIATE_TEST_SUITE_P(Simulated, LogContract, ::testing::Values(ContractWorldFactory([] {
                           return std::make_unique<SimulatedWorld>();
                         })),
                         [](const auto&) { return "Disk"; });

}  // namespace
}  // namespace lockstep::log::testing
