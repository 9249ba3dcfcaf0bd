// errno as Status, in one place.
#pragma once

#include <cerrno>
#include <string_view>

#include "base/status.h"

namespace lockstep::platform {

// "what: No space left on device". `number` is a value of errno.
Status system_error(int number, std::string_view what);

// Repeats a system call while it is interrupted by signals.
template <class Call>
auto uninterrupted(Call call) {
  while (true) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

}  // namespace lockstep::platform
