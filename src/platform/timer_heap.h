// Timers of one strand: a binary heap by (deadline, order of scheduling) over slots that hold the closures.
//
// Invariants: 1. a cancelled timer's closure is destroyed at once and never handed out; 2. a TimerId is used
// once (slot and generation), so that a late cancel() cannot hit another timer; 3. cancelled entries left in
// the heap never outnumber the live ones by more than a constant.
// Cost: add and pop O(log n), cancel O(1) amortised. Strand only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/time.h"
#include "env/executor.h"

namespace lockstep::platform {

class TimerHeap {
 public:
  env::TimerId add(TimePoint deadline, env::Closure closure) {
    std::uint32_t index = 0;
    if (free_.empty()) {
      index = static_cast<std::uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    Slot& slot = slots_[index];
    LS_MUST(!slot.live);
    slot.live = true;
    slot.closure = std::move(closure);
    heap_.push_back(Entry{deadline, next_order_++, index, slot.generation});
    std::ranges::push_heap(heap_, later);
    ++live_;
    return env::TimerId(static_cast<std::uint64_t>(slot.generation) << 32 | (index + 1));
  }

  // Returns the closure, so that its destructor runs after this object is consistent again.
  env::Closure cancel(env::TimerId timer) {
    const auto low = static_cast<std::uint32_t>(timer.value());
    const auto generation = static_cast<std::uint32_t>(timer.value() >> 32);
    if (low == 0 || low > slots_.size()) return {};
    Slot& slot = slots_[low - 1];
    if (!slot.live || slot.generation != generation) return {};
    env::Closure closure = release(low - 1);
    if (heap_.size() > 2 * live_ + cancelled_slack) compact();
    return closure;
  }

  // no_deadline if there is no timer.
  TimePoint earliest() {
    drop_cancelled_head();
    return heap_.empty() ? no_deadline : heap_.front().deadline;
  }

  // Every timer scheduled from now on has this order or a later one.
  [[nodiscard]] std::uint64_t next_order() const { return next_order_; }

  // The first timer due at `now` and scheduled before `order_end`; an empty closure if there is none.
  env::Closure pop_due(TimePoint now, std::uint64_t order_end) {
    drop_cancelled_head();
    if (heap_.empty() || heap_.front().deadline > now || heap_.front().order >= order_end) return {};
    const std::uint32_t index = heap_.front().slot;
    pop_head();
    return release(index);
  }

  [[nodiscard]] std::size_t live() const { return live_; }
  [[nodiscard]] std::size_t entries() const { return heap_.size(); }

 private:
  static constexpr std::size_t cancelled_slack = 64;
  struct Slot {
    env::Closure closure;
    std::uint32_t generation = 1;
    bool live = false;
  };
  struct Entry {
    TimePoint deadline;
    std::uint64_t order;
    std::uint32_t slot;
    std::uint32_t generation;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.deadline != b.deadline ? a.deadline > b.deadline : a.order > b.order;
  }
  [[nodiscard]] bool cancelled(const Entry& entry) const {
    return slots_[entry.slot].generation != entry.generation;
  }
  env::Closure release(std::uint32_t index) {
    Slot& slot = slots_[index];
    LS_MUST(slot.live);
    LS_MUST(live_ > 0);
    env::Closure closure = std::exchange(slot.closure, nullptr);
    slot.live = false;
    ++slot.generation;
    free_.push_back(index);
    --live_;
    return closure;
  }
  void pop_head() {
    std::ranges::pop_heap(heap_, later);
    heap_.pop_back();
  }
  void drop_cancelled_head() {
    while (!heap_.empty() && cancelled(heap_.front())) pop_head();
  }
  void compact() {
    std::erase_if(heap_, [this](const Entry& entry) { return cancelled(entry); });
    std::ranges::make_heap(heap_, later);
    LS_MUST(heap_.size() == live_);
  }

  std::vector<Entry> heap_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::uint64_t next_order_ = 0;
  std::size_t live_ = 0;
};

}  // namespace lockstep::platform
