// What this server calls: the client for other people's HTTP services, as its options say.
#pragma once

#include <memory>

#include "base/status.h"
#include "platform/executor.h"
#include "platform/http_client.h"
#include "server/options.h"

namespace lockstep::server {

// Errors: invalid_argument names the option.
Result<std::unique_ptr<platform::CurlHttpClient>> open_callouts(const ServerOptions& options,
                                                                platform::AsioExecutor& executor);

}  // namespace lockstep::server
