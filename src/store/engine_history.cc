#include "store/engine_history.h"

#include <algorithm>

#include "base/assert.h"
#include "store/persistence_rows.h"
#include "store/rows.h"

namespace lockstep::store {

using engine::Direction;
using engine::Table;

Result<std::shared_ptr<const EffectBlock>> decode_history_row(std::string_view key, std::string_view value) {
  LS_ASSIGN_OR_RETURN(const Revision first, decode_history_row_key(key));
  LS_ASSIGN_OR_RETURN(auto block, EffectBlock::decode(std::string(value)));
  if (block->first_revision() != first) {
    return Status(Code::corruption, "history row " + std::to_string(first.value()) +
                                        " holds a block that begins at " +
                                        std::to_string(block->first_revision().value()));
  }
  return block;
}

Result<std::shared_ptr<const EffectBlock>> EngineHistory::block_containing(Revision revision) {
  LS_MUST(revision > Revision());
  for (auto recent = recent_.begin(); recent != recent_.end(); ++recent) {
    if (*recent == nullptr || !(*recent)->contains(revision)) continue;
    std::rotate(recent_.begin(), recent, recent + 1);
    return recent_.front();
  }
  const auto view = engine_.view();
  const auto cursor = view->scan(Table::history, "", history_row_key(revision.next()), Direction::backward);
  if (!cursor->valid()) {
    LS_RETURN_IF_ERROR(cursor->status());
    return Status(Code::not_found, "no history block holds revision " + std::to_string(revision.value()));
  }
  LS_ASSIGN_OR_RETURN(auto block, decode_history_row(cursor->key(), cursor->value()));
  if (!block->contains(revision)) {
    return Status(Code::not_found, "no history block holds revision " + std::to_string(revision.value()));
  }
  std::rotate(recent_.begin(), recent_.end() - 1, recent_.end());
  recent_.front() = block;
  return block;
}

Result<std::optional<std::string>> EngineHistory::pinned_row(std::string_view key) {
  LS_ASSIGN_OR_RETURN(const std::optional<std::string> entry, engine_.get(Table::pinned, key));
  if (!entry.has_value()) return std::optional<std::string>();
  LS_ASSIGN_OR_RETURN(const PinnedEntry pinned, decode_pinned_entry(*entry));
  return std::optional<std::string>(pinned.row);
}

}  // namespace lockstep::store
