#include <stdexcept>

#include "replica/testing_member.h"
#include "store_under_test.h"

namespace lockstep::store_contract {
namespace {

class NativeUnderTest final : public StoreUnderTest {
 public:
  NativeUnderTest() : member_(NodeId(1), {NodeId(1)}) {
    member_.start();
    const bool leads = run_until([&] { return member_.replica().raft().is_leader(); });
    if (!leads) throw std::runtime_error("a lone member leads by itself");
  }
  store::Store& store() override { return member_.replica(); }
  void on_strand(const std::function<void()>& step) override { step(); }
  bool run_until(const std::function<bool()>& condition) override {
    const TimePoint end = now_ + 10min;
    while (true) {
      member_.settle();
      if (condition()) return true;
      if (now_ > end) return false;
      now_ += 1ms;
      member_.pass(1ms);
    }
  }
  TimePoint now() override { return now_; }

 private:
  replica::TestMember member_;
  TimePoint now_{std::chrono::hours(1)};  // where the member's clock begins
};

}  // namespace

Implementation native() {
  return {"Native", [] { return std::make_unique<NativeUnderTest>(); }};
}

}  // namespace lockstep::store_contract
