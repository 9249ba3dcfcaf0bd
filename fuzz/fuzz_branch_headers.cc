// The headers of a transaction's branch, one "name: value" a line, as a participant gets them. What is
// accepted means one call, and is written again as it was read; what is not is refused with the header's
// name.
#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <lockstep/participant/branch.h>

#include "base/assert.h"

namespace {

std::map<std::string, std::string> headers_of(std::string_view text) {
  std::map<std::string, std::string> headers;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t colon = line.find(": ");
    if (colon != std::string_view::npos) headers[std::string(line.substr(0, colon))] = line.substr(colon + 2);
  }
  return headers;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lockstep::v1;
  const auto headers = headers_of({reinterpret_cast<const char*>(data), size});
  try {
    const BranchContext context =
        BranchContext::from_headers([&](std::string_view name) -> std::optional<std::string> {
          const auto found = headers.find(std::string(name));
          return found == headers.end() ? std::nullopt : std::optional(found->second);
        });
    LS_MUST(context.transaction() == headers.at("Lockstep-Transaction"));
    LS_MUST(context.branch() == headers.at("Lockstep-Branch"));
    LS_MUST(to_string(context.operation()) == headers.at("Lockstep-Operation"));
    LS_MUST(to_string(context.mode()) == headers.at("Lockstep-Mode"));
    LS_MUST(context.attempt() >= 1 && context.token() >= 0);
  } catch (const BadBranch& refused) {
    const std::string_view reason = refused.what();
    LS_MUST(reason.starts_with("Lockstep-") || reason.starts_with("Idempotency-Key"), "the header is named");
  }
  return 0;
}
