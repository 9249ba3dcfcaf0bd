#include "store/history.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "store/errors.h"
#include "store/rows.h"

namespace lockstep::store {
namespace {

Status broken_chain(std::string_view key, Revision revision) {
  return {Code::corruption, "history has no effect on key '" + std::string(key) + "' at revision " +
                                std::to_string(revision.value())};
}

}  // namespace

History::History(HistoryOptions options, ColdHistory* cold) : options_(options), cold_(cold) {}

void History::append(std::shared_ptr<const EffectBlock> block) {
  LS_MUST(block != nullptr);
  LS_MUST(block->first_revision() == newest_.next());
  open_ = nullptr;
  newest_ = block->last_revision();
  memory_bytes_ += block->memory_bytes();
  blocks_.push_back(std::move(block));
  evict();
}

std::shared_ptr<const EffectBlock> History::find_in_memory(Revision revision) const {
  if (blocks_.empty() || revision < blocks_.front()->first_revision() || revision > newest_) return nullptr;
  const auto behind = std::ranges::upper_bound(blocks_, revision, {},
                                               [](const auto& block) { return block->first_revision(); });
  LS_MUST(behind != blocks_.begin());
  const auto& block = *std::prev(behind);
  LS_MUST(block->contains(revision));
  return block;
}

bool History::in_memory(Revision revision) const {
  return revision > newest_ || (!blocks_.empty() && revision >= blocks_.front()->first_revision());
}

Result<std::shared_ptr<const EffectBlock>> History::block_containing(Revision revision) {
  if (revision > newest_) return errors::future_revision();
  if (revision < compacted_) return errors::compacted();
  if (auto block = find_in_memory(revision)) return block;
  if (cold_ == nullptr) return errors::compacted();  // before the first revision of a restored history
  LS_ASSIGN_OR_RETURN(auto block, cold_->block_containing(revision));
  LS_MUST(block->contains(revision));
  return block;
}

Result<KeptEffect> History::find(Revision revision, std::string_view key) {
  if (open_ != nullptr && open_->contains(revision)) {
    const auto effect = open_->find(revision, key);
    if (!effect.has_value()) return broken_chain(key, revision);
    return KeptEffect{nullptr, *effect};
  }
  auto block = find_in_memory(revision);
  if (block == nullptr && cold_ != nullptr) {
    LS_ASSIGN_OR_RETURN(block, cold_->block_containing(revision));
  }
  if (block == nullptr) return broken_chain(key, revision);
  const auto effect = block->find(revision, key);
  if (!effect.has_value()) return broken_chain(key, revision);
  return KeptEffect{std::move(block), *effect};
}

Result<std::optional<KeptRow>> History::row_at(std::string_view key, Revision newest, Revision at) {
  LS_MUST(newest > at);
  LS_MUST(at >= compacted_);
  Revision revision = newest;
  while (true) {
    LS_ASSIGN_OR_RETURN(const KeptEffect later, find(revision, key));
    const Revision previous = later.effect.previous_revision;
    LS_MUST(previous < revision);
    if (previous == Revision{}) return std::optional<KeptRow>();
    if (previous > at) {
      revision = previous;
      continue;
    }
    if (later.effect.previous_row.has_value()) {
      return std::optional(KeptRow{later.block, *later.effect.previous_row});
    }
    if (previous <= compacted_) return row_below(key, previous);
    LS_ASSIGN_OR_RETURN(KeptEffect found, find(previous, key));
    if (found.effect.kind == EffectKind::remove) return std::optional<KeptRow>();
    return std::optional(KeptRow{std::move(found.block), found.effect.row});
  }
}

Result<std::optional<KeptRow>> History::unpack_pinned(std::string_view key, Revision revision,
                                                      const std::string& encoded) {
  const auto owner = std::make_shared<const std::pair<std::string, std::string>>(key, encoded);
  LS_ASSIGN_OR_RETURN(const RowView row, decode_pinned_row(owner->first, owner->second));
  if (row.mod_revision != revision) return broken_chain(key, revision);
  return std::optional(KeptRow{owner, row});
}

Result<std::optional<KeptRow>> History::row_below(std::string_view key, Revision revision) {
  LS_MUST(revision <= compacted_);
  std::shared_ptr<const EffectBlock> block = find_in_memory(revision);
  if (block == nullptr && cold_ == nullptr) {
    const auto pinned = pinned_.find(key);
    if (pinned == pinned_.end()) return std::optional<KeptRow>();  // deletions are not pinned
    return unpack_pinned(key, revision, pinned->second);
  }
  if (block == nullptr) {
    LS_ASSIGN_OR_RETURN(const std::optional<std::string> pinned, cold_->pinned_row(key));
    if (pinned.has_value()) {
      LS_ASSIGN_OR_RETURN(const RowView row, decode_pinned_row(key, *pinned));
      if (row.mod_revision == revision) return unpack_pinned(key, revision, *pinned);
    }
    auto loaded = cold_->block_containing(revision);
    if (!loaded.ok() && loaded.status().code() == Code::not_found) return std::optional<KeptRow>();
    LS_ASSIGN_OR_RETURN(block, std::move(loaded));
  }
  const auto effect = block->find(revision, key);
  if (!effect.has_value()) return broken_chain(key, revision);
  if (effect->kind == EffectKind::remove) return std::optional<KeptRow>();
  return std::optional(KeptRow{std::move(block), effect->row});
}

void History::compact(Revision revision) {
  LS_MUST(revision >= compacted_);
  // The entry being applied may stand above newest_.
  compacted_ = revision;
  if (cold_ != nullptr) {
    evict();
    return;
  }
  pass_.emplace();
  pass_->target = revision;
  pass_->next = revision.next();
  pass_->offset = 0;
  pass_->last = open_ != nullptr ? std::max(newest_, open_->last_revision()) : newest_;
}

// The row a later effect replaced, if it was at or below the target and is nowhere else.
void History::pin_predecessor(const EffectView& effect) {
  if (effect.previous_row.has_value() || effect.previous_revision == Revision{}) return;
  if (effect.previous_revision > pass_->target) return;
  const auto row = row_below(effect.row.key, effect.previous_revision);
  LS_MUST(row.ok(), "memory lost a row that was still readable");
  if (!row->has_value()) return;
  const auto [position, inserted] =
      pass_->pinned.emplace(std::string(effect.row.key), encode_pinned_row((*row)->row));
  LS_MUST(inserted, "a key has one version that was newest at the compacted revision");
}

bool History::compact_step(std::size_t effects_max) {
  if (!pass_.has_value()) return false;
  LS_MUST(open_ == nullptr, "not while an entry is being applied");
  std::size_t budget = effects_max;
  // Revision 1 is the empty store; and a restored history may begin later.
  if (!blocks_.empty()) pass_->next = std::max(pass_->next, blocks_.front()->first_revision());
  while (!blocks_.empty() && pass_->next <= pass_->last) {
    const auto block = find_in_memory(pass_->next);
    LS_MUST(block != nullptr);
    const Revision end = std::min(block->last_revision(), pass_->last);
    for (; pass_->next <= end; ++pass_->next, pass_->offset = 0) {
      const std::size_t position_end = block->end_of(pass_->next);
      for (std::size_t position = block->begin_of(pass_->next) + pass_->offset; position < position_end;
           ++position, ++pass_->offset) {
        if (budget-- == 0) return true;
        pin_predecessor(block->effect(position));
      }
    }
  }
  finish_pass();
  return false;
}

void History::finish_pass() {
  for (const auto& [key, encoded] : pinned_) memory_bytes_ -= key.size() + encoded.size();
  pinned_ = std::move(pass_->pinned);
  for (const auto& [key, encoded] : pinned_) memory_bytes_ += key.size() + encoded.size();
  while (!blocks_.empty() && blocks_.front()->last_revision() < pass_->target) drop_front();
  pass_.reset();
}

void History::drop_front() {
  const std::size_t bytes = blocks_.front()->memory_bytes();
  LS_MUST(memory_bytes_ >= bytes);
  memory_bytes_ -= bytes;
  blocks_.pop_front();
}

void History::evict() {
  if (cold_ == nullptr) return;
  while (!blocks_.empty() && blocks_.front()->last_revision() <= durable_ &&
         memory_bytes_ > options_.memory_bytes_max) {
    drop_front();
  }
}

void History::set_durable_revision(Revision revision) {
  LS_MUST(revision >= durable_);
  durable_ = revision;
  evict();
}

void History::set_memory_bytes_max(std::size_t bytes) {
  options_.memory_bytes_max = bytes;
  evict();
}

Status History::restore_block(std::shared_ptr<const EffectBlock> block) {
  if (!blocks_.empty() && block->first_revision() != newest_.next()) {
    return {Code::corruption,
            "history blocks do not join at revision " + std::to_string(block->first_revision().value())};
  }
  newest_ = block->last_revision();
  memory_bytes_ += block->memory_bytes();
  blocks_.push_back(std::move(block));
  return {};
}

void History::restore_pinned_row(std::string key, std::string encoded) {
  memory_bytes_ += key.size() + encoded.size();
  pinned_.insert_or_assign(std::move(key), std::move(encoded));
}

Status History::restore(Revision newest, Revision compacted) {
  if (!blocks_.empty() && newest_ != newest) {
    return {Code::corruption, "history ends at revision " + std::to_string(newest_.value()) +
                                  ", the state at " + std::to_string(newest.value())};
  }
  newest_ = newest;
  compacted_ = compacted;
  durable_ = cold_ != nullptr ? newest : Revision{};
  // What an unfinished pass would have dropped is dropped by a new one.
  if (cold_ == nullptr && !blocks_.empty() && blocks_.front()->last_revision() < compacted)
    compact(compacted);
  return {};
}

}  // namespace lockstep::store
