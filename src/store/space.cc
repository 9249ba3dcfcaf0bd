#include "store/space.h"

#include <algorithm>

#include "base/assert.h"
#include "base/codec.h"
#include "base/planted.h"

namespace lockstep::store {

void SpaceAccount::remove_row(std::size_t key_bytes, std::size_t value_bytes) {
  std::uint64_t bytes = key_overhead_bytes + key_bytes + value_bytes;
  if (LS_PLANTED(write_back_leads_effects)) bytes = std::min(bytes, live_bytes_);
  LS_MUST(live_bytes_ >= bytes);
  live_bytes_ -= bytes;
}

void SpaceAccount::add_history(Revision last, std::uint64_t bytes, std::vector<MetaChange>* meta) {
  history_bytes_ += bytes;
  const std::uint64_t since =
      history_bytes_ - (checkpoints_.empty() ? history_bytes_compacted_ : checkpoints_.back().history_bytes);
  if (since < checkpoint_bytes) return;
  checkpoints_.push_back({last, history_bytes_});
  meta->push_back({space_row_key(last), encode(checkpoints_.back())});
}

void SpaceAccount::compact(Revision revision, std::vector<MetaChange>* meta) {
  while (!checkpoints_.empty() && checkpoints_.front().last <= revision) {
    LS_MUST(checkpoints_.front().history_bytes >= history_bytes_compacted_);
    history_bytes_compacted_ = checkpoints_.front().history_bytes;
    meta->push_back({space_row_key(checkpoints_.front().last), std::nullopt});
    checkpoints_.pop_front();
  }
  LS_MUST(history_bytes_ >= history_bytes_compacted_);
}

void SpaceAccount::fill(StateRow* row) const {
  row->live_bytes = live_bytes_;
  row->history_bytes = history_bytes_;
  row->history_bytes_compacted = history_bytes_compacted_;
}

void SpaceAccount::restore(const StateRow& row) {
  live_bytes_ = row.live_bytes;
  history_bytes_ = row.history_bytes;
  history_bytes_compacted_ = row.history_bytes_compacted;
}

std::string SpaceAccount::encode(const Checkpoint& checkpoint) {
  std::string out;
  Encoder(&out).varint(checkpoint.history_bytes);
  return out;
}

Status SpaceAccount::restore_checkpoint(Revision revision, std::string_view encoded) {
  Decoder decoder(encoded);
  const std::uint64_t history_bytes = decoder.varint();
  if (!decoder.done()) return {Code::corruption, "malformed space row"};
  checkpoints_.push_back({revision, history_bytes});
  return {};
}

void SpaceAccount::finish_restore() {
  std::ranges::sort(checkpoints_, {}, &Checkpoint::last);
}

}  // namespace lockstep::store
