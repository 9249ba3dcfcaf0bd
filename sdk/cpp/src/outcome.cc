#include "lockstep/outcome.h"

#include "base/assert.h"
#include "base/status.h"

namespace lockstep::v1 {

// to_error() casts: the two lists are one.
static_assert(static_cast<int>(Code::ok) == static_cast<int>(::lockstep::Code::ok));
static_assert(static_cast<int>(Code::unknown) == static_cast<int>(::lockstep::Code::unknown_outcome));
static_assert(static_cast<int>(Code::unavailable) == static_cast<int>(::lockstep::Code::unavailable));
static_assert(static_cast<int>(Code::deadline_exceeded) ==
              static_cast<int>(::lockstep::Code::deadline_exceeded));
static_assert(static_cast<int>(Code::internal) == static_cast<int>(::lockstep::Code::internal));

std::string_view to_string(Code code) {
  return ::lockstep::to_string(static_cast<::lockstep::Code>(code));
}

std::string Error::to_string() const {
  return std::string(v1::to_string(code_)) + ": " + message_;
}

namespace detail {
void no_error_in_outcome() {
  throw std::logic_error("lockstep: error() of an outcome that has a value");
}
}  // namespace detail

}  // namespace lockstep::v1
