// Names of locks, counters, timers …: any bytes, 1 to name_bytes_max of them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "base/status.h"

namespace lockstep::service {

inline constexpr std::size_t name_bytes_max = 1024;
static_assert(name_bytes_max * 4 < limits::key_bytes_max, "a name with what recipes put around it is a key");

// ok, or one of the errors below.
Status check_name(std::string_view name);

// The name as one segment of a key: "/" as "%2F" and "%" as "%25", all else as it is. So what stands under
// one name never stands under another.
std::string key_segment(std::string_view name);

namespace errors {
Status name_empty();     // invalid_argument
Status name_too_long();  // invalid_argument
}  // namespace errors

}  // namespace lockstep::service
