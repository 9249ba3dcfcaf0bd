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

Status check_name(std::string_view name) {
  if (name.empty()) return errors::name_empty();
  if (name.size() > name_bytes_max) return errors::name_too_long();
  return {};
}

}  // namespace lockstep::service
