// The engine in memory: for the simulator, for tests, and for members that keep nothing.
//
// The rows belong to a MemoryMedium, which outlives the engine as a disk outlives a process. A simulated
// power cut chooses the prefix of batches that survives (E1): every one that the promise allows, also those a
// real disk would hardly show.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace lockstep::engine {

namespace memory_internal {
struct Content;
}

// Thread-safe. Its owner keeps it alive as long as engines, views and cursors on it exist.
class MemoryMedium {
 public:
  MemoryMedium();
  ~MemoryMedium();
  MemoryMedium(const MemoryMedium&) = delete;
  MemoryMedium& operator=(const MemoryMedium&) = delete;

  // The batches a power cut may leave: the first n, for any n from durable() to written().
  [[nodiscard]] Position written() const;
  [[nodiscard]] Position durable() const;
  // The power cut: forgets every batch after `survivor`. Requires durable() <= survivor <= written(), and no
  // engine or view in use.
  void crash(Position survivor);
  // Every call from now on fails with this error, as after a fault of the disk; ok repairs the disk.
  void fail(Status error);

 private:
  friend class MemoryEngine;
  friend class MemoryView;
  friend class MemoryReplacement;
  struct State;
  std::unique_ptr<State> state_;
};

// Opens the rows of the medium; all that is there is durable then. One engine at a time.
std::unique_ptr<Engine> open_memory_engine(std::shared_ptr<MemoryMedium> medium);

}  // namespace lockstep::engine
