// Locks of etcd's lock service, with the numbers of its messages (src/proto/lock.proto).
#include <set>
#include <utility>

#include "cli/load.h"
#include "cli/wire_format.h"

namespace lockstep::cli {
namespace {

// Long enough for any run, so that nobody has to renew.
constexpr std::uint64_t lease_ttl_s = 3600;

class LockCycle final : public LoadOperation {
 public:
  LockCycle(const LoadOptions& options, std::size_t locks)
      : prefix_(options.key_prefix + "lock-"), locks_(locks) {}

  [[nodiscard]] std::string_view path(const LoadSlot& slot) const override {
    if (slot.step == grant) return "/etcdserverpb.Lease/LeaseGrant";
    return slot.step == lock ? "/v3lockpb.Lock/Lock" : "/v3lockpb.Lock/Unlock";
  }

  void write(LoadSlot& slot, Prng& /*prng*/) override {
    WireWriter request(slot.request);
    if (slot.step == grant) return request.number(1, lease_ttl_s);
    if (slot.step == unlock) return request.bytes(1, slot.held);
    request.bytes(1, prefix_ + std::to_string(slot.number % locks_.size()));
    request.number(2, slot.lease);
    slot.key = ++moment_;
    queue_of(slot).insert(slot.key);
  }

  Answer look_at(LoadSlot& slot, std::string_view message) override {
    if (slot.step == grant) {
      for (WireReader answer(message); answer.next();) {
        if (answer.field() == 2) slot.lease = answer.number();
      }
      slot.step = lock;
      return Answer::aside;
    }
    if (slot.step == unlock) {
      slot.step = lock;
      return out_of_turn_.erase(slot.number) != 0 ? Answer::miss : Answer::good;
    }
    for (WireReader answer(message); answer.next();) {
      if (answer.field() == 2) slot.held = answer.bytes();
    }
    slot.step = unlock;
    std::set<std::uint64_t>& queue = queue_of(slot);
    queue.erase(slot.key);
    // Somebody asked before this slot was served the last time, and still waits.
    const std::uint64_t served_before = std::exchange(slot.revision, ++moment_);
    if (!queue.empty() && *queue.begin() < served_before) out_of_turn_.insert(slot.number);
    return Answer::unfinished;
  }

 private:
  enum Step : std::uint8_t { grant, lock, unlock };

  std::set<std::uint64_t>& queue_of(const LoadSlot& slot) { return locks_[slot.number % locks_.size()]; }

  std::string prefix_;
  std::vector<std::set<std::uint64_t>> locks_;  // for each, when those asked that wait for it
  std::set<std::uint64_t> out_of_turn_;         // slots
  std::uint64_t moment_ = 0;                    // counts what happens
};

}  // namespace

std::unique_ptr<LoadOperation> make_lock_cycle(const LoadOptions& options, std::size_t locks) {
  return std::make_unique<LockCycle>(options, locks);
}

}  // namespace lockstep::cli
