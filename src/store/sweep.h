// The sweep: gives back the history below the compacted revision, after pinning what must stay readable of
// it.
//
// A version at or below the compacted revision C that was the newest at C and was replaced later is still
// read (history.h, invariant 3). The effect that replaced it embeds it, unless that effect was made before
// the compaction: those effects lie between C and the revision at which the store stood when C was decided.
// The sweep looks at them, finds their predecessors in the old blocks, and puts these into the pinned table.
//
// Invariants:
//   1. History goes only after everything it is needed for is durable: pins, the swept row, and the fold.
//   2. Running it again, from the beginning and after a crash at any point, gives the same rows.
//   3. A slice looks at a bounded number of effects and keeps a bounded number of keys.
//
// Thread: the worker's. Errors: corruption (history lacks a block), and the engine's.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "engine/engine.h"
#include "store/effect.h"

namespace lockstep::store {

class Sweep {
 public:
  // From `swept` (where the last one ended) to `target`. Every effect made after the compaction to `target`
  // lies above `last`. Requires that history up to `last` is written, and the current table folded up to
  // `target` at least.
  Sweep(engine::Engine& engine, Revision swept, Revision target, Revision last);

  // Goes on; true: finished. After an error call nothing more.
  Result<bool> slice(std::size_t effects_max);
  [[nodiscard]] Revision target() const { return target_; }

 private:
  // A version to be pinned.
  struct Wanted {
    Revision revision;
    Revision successor;
    std::string key;
  };
  Status look_at_effects(std::size_t effects_max, std::vector<Wanted>* wanted);
  Status pin(std::vector<Wanted> wanted);
  Result<bool> drop_pins(std::size_t rows_max);
  Status give_back();

  engine::Engine& engine_;
  const Revision swept_;
  const Revision target_;
  const Revision last_;
  Revision next_;            // first revision not looked at
  std::size_t skipped_ = 0;  // effects of next_ already looked at
  std::string drop_from_;    // first key of the pinned table not looked at
};

// Discards the history that no revision at or above `swept` needs: what an interrupted sweep left.
Status discard_swept_history(engine::Engine& engine, Revision swept);

}  // namespace lockstep::store
