#include "sim/event_queue.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace lockstep::sim {

std::uint32_t EventQueue::new_slot(EventKind kind, Owner owner) {
  std::uint32_t slot;
  if (free_slots_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    LS_MUST(slot <= slot_mask, "more pending events than the heap's order field can name");
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Event& event = slots_[slot];
  LS_MUST(event.id == 0);
  event.kind = kind;
  event.owner = owner;
  event.cancelled = false;
  event.id = ++ids_;
  return slot;
}

EventQueue::Handle EventQueue::add(Time time, EventKind kind, Owner owner, env::Closure closure) {
  const std::uint32_t slot = new_slot(kind, owner);
  slots_[slot].closure = std::move(closure);
  push(time, slot);
  return handle_of(slot);
}

EventQueue::Handle EventQueue::add_timer(Time time, Owner owner, std::int64_t deadline_local_ns,
                                         env::Closure closure) {
  const std::uint32_t slot = new_slot(EventKind::timer, owner);
  slots_[slot].closure = std::move(closure);
  slots_[slot].deadline_local_ns = deadline_local_ns;
  push(time, slot);
  return handle_of(slot);
}

EventQueue::Handle EventQueue::add_message(Time time, Owner owner, NodeId from, SharedBytes message) {
  const std::uint32_t slot = new_slot(EventKind::message, owner);
  slots_[slot].from = from;
  slots_[slot].message = std::move(message);
  push(time, slot);
  return handle_of(slot);
}

EventQueue::Handle EventQueue::add_peer_lost(Time time, Owner owner, NodeId peer) {
  const std::uint32_t slot = new_slot(EventKind::peer_lost, owner);
  slots_[slot].from = peer;
  push(time, slot);
  return handle_of(slot);
}

void EventQueue::put_back(Time time, std::uint32_t slot) {
  LS_MUST(slots_[slot].id != 0);
  push(time, slot);
}

void EventQueue::push(Time time, std::uint32_t slot) {
  const Entry entry{time, (++insertions_ << slot_bits) | slot};
  heap_.push_back(entry);
  std::size_t child = heap_.size() - 1;
  while (child > 0) {
    const std::size_t parent = (child - 1) / 4;
    if (!(entry < heap_[parent])) break;
    heap_[child] = heap_[parent];
    child = parent;
  }
  heap_[child] = entry;
}

EventQueue::Entry EventQueue::pop() {
  const Entry top = heap_.front();
  const Entry last = heap_.back();
  heap_.pop_back();
  if (heap_.empty()) return top;
  const std::size_t size = heap_.size();
  std::size_t parent = 0;
  for (;;) {
    const std::size_t first = parent * 4 + 1;
    if (first >= size) break;
    std::size_t least = first;
    for (std::size_t child = first + 1; child < std::min(first + 4, size); ++child) {
      if (heap_[child] < heap_[least]) least = child;
    }
    if (!(heap_[least] < last)) break;
    heap_[parent] = heap_[least];
    parent = least;
  }
  heap_[parent] = last;
  return top;
}

bool EventQueue::take(Time until, Time* time, std::uint32_t* slot) {
  while (!heap_.empty() && heap_.front().time <= until) {
    const Entry entry = pop();
    const auto index = static_cast<std::uint32_t>(entry.order & slot_mask);
    if (slots_[index].cancelled) {
      release(index);
      continue;
    }
    *time = entry.time;
    *slot = index;
    return true;
  }
  return false;
}

void EventQueue::release(std::uint32_t slot) {
  Event& event = slots_[slot];
  LS_MUST(event.id != 0, "released twice");
  event.id = 0;
  event.closure = nullptr;
  event.message = SharedBytes();
  free_slots_.push_back(slot);
}

void EventQueue::cancel(Handle handle) {
  const auto slot = static_cast<std::uint32_t>(handle & slot_mask);
  if (handle == 0 || slot >= slots_.size()) return;
  Event& event = slots_[slot];
  if (event.id == 0 || handle_of(slot) != handle) return;
  event.cancelled = true;
  // The destructor may run code that adds events: take the closure out of the slot first.
  const env::Closure dropped = std::exchange(event.closure, nullptr);
}

std::vector<env::Closure> EventQueue::take_closures_of(Owner owner) {
  std::vector<env::Closure> closures;
  for (Event& event : slots_) {
    if (event.id == 0 || event.owner != owner || event.cancelled) continue;
    event.cancelled = true;
    event.message = SharedBytes();
    if (event.closure) closures.push_back(std::exchange(event.closure, nullptr));
  }
  return closures;
}

}  // namespace lockstep::sim
