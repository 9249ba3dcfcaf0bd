#include "store/effect.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/codec.h"
#include "base/limits.h"

namespace lockstep::store {
namespace {

constexpr std::uint8_t format_version = 1;

constexpr std::uint8_t flag_remove = 1;
constexpr std::uint8_t flag_next_revision = 2;  // not set: same revision as the effect before
constexpr std::uint8_t flag_lease = 4;
constexpr std::uint8_t flag_previous_row = 8;
constexpr std::uint8_t flags_all = flag_remove | flag_next_revision | flag_lease | flag_previous_row;

// Smallest effect: flags, key length and a byte, previous revision.
constexpr std::size_t effect_bytes_min = 4;

// `later` - `earlier`, which is zero for "none". Both above zero otherwise, and earlier < later.
void encode_distance(Encoder& encoder, Revision later, Revision earlier) {
  encoder.varint(earlier == Revision{} ? 0 : static_cast<std::uint64_t>(later - earlier));
}

Revision decode_distance(Decoder& decoder, Revision later) {
  const std::uint64_t distance = decoder.varint();
  if (distance == 0) return Revision{};
  if (distance >= static_cast<std::uint64_t>(later.value())) {
    decoder.fail();
    return Revision{};
  }
  return Revision(later.value() - static_cast<std::int64_t>(distance));
}

void encode_version(Encoder& encoder, const RowView& row, bool has_lease) {
  encoder.bytes(row.value);
  encoder.varint(static_cast<std::uint64_t>(row.mod_revision - row.create_revision));
  encoder.varint(static_cast<std::uint64_t>(row.version));
  if (has_lease) encoder.id(row.lease);
}

// Fills value, create_revision, version and lease; row->mod_revision is known.
void decode_version(Decoder& decoder, bool has_lease, RowView* row) {
  row->value = decoder.bytes();
  const std::uint64_t age = decoder.varint();
  const std::uint64_t version = decoder.varint();
  if (age >= static_cast<std::uint64_t>(row->mod_revision.value())) {
    decoder.fail();
    return;
  }
  // Each version after the first took a revision of its own.
  if (version == 0 || version - 1 > age || (version == 1) != (age == 0)) decoder.fail();
  row->create_revision = Revision(row->mod_revision.value() - static_cast<std::int64_t>(age));
  row->version = static_cast<std::int64_t>(version);
  if (has_lease) {
    row->lease = decoder.id<LeaseId>();
    if (row->lease == LeaseId{}) decoder.fail();
  }
}

// The flags were read; everything else of one effect.
EffectView decode_effect(Decoder& decoder, std::uint8_t flags, Revision revision) {
  EffectView effect;
  effect.kind = (flags & flag_remove) != 0 ? EffectKind::remove : EffectKind::put;
  effect.row.mod_revision = revision;
  effect.row.key = decoder.bytes();
  if (effect.kind == EffectKind::put) decode_version(decoder, (flags & flag_lease) != 0, &effect.row);
  effect.previous_revision = decode_distance(decoder, revision);
  if ((flags & flag_previous_row) != 0) {
    RowView previous;
    previous.key = effect.row.key;
    previous.mod_revision = effect.previous_revision;
    if (effect.previous_revision == Revision{}) decoder.fail();
    const bool has_lease = decoder.boolean();
    decode_version(decoder, has_lease, &previous);
    effect.previous_row = previous;
  }
  return effect;
}

bool is_well_formed(const EffectView& effect) {
  if (effect.row.key.empty() || effect.row.key.size() > limits::key_bytes_max) return false;
  if (effect.row.value.size() > limits::value_bytes_max) return false;
  const bool has_previous = effect.previous_revision != Revision{};
  if (effect.kind == EffectKind::remove) return has_previous;
  // A later version of a key follows an earlier one of the same generation.
  if (effect.row.version == 1) return true;
  return has_previous && effect.previous_revision >= effect.row.create_revision;
}

bool follows(const EffectView& effect, const RowView& previous) {
  if (previous.value.size() > limits::value_bytes_max) return false;
  if (effect.kind == EffectKind::remove) return true;
  return effect.row.version == previous.version + 1 && effect.row.create_revision == previous.create_revision;
}

Status malformed(std::string_view why) {
  return {Code::corruption, "effect block " + std::string(why)};
}

}  // namespace

KeyValue RowView::to_key_value() const {
  return {std::string(key), std::string(value), create_revision, mod_revision, version, lease};
}

EffectView EffectTable::effect(std::size_t position) const {
  Decoder decoder(std::string_view(encoded_).substr(offsets_[position]));
  const std::uint8_t flags = decoder.u8();
  EffectView effect = decode_effect(decoder, flags, revision(position));
  LS_MUST(decoder.ok());
  return effect;
}

std::string_view EffectTable::key(std::size_t position) const {
  Decoder decoder(std::string_view(encoded_).substr(offsets_[position] + 1));
  const std::string_view key = decoder.bytes();
  LS_MUST(!key.empty());
  return key;
}

Revision EffectTable::revision(std::size_t position) const {
  LS_MUST(position < offsets_.size());
  // One effect a revision is the usual case.
  if (offsets_.size() == revision_begins_.size()) {
    return first_revision_ + static_cast<std::int64_t>(position);
  }
  const auto behind = std::ranges::upper_bound(revision_begins_, static_cast<std::uint32_t>(position));
  return first_revision_ + (behind - revision_begins_.begin() - 1);
}

std::size_t EffectTable::begin_of(Revision revision) const {
  LS_MUST(contains(revision));
  return revision_begins_[static_cast<std::size_t>(revision - first_revision_)];
}

std::size_t EffectTable::end_of(Revision revision) const {
  LS_MUST(contains(revision));
  const auto next = static_cast<std::size_t>(revision - first_revision_) + 1;
  return next < revision_begins_.size() ? revision_begins_[next] : offsets_.size();
}

std::optional<EffectView> EffectTable::find(Revision revision, std::string_view wanted) const {
  if (!contains(revision)) return std::nullopt;
  const std::size_t end = end_of(revision);
  for (std::size_t position = begin_of(revision); position < end; ++position) {
    if (key(position) == wanted) return effect(position);
  }
  return std::nullopt;
}

void EffectTable::take(EffectTable& from) {
  encoded_ = std::exchange(from.encoded_, {});
  first_revision_ = from.first_revision_;
  offsets_ = std::exchange(from.offsets_, {});
  revision_begins_ = std::exchange(from.revision_begins_, {});
}

std::size_t EffectTable::memory_bytes() const {
  return sizeof(*this) + encoded_.capacity() +
         (offsets_.capacity() + revision_begins_.capacity()) * sizeof(std::uint32_t);
}

Result<std::shared_ptr<const EffectBlock>> EffectBlock::decode(std::string encoded) {
  if (encoded.size() > UINT32_MAX) return malformed("is too large");
  // Not make_shared: the constructor is private.
  std::shared_ptr<EffectBlock> block(new EffectBlock);
  block->encoded_ = std::move(encoded);
  Decoder decoder(block->encoded_);
  if (decoder.u8() != format_version) return malformed("has an unknown version");
  block->first_revision_ = decoder.id<Revision>();
  const std::uint64_t count = decoder.u32();
  if (!decoder.ok() || block->first_revision_ <= Revision(1)) return malformed("has a malformed header");
  if (count == 0 || count > decoder.rest().size() / effect_bytes_min) return malformed("has a wrong count");
  if (count > static_cast<std::uint64_t>(INT64_MAX - block->first_revision_.value())) {
    return malformed("has a malformed header");
  }
  block->offsets_.reserve(count);
  Revision revision = block->first_revision_;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto offset = static_cast<std::uint32_t>(block->encoded_.size() - decoder.rest().size());
    const std::uint8_t flags = decoder.u8();
    const bool next_revision = (flags & flag_next_revision) != 0;
    if (next_revision && i > 0) ++revision;
    if (next_revision) block->revision_begins_.push_back(static_cast<std::uint32_t>(i));
    const EffectView effect = decode_effect(decoder, flags, revision);
    const bool lease_without_row = effect.kind == EffectKind::remove && (flags & flag_lease) != 0;
    if (!decoder.ok() || (flags & ~flags_all) != 0 || lease_without_row || (i == 0 && !next_revision) ||
        !is_well_formed(effect) || (effect.previous_row && !follows(effect, *effect.previous_row))) {
      return malformed("has a malformed effect at position " + std::to_string(i));
    }
    block->offsets_.push_back(offset);
  }
  if (!decoder.done()) return malformed("has bytes behind its end");
  LS_RETURN_IF_ERROR(block->check_unique());
  return std::shared_ptr<const EffectBlock>(std::move(block));
}

