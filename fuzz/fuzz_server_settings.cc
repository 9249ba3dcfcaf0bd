// The server's settings file. What is accepted can be shown, and what is shown reads back as the same.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "server/settings.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lockstep;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<server::GivenSettings> given = server::parse_settings(text, "file");
  if (!given.ok()) {
    LS_MUST(given.status().code() == Code::invalid_argument);
    LS_MUST(given.status().message().starts_with("file:"), "the place is named");
    return 0;
  }
  const Result<server::Resolved> resolved = server::resolve({&*given, 1});
  if (!resolved.ok()) {
    LS_MUST(resolved.status().code() == Code::invalid_argument);
    return 0;
  }
  for (const server::Setting& setting : server::settings()) {
    server::ServerOptions options = resolved->options;
    const std::string shown = setting.show(options);
    LS_MUST(setting.set(options, shown).ok());
    LS_MUST(setting.show(options) == shown);
  }
  return 0;
}
