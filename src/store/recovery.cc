#include "store/recovery.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "store/engine_history.h"
#include "store/fold.h"
#include "store/persistence_rows.h"
#include "store/rows.h"

namespace lockstep::store {
namespace {

using engine::Direction;
using engine::Table;
using engine::View;

Status restore_meta(View& view, StateMachine& machine, Recovered* recovered) {
  const auto rows = view.scan(Table::meta, "", "", Direction::forward);
  for (; rows->valid(); rows->next()) {
    const std::string_view key = rows->key();
    if (key == folded_row_key()) {
      LS_ASSIGN_OR_RETURN(recovered->folded, decode_revision_row(rows->value()));
    } else if (key == swept_row_key()) {
      LS_ASSIGN_OR_RETURN(recovered->swept, decode_revision_row(rows->value()));
    } else if (key == configuration_row_key()) {
      recovered->configuration = rows->value();
    } else if (key == key_count_row_key()) {
      LS_RETURN_IF_ERROR(decode_count_row(rows->value()).status());  // was read before
    } else if (is_persistence_row(key)) {
      return {Code::corruption, "unknown row of persistence '" + std::string(key) + "'"};
    } else {
      LS_RETURN_IF_ERROR(machine.restore_meta_row(key, rows->value()));
    }
  }
  return rows->status();
}

// The count is a hint, and no reason to take more memory than the rows could need.
Result<std::size_t> keys_expected(engine::Engine& engine, View& view) {
  constexpr std::uint64_t row_bytes_min = 16;
  LS_ASSIGN_OR_RETURN(const auto row, view.get(Table::meta, key_count_row_key()));
  if (!row.has_value()) return std::size_t{0};
  LS_ASSIGN_OR_RETURN(const std::uint64_t count, decode_count_row(*row));
  return static_cast<std::size_t>(std::min(count, engine.stats().disk_bytes / row_bytes_min));
}

Status load_unfolded(View& view, Recovered* recovered) {
  if (recovered->folded == recovered->revision) return {};
  // The block with the first unfolded revision may begin before it.
  std::string from = history_row_key(recovered->folded.next());
  const auto before =
      view.scan(Table::history, "", history_row_key(recovered->folded.next().next()), Direction::backward);
  if (before->valid()) from = before->key();
  LS_RETURN_IF_ERROR(before->status());
  const auto rows = view.scan(Table::history, from, "", Direction::forward);
  Revision next = recovered->folded.next();
  for (; rows->valid(); rows->next()) {
    LS_ASSIGN_OR_RETURN(auto block, decode_history_row(rows->key(), rows->value()));
    if (!block->contains(next)) {
      return {Code::corruption, "history lacks revision " + std::to_string(next.value())};
    }
    next = block->last_revision().next();
    recovered->unfolded.push_back(std::move(block));
  }
  LS_RETURN_IF_ERROR(rows->status());
  if (next != recovered->revision.next()) {
    return {Code::corruption, "history ends at revision " + std::to_string(next.value() - 1) +
                                  ", the state at " + std::to_string(recovered->revision.value())};
  }
  return {};
}

// Only with the planted bug: takes rows that lead the history as if they were of its last revision, so that
// the harm is found by what compares members, not by what checks rows.
std::string hide_lead(std::string_view key, std::string_view encoded, Revision revision) {
  const auto decoded = decode_current_row(key, encoded);
  if (!decoded.ok() || decoded->row.mod_revision <= revision) return std::string(encoded);
  CurrentRow row = *decoded;
  row.row.mod_revision = revision;
  row.row.create_revision = std::min(row.row.create_revision, revision);
  row.row.version = std::min(row.row.version, row.row.mod_revision - row.row.create_revision + 1);
  row.previous_revision = std::min(row.previous_revision, Revision(revision.value() - 1));
  row.row.lease = LeaseId();
  return encode_current_row(row);
}

Status restore_current(View& view, const FoldedRows& newer, StateMachine& machine, Revision revision) {
  const auto rows = view.scan(Table::current, "", "", Direction::forward);
  std::size_t next = 0;
  while (true) {
    const bool has_newer = next < newer.size();
    if (!rows->valid() && !has_newer) break;
    // Both are in order of keys; where both have a key, the newer one counts.
    if (has_newer && (!rows->valid() || newer.key(next) <= rows->key())) {
      if (const auto encoded = newer.row(next)) {
        LS_RETURN_IF_ERROR(machine.restore_current_row(newer.key(next), *encoded));
      }
      if (rows->valid() && newer.key(next) == rows->key()) rows->next();
      ++next;
    } else if (LS_PLANTED(write_back_leads_effects)) {
      LS_RETURN_IF_ERROR(
          machine.restore_current_row(rows->key(), hide_lead(rows->key(), rows->value(), revision)));
      rows->next();
    } else {
      LS_RETURN_IF_ERROR(machine.restore_current_row(rows->key(), rows->value()));
      rows->next();
    }
  }
  return rows->status();
}

}  // namespace

Result<Recovered> recover(engine::Engine& engine, StateMachine& machine) {
  const auto view = engine.view();
  Recovered recovered;
  LS_ASSIGN_OR_RETURN(const std::optional<std::string> state, view->get(Table::meta, state_row_key()));
  if (!state.has_value()) {
    const auto first = view->scan(Table::meta, "", "", Direction::forward);
    if (first->valid()) return Status(Code::corruption, "the engine has rows but no state row");
    LS_RETURN_IF_ERROR(first->status());
    return recovered;
  }
  LS_ASSIGN_OR_RETURN(const std::size_t keys, keys_expected(engine, *view));
  machine.begin_restore(keys);
  LS_RETURN_IF_ERROR(restore_meta(*view, machine, &recovered));
  LS_ASSIGN_OR_RETURN(const StateRow row, decode_state_row(*state));
  recovered.applied = row.applied_index;
  recovered.term = row.applied_term;
  recovered.revision = row.revision;
  recovered.compacted = std::max(row.compacted, Revision());
  if (recovered.folded > recovered.revision) return Status(Code::corruption, "folded beyond the history");
  if (recovered.swept > recovered.compacted) return Status(Code::corruption, "swept beyond the compaction");
  LS_RETURN_IF_ERROR(load_unfolded(*view, &recovered));
  for (const auto& block : recovered.unfolded) LS_RETURN_IF_ERROR(machine.restore_history_block(block));
  FoldedRows newer({recovered.unfolded, {}, recovered.compacted});
  newer.prepare();
  LS_RETURN_IF_ERROR(restore_current(*view, newer, machine, recovered.revision));
  LS_RETURN_IF_ERROR(machine.finish_restore());
  LS_MUST(machine.applied_index() == recovered.applied);
  LS_MUST(machine.revision() == recovered.revision);
  return recovered;
}

}  // namespace lockstep::store
