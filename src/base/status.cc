#include "base/status.h"

namespace lockstep {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::ok:
      return "ok";
    case Code::invalid_argument:
      return "invalid_argument";
    case Code::not_found:
      return "not_found";
    case Code::already_exists:
      return "already_exists";
    case Code::failed_precondition:
      return "failed_precondition";
    case Code::out_of_range:
      return "out_of_range";
    case Code::resource_exhausted:
      return "resource_exhausted";
    case Code::permission_denied:
      return "permission_denied";
    case Code::unauthenticated:
      return "unauthenticated";
    case Code::unavailable:
      return "unavailable";
    case Code::unknown_outcome:
      return "unknown_outcome";
    case Code::deadline_exceeded:
      return "deadline_exceeded";
    case Code::cancelled:
      return "cancelled";
    case Code::corruption:
      return "corruption";
    case Code::io_error:
      return "io_error";
    case Code::unimplemented:
      return "unimplemented";
    case Code::internal:
      return "internal";
  }
  return "invalid";
}

std::string Status::to_string() const {
  if (ok()) return "ok";
  return std::string(lockstep::to_string(code())) + ": " + std::string(message());
}

}  // namespace lockstep
