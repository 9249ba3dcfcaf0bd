#include "service/names.h"

namespace lockstep::service {

namespace errors {
Status name_empty() {
  return {Code::invalid_argument, "lockstep: the name is empty"};
}
Status name_too_long() {
  return {Code::invalid_argument, "lockstep: the name is longer than 1024 bytes"};
}
}  // namespace errors

std::string key_segment(std::string_view name) {
  std::string segment;
  for (const char letter : name) {
    if (letter == '/') {
      segment += "%2F";
    } else if (letter == '%') {
      segment += "%25";
    } else {
      segment += letter;
    }
  }
  return segment;
}

Status check_name(std::string_view name) {
  if (name.empty()) return errors::name_empty();
  if (name.size() > name_bytes_max) return errors::name_too_long();
  return {};
}

}  // namespace lockstep::service
