#include "store/rebase.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "store/auth_codec.h"
#include "store/effect.h"
#include "store/fold.h"
#include "store/persistence_rows.h"
#include "store/rows.h"
#include "store/space.h"

namespace lockstep::store {
namespace {

using engine::Direction;
using engine::Table;
using engine::View;

// By key; nothing: the row goes.
using Changes = std::map<std::string, std::optional<std::string>, std::less<>>;

class Rebase {
 public:
  Rebase(engine::Engine& engine, const Recovered& recovered, const RebaseOptions& options)
      : engine_(engine), recovered_(recovered), options_(options), view_(engine.view()) {}

  Status run() {
    LS_RETURN_IF_ERROR(read_state());
    LS_ASSIGN_OR_RETURN(replacement_, engine_.begin_replacement());
    LS_RETURN_IF_ERROR(add_meta());
    LS_RETURN_IF_ERROR(add_history());
    if (!raises()) LS_RETURN_IF_ERROR(copy(Table::pinned, {}));
    LS_RETURN_IF_ERROR(raises() ? add_folded() : copy(Table::current, {}));
    return replacement_->commit();
  }

 private:
  [[nodiscard]] bool raises() const { return options_.revisions_raised > 0; }

  Status read_state() {
    LS_ASSIGN_OR_RETURN(const std::optional<std::string> row, view_->get(Table::meta, state_row_key()));
    if (!row.has_value()) return {Code::corruption, "the snapshot has no state"};
    LS_ASSIGN_OR_RETURN(state_, decode_state_row(*row));
    LS_MUST(state_.revision == recovered_.revision, "recovered from these rows");
    return raises() ? raise() : Status();
  }

  // Writes the effect at the new revision, and moves the state there.
  Status raise() {
    if (options_.revisions_raised > revisions_raised_max - state_.revision.value())
      return {Code::out_of_range, "the revision cannot be raised that far"};
    const Revision raised = state_.revision + options_.revisions_raised;
    LS_ASSIGN_OR_RETURN(const std::optional<std::string> before_row, newest(restored_key()));
    std::optional<CurrentRow> before;
    if (before_row.has_value()) {
      LS_ASSIGN_OR_RETURN(before, decode_current_row(restored_key(), *before_row));
    }
    const bool existed = before.has_value() && !before->tombstone;
    RowView row;
    row.key = restored_key();
    row.value = options_.remark;
    row.create_revision = existed ? before->row.create_revision : raised;
    row.mod_revision = raised;
    row.version = existed ? before->row.version + 1 : 1;
    SpaceAccount space;
    space.restore(state_);
    std::vector<MetaChange> checkpoints;  // of history that is compacted at once
    if (existed) space.remove_row(row.key.size(), before->row.value.size());
    space.add_row(row.key.size(), row.value.size());
    EffectBlockBuilder builder;
    builder.start(raised, row.value.size(), 1);
    builder.begin_revision(raised);
    builder.put(row, existed ? before->row.mod_revision : Revision(),
                existed ? std::optional(before->row) : std::nullopt);
    block_ = builder.finish();
    marker_row_ = encode_current_row(block_->effect(0));
    space.add_history(raised, block_->encoded().size(), &checkpoints);
    space.fill(&state_);
    state_.history_bytes_compacted = state_.history_bytes - block_->encoded().size();
    state_.revision = raised;
    state_.compacted = raised;
    return {};
  }

  // A current row as of the newest effect.
  Result<std::optional<std::string>> newest(std::string_view wanted) {
    for (auto block = recovered_.unfolded.rbegin(); block != recovered_.unfolded.rend(); ++block) {
      for (std::size_t position = (*block)->size(); position-- > 0;) {
        if ((*block)->key(position) == wanted)
          return std::optional(encode_current_row((*block)->effect(position)));
      }
    }
    return view_->get(Table::current, wanted);
  }

