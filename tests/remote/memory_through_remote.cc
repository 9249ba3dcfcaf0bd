#include "stores.h"
#include "world.h"

namespace lockstep::store_contract {
namespace {

class MemoryThroughRemote final : public StoreUnderTest {
 public:
  store::Store& store() override { return world_.store(); }
  void on_strand(const std::function<void()>& step) override {
    step();
    world_.strand.settle();
  }
  bool run_until(const std::function<bool()>& condition) override {
    const TimePoint end = now() + 10min;
    while (true) {
      world_.strand.settle();
      if (condition()) return true;
      if (now() > end) return false;
      world_.strand.pass(1ms);
    }
  }
  TimePoint now() override { return world_.strand.now(); }

 private:
  remote_test::World world_;
};

}  // namespace

Implementation memory_through_remote() {
  return {"MemoryThroughRemote", [] { return std::make_unique<MemoryThroughRemote>(); }};
}

}  // namespace lockstep::store_contract
