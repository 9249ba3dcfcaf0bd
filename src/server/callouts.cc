#include "server/callouts.h"

#include <utility>

namespace lockstep::server {

Result<std::unique_ptr<platform::CurlHttpClient>> open_callouts(const ServerOptions& options,
                                                                platform::AsioExecutor& executor) {
  platform::HttpClientOptions client;
  LS_ASSIGN_OR_RETURN(client.policy,
                      platform::CallPolicy::create(options.callouts_allow,
                                                   options.callouts_allow_loopback.value_or(options.dev)));
  client.ca_file = options.callouts_ca_file;
  return platform::CurlHttpClient::create(executor, std::move(client));
}

}  // namespace lockstep::server
