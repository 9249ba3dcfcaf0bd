// Cold history over the engine: the blocks and pinned rows that are no longer in memory.
//
// Keeps the last few blocks it decoded: walks along a key's versions and watchers that catch up come back to
// them. Threads: one at a time; each member has one for the core strand, and the sweep makes its own.
// Errors: not_found (block_containing), corruption, io_error.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "engine/engine.h"
#include "store/history.h"

namespace lockstep::store {

class EngineHistory final : public ColdHistory {
 public:
  explicit EngineHistory(engine::Engine& engine) : engine_(engine) {}

  Result<std::shared_ptr<const EffectBlock>> block_containing(Revision revision) override;
  Result<std::optional<std::string>> pinned_row(std::string_view key) override;
  // After the engine's content was replaced.
  void forget() { recent_ = {}; }

 private:
  engine::Engine& engine_;
  // Most recently used first.
  std::array<std::shared_ptr<const EffectBlock>, 4> recent_;
};

// Reads a row of the history table; the key must fit the block.
Result<std::shared_ptr<const EffectBlock>> decode_history_row(std::string_view key, std::string_view value);

}  // namespace lockstep::store
