// When a recurring timer runs: cron expressions in a time zone.
//
// An expression is five fields, minute hour day month weekday, or six with seconds before them; or @yearly
// (@annually), @monthly, @weekly, @daily (@midnight), @hourly. A field is a list of *, a number, a range a-b,
// and any of these with a step: */5, 10-50/20, 7/10 (from 7 on). Months and weekdays also by their first
// three letters; weekday 7 is Sunday, too. If neither day nor weekday begins with *, either of them is
// enough.
//
// Where a zone's clocks change:
//   1. A time that does not exist (clocks go forward) runs when the gap ends, once for each gap. With a star
//      for the hour it does not run: such a schedule goes by the time that passes.
//   2. A time that comes twice (clocks go back) runs the first time only. With a star for the hour, both
//      times.
//
// Errors: invalid_argument, naming the field and what is wrong. Pure but for the zone's data, which the
// system keeps in /usr/share/zoneinfo; "UTC" needs none.
#pragma once

#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"

namespace lockstep::service {

using Seconds = std::chrono::seconds;  // since the Unix epoch, where a moment is meant

inline constexpr std::size_t cron_bytes_max = 256;
inline constexpr std::size_t zone_bytes_max = 64;

// A stretch of time within which the zone's clocks do not change.
struct ZoneSegment {
  Seconds begin{};
  Seconds end{};
  Seconds offset{};  // local time minus UTC
};

class Zone {
 public:
  // "Europe/Berlin". Errors: invalid_argument if there is no such zone.
  static Result<Zone> find(std::string_view name);
  [[nodiscard]] ZoneSegment segment(Seconds at) const;

 private:
  const void* zone_ = nullptr;  // the library's; it stays. Null: UTC
};

class Cron {
 public:
  static Result<Cron> parse(std::string_view expression);
  // The first moment after `after`; nothing if there is none within ten years.
  [[nodiscard]] std::optional<Seconds> next(const Zone& zone, Seconds after) const;

 private:
  friend class CronParser;
  // The first local time from `local` on, before `end`, that the fields name.
  [[nodiscard]] std::optional<Seconds> match(Seconds local, Seconds end) const;
  [[nodiscard]] bool day_matches(std::chrono::sys_days day) const;

  std::bitset<60> seconds_;
  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<7> weekdays_;
  bool every_hour_ = false;  // the hour is a star
  bool day_starred_ = false;
  bool weekday_starred_ = false;
};

}  // namespace lockstep::service
