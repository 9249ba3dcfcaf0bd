// Snapshots and recovery: the state as rows, and back.
#include <algorithm>

#include "base/assert.h"
#include "base/planted.h"
#include "store/state.h"
#include "store/state_machine.h"

namespace lockstep::store {

StateRow StateMachine::State::state_row() const {
  StateRow row;
  row.applied_index = applied_index;
  row.applied_term = applied_term;
  row.revision = revision;
  row.compacted = compacted;
  row.store_time_ms = store_time_ms;
  row.term_began_ms = term_began_ms;
  row.digest = digests.newest();
  space.fill(&row);
  return row;
}

MetaChange StateMachine::state_row() const {
  return {std::string(state_row_key()), encode_state_row(state_->state_row())};
}

void StateMachine::for_each_current_row(
    const std::function<void(std::string_view, std::string_view)>& visit) const {
  for (Index::Cursor cursor(state_->index, {}); cursor.node() != nullptr; cursor.advance()) {
    const Node& node = *cursor.node();
    CurrentRow row{node.is_tombstone(), node.row(), node.previous_revision()};
    visit(node.key(), encode_current_row(row));
  }
}

void StateMachine::for_each_meta_row(
    const std::function<void(std::string_view, std::string_view)>& visit) const {
  for (const Alarm& alarm : state_->alarms) visit(alarm_row_key(alarm), {});
  state_->clients.for_each_row([&](std::string_view key, std::string_view row) {
    if (key[0] == client_row_key(ClientId{})[0]) visit(key, row);
  });
  state_->space.for_each_row(visit);
  state_->auth.for_each_row(visit);
  for (const LeaseId id : state_->leases.ids()) {
    visit(lease_row_key(id), encode_lease_row(*state_->leases.find(id)));
  }
  state_->clients.for_each_row([&](std::string_view key, std::string_view row) {
    if (key[0] != client_row_key(ClientId{})[0]) visit(key, row);
  });
  const MetaChange last = state_row();
  visit(last.key, *last.value);
}

void StateMachine::begin_restore(std::size_t keys_expected) {
  LS_MUST(state_->applied_index == LogIndex{});
  LS_MUST(state_->index.node_count() == 0);
  if (keys_expected > 0) state_->index.reserve(keys_expected);
  state_->restoring = true;
}

Status StateMachine::restore_meta_row(std::string_view key, std::string_view row) {
  LS_MUST(state_->restoring);
  LS_ASSIGN_OR_RETURN(const MetaKey parts, decode_meta_key(key));
  switch (parts.kind) {
    case 's': {
      LS_ASSIGN_OR_RETURN(const StateRow state, decode_state_row(row));
      state_->state_row_restored = true;
      state_->applied_index = state.applied_index;
      state_->applied_term = state.applied_term;
      state_->revision = state.revision;
      state_->compacted = state.compacted;
      state_->store_time_ms = state.store_time_ms;
      if (!LS_PLANTED(term_beginning_not_restored)) state_->term_began_ms = state.term_began_ms;
      state_->digests.restore(state.applied_index, state.digest);
      state_->space.restore(state);
      return {};
    }
    case 'l': {
      LS_ASSIGN_OR_RETURN(const LeaseTerms terms, decode_lease_row(row));
      const LeaseId id(static_cast<std::int64_t>(parts.first));
      if (id == LeaseId{} || state_->leases.contains(id)) return {Code::corruption, "lease row twice"};
      state_->leases.grant(id, terms);
      return {};
    }
    case 'c':
      return state_->clients.restore_client(ClientId(parts.first), row);
    case 'r':
      return state_->clients.restore_answer(ClientId(parts.first), Sequence(parts.second), row);
    case 'a':
      if (parts.first > static_cast<std::uint64_t>(AlarmKind::corrupt) || !row.empty()) {
        return {Code::corruption, "malformed alarm row"};
      }
      state_->alarms.push_back({NodeId(parts.second), static_cast<AlarmKind>(parts.first)});
      return {};
    case 'i':
      return state_->auth.restore_row(key, row);
    case 'h':
      return state_->space.restore_checkpoint(Revision(static_cast<std::int64_t>(parts.first)), row);
    default:
      LS_UNREACHABLE("decode_meta_key admits no other kind");
  }
}

Status StateMachine::restore_current_row(std::string_view key, std::string_view encoded) {
  LS_MUST(state_->restoring);
  LS_ASSIGN_OR_RETURN(const CurrentRow row, decode_current_row(key, encoded));
  const std::uint64_t hash = Index::hash(key);
  if (state_->index.find(key, hash) != nullptr) return {Code::corruption, "current row twice"};
  if (row.tombstone) {
    Node* node = state_->index.insert_tombstone(key, row.row.mod_revision, row.previous_revision);
    state_->tombstones.push_back({row.row.mod_revision, node});
  } else {
    state_->index.insert(hash, row.row, row.previous_revision);
  }
  return {};
}

Status StateMachine::restore_history_block(std::string encoded) {
  LS_ASSIGN_OR_RETURN(auto block, EffectBlock::decode(std::move(encoded)));
  return restore_history_block(std::move(block));
}

Status StateMachine::restore_history_block(std::shared_ptr<const EffectBlock> block) {
  LS_MUST(state_->restoring);
  return state_->history.restore_block(std::move(block));
}

void StateMachine::restore_pinned_row(std::string key, std::string encoded) {
  LS_MUST(state_->restoring);
  state_->history.restore_pinned_row(std::move(key), std::move(encoded));
}

Status StateMachine::finish_restore() {
  LS_MUST(state_->restoring);
  State& state = *state_;
  state.restoring = false;
  if (!state.state_row_restored) return {Code::corruption, "the state row is missing"};
  std::ranges::sort(state.alarms);
  std::ranges::sort(state.tombstones, [](const State::Buried& a, const State::Buried& b) {
    return a.revision != b.revision ? a.revision < b.revision : a.node->key() < b.node->key();
  });
  state.space.finish_restore();
  LS_RETURN_IF_ERROR(state.clients.finish_restore());
  LS_RETURN_IF_ERROR(state.auth.finish_restore());
  LS_RETURN_IF_ERROR(state.history.restore(state.revision, std::max(state.compacted, Revision{})));
  // Leases know their keys from the rows.
  for (Index::Cursor cursor(state.index, {}); cursor.node() != nullptr; cursor.advance()) {
    Node* node = cursor.node();
    if (node->mod_revision() > state.revision) return {Code::corruption, "current row from the future"};
    if (node->lease() == LeaseId{}) continue;
    if (!state.leases.contains(node->lease())) return {Code::corruption, "current row with unknown lease"};
    state.leases.attach(node->lease(), node);
  }
  return {};
}

}  // namespace lockstep::store