Status EffectBlock::check_unique() const {
  std::vector<std::string_view> keys;
  for (Revision at = first_revision(); at <= last_revision(); ++at) {
    const std::size_t end = end_of(at);
    if (end - begin_of(at) == 1) continue;
    keys.clear();
    for (std::size_t position = begin_of(at); position < end; ++position) keys.push_back(key(position));
    std::ranges::sort(keys);
    if (std::ranges::adjacent_find(keys) != keys.end()) {
      return malformed("changes a key twice in revision " + std::to_string(at.value()));
    }
  }
  return {};
}

void EffectBlockBuilder::start(Revision first_revision, std::size_t bytes_expected,
                               std::size_t effects_expected) {
  LS_MUST(first_revision > Revision(1));
  encoded_.clear();
  encoded_.reserve(bytes_expected);
  offsets_.clear();
  offsets_.reserve(effects_expected);
  revision_begins_.clear();
  revision_begins_.reserve(effects_expected);
  first_revision_ = first_revision;
  revision_ = Revision{};
  Encoder encoder(&encoded_);
  encoder.u8(format_version);
  encoder.id(first_revision);
  count_offset_ = encoded_.size();
  encoder.u32(0);
}

void EffectBlockBuilder::begin_revision(Revision revision) {
  if (revision_begins_.empty()) {
    LS_MUST(revision == first_revision_);
  } else {
    LS_MUST(revision == last_revision().next());
    LS_MUST(revision_begins_.back() < offsets_.size());
  }
  revision_begins_.push_back(static_cast<std::uint32_t>(offsets_.size()));
  revision_ = revision;
}

