#include "store/sweep.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/assert.h"
#include "store/engine_history.h"
#include "store/persistence_rows.h"
#include "store/rows.h"

namespace lockstep::store {

using engine::Direction;
using engine::FlushMode;
using engine::Table;
using engine::WriteBatch;

Sweep::Sweep(engine::Engine& engine, Revision swept, Revision target, Revision last)
    : engine_(engine),
      swept_(swept),
      target_(target),
      last_(std::max(last, target)),
      // Revision 1 is the empty store and has no effects.
      next_(std::max(target.next(), Revision(2))) {
  LS_MUST(swept_ <= target_);
  LS_MUST(target_ > Revision());
}

Result<bool> Sweep::slice(std::size_t effects_max) {
  LS_MUST(effects_max > 0);
  if (next_ <= last_) {
    std::vector<Wanted> wanted;
    LS_RETURN_IF_ERROR(look_at_effects(effects_max, &wanted));
    LS_RETURN_IF_ERROR(pin(std::move(wanted)));
    return false;
  }
  LS_ASSIGN_OR_RETURN(const bool dropped, drop_pins(effects_max));
  if (!dropped) return false;
  LS_RETURN_IF_ERROR(give_back());
  return true;
}

Status Sweep::look_at_effects(std::size_t effects_max, std::vector<Wanted>* wanted) {
  EngineHistory history(engine_);
  std::size_t budget = effects_max;
  while (next_ <= last_) {
    LS_ASSIGN_OR_RETURN(const auto block, history.block_containing(next_));
    const std::size_t end = std::min(block->last_revision(), last_) == block->last_revision()
                                ? block->size()
                                : block->end_of(last_);
    for (std::size_t position = block->begin_of(next_) + skipped_; position < end; ++position) {
      if (block->revision(position) != next_) {
        next_ = block->revision(position);
        skipped_ = 0;
      }
      if (budget-- == 0) return {};
      ++skipped_;
      const EffectView effect = block->effect(position);
      const Revision previous = effect.previous_revision;
      // Up to swept_ an earlier sweep pinned it, or the effect is newer than that compaction and embeds it.
      if (effect.previous_row.has_value() || previous <= swept_ || previous > target_) continue;
      wanted->push_back({previous, effect.row.mod_revision, std::string(effect.row.key)});
    }
    next_ = std::min(block->last_revision(), last_).next();
    skipped_ = 0;
  }
  return {};
}

Status Sweep::pin(std::vector<Wanted> wanted) {
  // In the order of history, so that each old block is read once.
  std::ranges::sort(wanted, [](const Wanted& a, const Wanted& b) {
    return a.revision != b.revision ? a.revision < b.revision : a.key < b.key;
  });
  EngineHistory history(engine_);
  WriteBatch batch;
  for (const Wanted& version : wanted) {
    auto block = history.block_containing(version.revision);
    if (!block.ok()) {
      return {Code::corruption,
              "the sweep needs a version that history lacks: " + block.status().to_string()};
    }
    const auto effect = (*block)->find(version.revision, version.key);
    if (!effect.has_value()) {
      return {Code::corruption, "history has no effect on key '" + version.key + "' at revision " +
                                    std::to_string(version.revision.value())};
    }
    if (effect->kind == EffectKind::remove) continue;  // nothing was there
    const std::string row = encode_pinned_row(effect->row);
    batch.put(Table::pinned, version.key, encode_pinned_entry({version.successor, row}));
  }
  if (batch.empty()) return {};
  return engine_.write(std::move(batch)).status();
}

// What was replaced at or below the target is not the newest there.
Result<bool> Sweep::drop_pins(std::size_t rows_max) {
  WriteBatch batch;
  bool finished = true;
  {
    const auto view = engine_.view();
    const auto rows = view->scan(Table::pinned, drop_from_, "", Direction::forward);
    for (std::size_t count = 0; rows->valid(); rows->next(), ++count) {
      if (count == rows_max) {
        drop_from_ = rows->key();
        finished = false;
        break;
      }
      LS_ASSIGN_OR_RETURN(const PinnedEntry entry, decode_pinned_entry(rows->value()));
      if (entry.successor <= target_) batch.remove(Table::pinned, rows->key());
    }
    LS_RETURN_IF_ERROR(rows->status());
  }
  if (finished) batch.put(Table::meta, swept_row_key(), encode_revision_row(target_));
  if (!batch.empty()) LS_RETURN_IF_ERROR(engine_.write(std::move(batch)).status());
  return finished;
}

Status Sweep::give_back() {
  LS_RETURN_IF_ERROR(engine_.flush(FlushMode::wait));
  return discard_swept_history(engine_, target_);
}

Status discard_swept_history(engine::Engine& engine, Revision swept) {
  // The block with the swept revision itself can still be watched.
  std::string end = history_row_key(swept);
  {
    const auto view = engine.view();
    const auto rows = view->scan(Table::history, "", history_row_key(swept.next()), Direction::backward);
    if (rows->valid()) end = rows->key();
    LS_RETURN_IF_ERROR(rows->status());
  }
  return engine.discard(Table::history, "", end);
}

}  // namespace lockstep::store
