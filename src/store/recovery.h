// Recovery: a state machine from the rows of an engine.
//
// The engine holds a prefix of the batches that write-back wrote (engine.h, E1), so its meta rows and history
// stand together at one index. The current table may lag behind them; the history since the last fold makes
// up for it. Afterwards the log goes on at Recovered::applied + 1.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "engine/engine.h"
#include "store/effect.h"
#include "store/state_machine.h"

namespace lockstep::store {

struct Recovered {
  LogIndex applied;  // zero: the engine is empty
  Term term;
  Revision revision{1};
  Revision compacted;         // logically
  Revision folded{1};         // the current table holds everything up to here
  Revision swept;             // history below is gone from the disk
  std::string configuration;  // as persistence got it; empty: never
  std::vector<std::shared_ptr<const EffectBlock>> unfolded;
};

// `machine` is newly made. Reads everything once, in order; memory beyond the machine's: the unfolded blocks.
// Errors: corruption, naming the row; io_error.
Result<Recovered> recover(engine::Engine& engine, StateMachine& machine);

}  // namespace lockstep::store
