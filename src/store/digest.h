// The state digest: a chain over every entry's index and what it changed. Equal entries from equal states
// give equal digests on every member (I3), whatever their memory budgets and restarts were.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/ids.h"
#include "base/limits.h"
#include "store/rows.h"

namespace lockstep::store {

class DigestChain {
 public:
  // Chains the next entry. `effects`: the encoded block, empty if none.
  struct Times {
    std::int64_t store_ms;
    std::int64_t term_began_ms;
  };
  void append(LogIndex index, Term term, const Times& times, std::string_view effects,
              std::span<const MetaChange> meta);
  // Recovery: the digest after entry `index`; earlier ones are unknown.
  void restore(LogIndex index, std::uint64_t digest);

  [[nodiscard]] std::uint64_t newest() const { return newest_; }
  // One of the last few hundred.
  [[nodiscard]] std::optional<std::uint64_t> at(LogIndex index) const;

 private:
  static constexpr std::size_t kept = 1024;
  static_assert(kept >= 4 * limits::digest_interval_entries,
                "a check is still comparable when some intervals are in flight");
  struct Entry {
    LogIndex index;
    std::uint64_t digest = 0;
  };
  std::uint64_t newest_ = 0;
  std::array<Entry, kept> ring_{};
};

// Of any bytes, for content hashes: order matters.
std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed);

}  // namespace lockstep::store
