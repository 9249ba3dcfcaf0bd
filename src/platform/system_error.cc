#include "platform/system_error.h"

#include <cerrno>
#include <string>
#include <system_error>

namespace lockstep::platform {
namespace {

Code code_of(int number) {
  switch (number) {
    case ENOENT:
      return Code::not_found;
    case EEXIST:
      return Code::already_exists;
    case ENOTEMPTY:
    case EWOULDBLOCK:  // a lock that is held
    case ENOTDIR:
    case EISDIR:
      return Code::failed_precondition;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Code::resource_exhausted;
    default:
      return Code::io_error;
  }
}

}  // namespace

Status system_error(int number, std::string_view what) {
  return {code_of(number), std::string(what) + ": " + std::system_category().message(number)};
}

}  // namespace lockstep::platform