  Status add_meta() {
    Changes changes;
    changes[std::string(configuration_row_key())] = options_.configuration;
    changes[std::string(state_row_key())] = encode_state_row(state_);
    if (raises()) {
      changes[std::string(folded_row_key())] = encode_revision_row(state_.revision);
      changes[std::string(swept_row_key())] = encode_revision_row(state_.revision);
    }
    const auto rows = view_->scan(Table::meta, "", "", Direction::forward);
    for (; rows->valid(); rows->next()) {
      if (is_persistence_row(rows->key())) continue;
      LS_ASSIGN_OR_RETURN(const MetaKey key, decode_meta_key(rows->key()));
      if (rows->key() == auth_row_key()) {
        LS_ASSIGN_OR_RETURN(AuthHead head, decode_auth_head(rows->value()));
        if (!head.token_key.empty() && options_.token_key_of)
          head.token_key = options_.token_key_of(head.token_key);
        head.revision = head.revision + static_cast<std::uint64_t>(options_.revisions_raised);
        changes[std::string(rows->key())] = encode_auth_head(head);
        continue;
      }
      const bool of_old_members = key.kind == 'a';
      const bool of_old_history = raises() && key.kind == 'h';
      if (of_old_members || of_old_history) changes[std::string(rows->key())] = std::nullopt;
    }
    LS_RETURN_IF_ERROR(rows->status());
    return copy(Table::meta, changes);
  }

  Status add_history() {
    if (!raises()) return copy(Table::history, {});
    return replacement_->add(Table::history, history_row_key(state_.revision), block_->encoded());
  }

  Status copy(Table table, const Changes& changes) {
    const auto rows = view_->scan(table, "", "", Direction::forward);
    auto change = changes.begin();
    while (rows->valid() || change != changes.end()) {
      if (change == changes.end() || (rows->valid() && rows->key() < change->first)) {
        LS_RETURN_IF_ERROR(replacement_->add(table, rows->key(), rows->value()));
        rows->next();
        continue;
      }
      if (change->second) LS_RETURN_IF_ERROR(replacement_->add(table, change->first, *change->second));
      if (rows->valid() && rows->key() == change->first) rows->next();
      ++change;
    }
    return rows->status();
  }

  // The current table with all effects merged; removals are compacted, like everything before the raise.
  Status add_folded() {
    FoldedRows newer({recovered_.unfolded, {}, state_.compacted});
    newer.prepare();
    const auto rows = view_->scan(Table::current, "", "", Direction::forward);
    std::size_t next = 0;
    while (rows->valid() || next < newer.size()) {
      if (next == newer.size() || (rows->valid() && rows->key() < newer.key(next))) {
        LS_RETURN_IF_ERROR(add_current(rows->key(), rows->value()));
        rows->next();
        continue;
      }
      if (const auto row = newer.row(next)) LS_RETURN_IF_ERROR(add_current(newer.key(next), *row));
      if (rows->valid() && rows->key() == newer.key(next)) rows->next();
      ++next;
    }
    LS_RETURN_IF_ERROR(rows->status());
    return add_marker();
  }

  Status add_current(std::string_view key, std::string_view row) {
    if (key >= restored_key()) LS_RETURN_IF_ERROR(add_marker());
    if (key == restored_key()) return {};
    LS_ASSIGN_OR_RETURN(const CurrentRow decoded, decode_current_row(key, row));
    return decoded.tombstone ? Status() : replacement_->add(Table::current, key, row);
  }

  Status add_marker() {
    if (std::exchange(marker_added_, true)) return {};
    return replacement_->add(Table::current, restored_key(), marker_row_);
  }

  engine::Engine& engine_;
  const Recovered& recovered_;
  const RebaseOptions& options_;
  std::unique_ptr<View> view_;
  std::unique_ptr<engine::Replacement> replacement_;
  StateRow state_;
  // Of the raised revision.
  std::shared_ptr<const EffectBlock> block_;
  std::string marker_row_;
  bool marker_added_ = false;
};

}  // namespace

std::string_view restored_key() {
  return {"\0lockstep/restored", 18};
}

Status rebase(engine::Engine& engine, const Recovered& recovered, const RebaseOptions& options) {
  LS_MUST(options.revisions_raised >= 0);
  LS_MUST(!options.configuration.empty());
  return Rebase(engine, recovered, options).run();
}

}  // namespace lockstep::store
