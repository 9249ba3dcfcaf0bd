#include "server/callouts.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/text_values.h"

namespace lockstep::server {
namespace {

// Clients', which metrics share, and peers'; whatever the address, for it may be any of this machine's.
std::vector<std::uint16_t> own_ports(const ServerOptions& options) {
  std::vector<std::uint16_t> ports;
  for (const std::string& address : {options.listen, options.peer_listen}) {
    const Result<std::uint64_t> port = parse_number(std::string_view(address).substr(address.rfind(':') + 1));
    if (port.ok() && *port > 0 && *port <= 65535) ports.push_back(static_cast<std::uint16_t>(*port));
  }
  return ports;
}

}  // namespace

Result<std::unique_ptr<platform::CurlHttpClient>> open_callouts(const ServerOptions& options,
                                                                platform::AsioExecutor& executor) {
  platform::HttpClientOptions client;
  LS_ASSIGN_OR_RETURN(
      client.policy,
      platform::CallPolicy::create(
          options.callouts_allow, options.callouts_allow_loopback.value_or(options.dev), own_ports(options)));
  client.ca_file = options.callouts_ca_file;
  return platform::CurlHttpClient::create(executor, std::move(client));
}

}  // namespace lockstep::server