void EffectBlockBuilder::open_effect(std::uint8_t flags, std::string_view key) {
  LS_MUST(!revision_begins_.empty());
  LS_MUST(!key.empty());
  LS_MUST(encoded_.size() < UINT32_MAX / 2);
  if (revision_begins_.back() == offsets_.size()) flags |= flag_next_revision;
  offsets_.push_back(static_cast<std::uint32_t>(encoded_.size()));
  Encoder encoder(&encoded_);
  encoder.u8(flags);
  encoder.bytes(key);
}

void EffectBlockBuilder::close_effect(Revision previous_revision,
                                      const std::optional<RowView>& previous_row) {
  LS_MUST(previous_revision < revision_);
  Encoder encoder(&encoded_);
  encode_distance(encoder, revision_, previous_revision);
  if (!previous_row.has_value()) return;
  LS_MUST(previous_row->mod_revision == previous_revision);
  const bool has_lease = previous_row->lease != LeaseId{};
  encoder.boolean(has_lease);
  encode_version(encoder, *previous_row, has_lease);
}

void EffectBlockBuilder::put(const RowView& row, Revision previous_revision,
                             const std::optional<RowView>& previous_row) {
  LS_MUST(row.mod_revision == revision_);
  const bool has_lease = row.lease != LeaseId{};
  open_effect(static_cast<std::uint8_t>((has_lease ? flag_lease : 0) |
                                        (previous_row.has_value() ? flag_previous_row : 0)),
              row.key);
  Encoder encoder(&encoded_);
  encode_version(encoder, row, has_lease);
  close_effect(previous_revision, previous_row);
}

void EffectBlockBuilder::remove(std::string_view key, Revision previous_revision,
                                const std::optional<RowView>& previous_row) {
  LS_MUST(previous_revision > Revision{});
  open_effect(static_cast<std::uint8_t>(flag_remove | (previous_row.has_value() ? flag_previous_row : 0)),
              key);
  close_effect(previous_revision, previous_row);
}

std::shared_ptr<const EffectBlock> EffectBlockBuilder::finish() {
  if (offsets_.empty()) return nullptr;
  LS_MUST(revision_begins_.back() < offsets_.size());
  const auto count = static_cast<std::uint32_t>(offsets_.size());
  std::memcpy(encoded_.data() + count_offset_, &count, sizeof count);
  std::shared_ptr<EffectBlock> block(new EffectBlock);
  block->take(*this);
  LS_MUST(block->size() == count);
  return block;
}

}  // namespace lockstep::store
