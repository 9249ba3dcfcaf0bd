// The client's file of contexts. What is accepted means something, or is refused with its place.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "cli/contexts.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lockstep;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<cli::Contexts> contexts = cli::parse_contexts(text, "file");
  if (!contexts.ok()) {
    LS_MUST(contexts.status().code() == Code::invalid_argument);
    LS_MUST(contexts.status().message().starts_with("file:"), "the place is named");
    return 0;
  }
  for (const auto& [name, given] : contexts->by_name) {
    const Result<cli::GivenSettings> again = cli::context_settings(*contexts, name);
    LS_MUST(again.ok() || name.empty());
    const Result<cli::Resolved> resolved = cli::resolve({&given, 1});
    LS_MUST(resolved.ok() || resolved.status().code() == Code::invalid_argument);
  }
  return 0;
}
