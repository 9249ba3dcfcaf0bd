// Time zones by the date library, whose exceptions end here.
#include <exception>

#include <date/tz.h>

#include "base/assert.h"
#include "service/timer/cron.h"

namespace lockstep::service {

Result<Zone> Zone::find(std::string_view name) {
  Zone found;
  if (name == "UTC" || name.empty()) return found;
  const Status unknown(
      Code::invalid_argument,
      "timer: no time zone \"" + std::string(name.substr(0, zone_bytes_max)) + "\" is known here");
  if (name.size() > zone_bytes_max) return unknown;
  try {
    const date::time_zone* zone = date::locate_zone(std::string(name));
    // Its file is read when it is first asked, which may fail, too; then never again.
    static_cast<void>(zone->get_info(date::sys_seconds{}));
    found.zone_ = zone;
  } catch (const std::exception&) {
    return unknown;
  }
  LS_MUST(found.zone_ != nullptr);
  return found;
}

ZoneSegment Zone::segment(Seconds at) const {
  if (zone_ == nullptr) return {Seconds::min(), Seconds::max(), Seconds{}};
  const auto info = static_cast<const date::time_zone*>(zone_)->get_info(date::sys_seconds(at));
  return {info.begin.time_since_epoch(), info.end.time_since_epoch(), info.offset};
}

}  // namespace lockstep::service
