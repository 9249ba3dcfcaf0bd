#include "store/digest.h"

#include <xxhash.h>

namespace lockstep::store {

std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

void DigestChain::append(LogIndex index, Term term, const Times& times, std::string_view effects,
                         std::span<const MetaChange> meta) {
  const std::uint64_t head[] = {index.value(),
                                term.value(),
                                static_cast<std::uint64_t>(times.store_ms),
                                static_cast<std::uint64_t>(times.term_began_ms),
                                effects.size(),
                                meta.size()};
  std::uint64_t digest = XXH3_64bits_withSeed(head, sizeof head, newest_);
  if (!effects.empty()) digest = hash_bytes(effects, digest);
  for (const MetaChange& change : meta) {
    digest = hash_bytes(change.key, digest);
    digest = change.value.has_value() ? hash_bytes(*change.value, digest) : ~digest;
  }
  newest_ = digest;
  ring_[index.value() % kept] = {index, digest};
}

void DigestChain::restore(LogIndex index, std::uint64_t digest) {
  ring_ = {};
  newest_ = digest;
  ring_[index.value() % kept] = {index, digest};
}

std::optional<std::uint64_t> DigestChain::at(LogIndex index) const {
  const Entry& entry = ring_[index.value() % kept];
  if (index == LogIndex{} || entry.index != index) return std::nullopt;
  return entry.digest;
}

}  // namespace lockstep::store
