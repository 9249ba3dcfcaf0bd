// The rows of write-back and snapshots: the first byte chooses the decoder. Refused, or encoded the same
// again.
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "store/auth_codec.h"
#include "store/leases.h"
#include "store/result_codec.h"
#include "store/rows.h"

namespace lockstep::store {
namespace {

template <class T>
bool accepted(const Result<T>& decoded) {
  LS_MUST(decoded.ok() || decoded.status().code() == Code::corruption);
  return decoded.ok();
}

void check(std::uint8_t decoder, std::string_view row) {
  switch (decoder % 9) {
    case 0: {
      const auto decoded = decode_current_row("key", row);
      if (accepted(decoded)) LS_MUST(encode_current_row(*decoded) == row);
      return;
    }
    case 1: {
      const auto decoded = decode_pinned_row("key", row);
      if (accepted(decoded)) LS_MUST(encode_pinned_row(*decoded) == row);
      return;
    }
    case 2: {
      const auto decoded = decode_state_row(row);
      if (accepted(decoded)) LS_MUST(encode_state_row(*decoded) == row);
      return;
    }
    case 3:
      static_cast<void>(accepted(decode_meta_key(row)));
      return;
    case 4: {
      const auto decoded = decode_result(row);
      if (accepted(decoded)) LS_MUST(encode_result(*decoded) == row);
      return;
    }
    case 5: {
      const auto decoded = decode_lease_row(row);
      if (accepted(decoded)) LS_MUST(encode_lease_row(*decoded) == row);
      return;
    }
    case 6: {
      const auto decoded = decode_auth_head(row);
      if (accepted(decoded)) LS_MUST(encode_auth_head(*decoded) == row);
      return;
    }
    case 7: {
      const auto decoded = decode_user(row);
      if (accepted(decoded)) LS_MUST(encode_user(*decoded) == row);
      return;
    }
    default: {
      const auto decoded = decode_role(row);
      if (accepted(decoded)) LS_MUST(encode_role(*decoded) == row);
      return;
    }
  }
}

}  // namespace
}  // namespace lockstep::store

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0) lockstep::store::check(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
