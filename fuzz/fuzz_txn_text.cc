// Transactions as people write them, as text and as JSON. What is accepted can be checked like any request.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "cli/text.h"
#include "cli/txn_text.h"
#include "store/validate.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lockstep;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = cli::parse_txn(text);
  if (parsed.ok()) {
    static_cast<void>(store::validate(*parsed));
  } else {
    LS_MUST(parsed.status().code() == Code::invalid_argument);
    LS_MUST(!parsed.status().message().empty());
  }
  const auto bytes = cli::unescape(text);
  if (bytes.ok()) LS_MUST(*cli::unescape(cli::escape(*bytes)) == *bytes);
  return 0;
}
