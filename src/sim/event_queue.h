// The one queue of a simulated world: events ordered by time, ties by the order in which they were added.
//
// Invariants: an event runs at most once; a cancelled or dropped one never. Closures of one owner (a node)
// can be taken out together, which is what the death of a process means. Cost matters (millions of events a
// second): heap entries are 16 bytes, closures lie in reused slots. Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "env/executor.h"

namespace lockstep::sim {

// What an event is, for the end number, the trace and the fate of a node's events at its death.
enum class EventKind : std::uint8_t { control, strand, timer, message, peer_lost, worker, worker_done, disk };

// Index of a node in its world, or no_owner for the world's own events.
using Owner = std::uint16_t;
inline constexpr Owner no_owner = 0xffff;

struct Event {
  EventKind kind = EventKind::control;
  Owner owner = no_owner;
  bool cancelled = false;
  std::uint64_t id = 0;  // never reused; 0: the slot is free
  env::Closure closure;  // empty for messages
  NodeId from;           // messages and peer_lost
  SharedBytes message;
  std::int64_t deadline_local_ns = 0;  // timers: the node's clock must have reached it
};

class EventQueue {
 public:
  // Nanoseconds of true time since the world began.
  using Time = std::int64_t;
  // Names a pending event for cancel(); 0 is none.
  using Handle = std::uint64_t;

  Handle add(Time time, EventKind kind, Owner owner, env::Closure closure);
  Handle add_timer(Time time, Owner owner, std::int64_t deadline_local_ns, env::Closure closure);
  Handle add_message(Time time, Owner owner, NodeId from, SharedBytes message);
  Handle add_peer_lost(Time time, Owner owner, NodeId peer);
  // Puts an event that was taken out back, under its old handle.
  void put_back(Time time, std::uint32_t slot);

  [[nodiscard]] bool empty() const { return heap_.empty(); }
  // Requires !empty().
  [[nodiscard]] Time next_time() const { return heap_.front().time; }

  // Takes the next event off the queue; its slot stays in use until release(). Cancelled events are skipped;
  // returns false if nothing is left at or before `until`.
  bool take(Time until, Time* time, std::uint32_t* slot);
  [[nodiscard]] Event& at(std::uint32_t slot) { return slots_[slot]; }
  void release(std::uint32_t slot);

  // Unknown, run and cancelled handles are ignored.
  void cancel(Handle handle);
  // Cancels all events of `owner` and hands out their closures: the caller decides when they are destroyed.
  std::vector<env::Closure> take_closures_of(Owner owner);

  [[nodiscard]] std::size_t size() const { return heap_.size(); }

 private:
  // `order` holds the insertion number above the slot index: one comparison decides ties.
  struct Entry {
    Time time;
    std::uint64_t order;
    friend bool operator<(const Entry& a, const Entry& b) {
      return a.time != b.time ? a.time < b.time : a.order < b.order;
    }
  };
  static constexpr unsigned slot_bits = 24;
  static constexpr std::uint64_t slot_mask = (std::uint64_t{1} << slot_bits) - 1;

  std::uint32_t new_slot(EventKind kind, Owner owner);
  void push(Time time, std::uint32_t slot);
  Entry pop();
  [[nodiscard]] Handle handle_of(std::uint32_t slot) const { return (slots_[slot].id << slot_bits) | slot; }

  std::vector<Entry> heap_;  // four children a node: shallower than two, and one cache line a level
  std::vector<Event> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::uint64_t insertions_ = 0;
  std::uint64_t ids_ = 0;
};

}  // namespace lockstep::sim
