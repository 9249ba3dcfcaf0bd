// Where a timer may be sent to: what can be said of a URL without calling it.
#pragma once

#include <string_view>

#include "base/status.h"

namespace lockstep::service {

// http://HOST[:PORT][/...] or https://...: printable ASCII, without a user, a password or a fragment. Errors:
// invalid_argument, what is wrong with it.
Status check_timer_target(std::string_view target);

}  // namespace lockstep::service
