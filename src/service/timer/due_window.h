// Where claims of one queue look for what is due: the part of the time of the timer clock where the last ones
// found something. A store walks over everything that was ever in a range, until it is compacted, and counts
// what is there: so neither what was claimed long ago nor what is due later should be in it.
//
// 1. Nothing is overlooked for long: every look_at_all_interval, and before anybody is told that nothing is
//    due, all is looked at from the beginning. (An entry can come to lie before the window if its transaction
//    took long.)
// 2. Where others claim from the same queue, in other processes, and were faster, each takes the entries of a
//    part of the names. Parts are drawn anew after a collision until everybody has one of his own. Entries
//    that nobody takes are everybody's: whoever finds little in his part takes another.
//
// Times in milliseconds of the timer clock, but for `now`. Strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "env/random.h"
#include "service/timer/timers.h"

namespace lockstep::service {

class DueWindow {
 public:
  static constexpr Duration look_at_all_interval = 500ms;
  static constexpr std::uint32_t parts_max = 8;
  // Parts mean reading several times as much as is claimed: not where payloads are long.
  static constexpr std::size_t bytes_read_max = 256 * 1024;
  static constexpr int claims_until_parts_grow = 32;

  // What to read now: entries from `begin_ms` (zero: all) to before `end_ms`, so many of them.
  struct Range {
    std::int64_t begin_ms = 0;
    std::int64_t end_ms = 0;
    std::size_t entries_max = 0;
  };
  Range next(TimePoint now);

  // Nothing was there, and the clock shows now_ms. False: nothing is due. Several claims may look at a time.
  bool found_nothing(const Range& looked_at, std::int64_t now_ms);
  // The first and the last of those that were read, and how many the range holds.
  void found(std::int64_t first_ms, std::int64_t last_ms, std::int64_t count);
  // Which of the names that were read are ours to claim, in their order; all, if nobody else claims.
  std::vector<bool> choose(const std::vector<std::string_view>& names, std::size_t wanted,
                           env::Random& random);
  // So many were claimed of those that we wanted, and so much had been read.
  void claimed(std::size_t got, std::size_t wanted, std::size_t bytes_read, env::Random& random);

  [[nodiscard]] std::uint32_t parts() const { return parts_; }

 private:
  std::int64_t begin_ms_ = 0;  // nothing is before it, as far as we know
  std::int64_t end_ms_ = 0;
  std::int64_t step_ms_ = 1;   // how much further, if nothing is there
  bool looks_at_all_ = true;   // the next look
  TimePoint looked_at_all_{};  // when one began last
  std::uint32_t parts_ = 1;    // a power of two
  std::uint32_t part_ = 0;     // ours
  int claims_without_loss_ = 0;
};

}  // namespace lockstep::service
