// How many keys the next page of a range has, so that it holds about so many bytes, whatever the values are.
//
// It begins small and grows fourfold at most, so that a page of the largest values is bounded by what the
// pages before it were. Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "store/types.h"

namespace lockstep::service::transaction {

class PageSize {
 public:
  explicit PageSize(std::int64_t keys_max) : keys_max_(keys_max) { LS_MUST(keys_max >= keys_at_first); }

  [[nodiscard]] std::int64_t keys() const { return keys_; }
  // What a page of that many was.
  void saw(const std::vector<store::KeyValue>& page) {
    std::size_t bytes = 0;
    for (const store::KeyValue& kv : page) bytes += kv.key.size() + kv.value.size();
    bytes_ += bytes;
    if (page.empty()) return;
    const auto each = static_cast<std::int64_t>(bytes / page.size() + 1);
    keys_ = std::clamp<std::int64_t>(bytes_wanted / each, 1, std::min(keys_max_, 4 * keys_));
  }
  // Of all pages.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::int64_t keys_at_first = 16;
  static constexpr std::int64_t bytes_wanted = std::int64_t{2} << 20;
  std::int64_t keys_max_;
  std::int64_t keys_ = keys_at_first;
  std::size_t bytes_ = 0;
};

}  // namespace lockstep::service::transaction
