#include "platform/platform.h"

#include "base/assert.h"

namespace lockstep::platform {
namespace {

NetworkOptions network_options(const PlatformOptions& options) {
  NetworkOptions network;
  network.cluster = options.cluster;
  network.self = options.node;
  network.incarnation = options.incarnation;
  network.log = options.log;
  return network;
}

}  // namespace

Platform::Platform(const PlatformOptions& options)
    : executor_(clock_),
      worker_(executor_),
      secrets_worker_(executor_, "ls-secrets"),
      network_(executor_, random_, network_options(options)) {}

Result<std::unique_ptr<Platform>> Platform::open(const PlatformOptions& options) {
  std::unique_ptr<Platform> platform(new Platform(options));
  LS_ASSIGN_OR_RETURN(platform->disk_, FileDisk::open(options.data_directory, platform->executor_));
  if (!options.listen_address.empty()) {
    LS_ASSIGN_OR_RETURN(platform->peer_port_, platform->network_.listen(options.listen_address));
    LS_MUST(platform->peer_port_ != 0);
  }
  return platform;
}

env::Environment Platform::environment() {
  LS_MUST(disk_ != nullptr);
  return {clock_, random_, executor_, *disk_, network_, worker_, &secrets_, &secrets_worker_};
}

}  // namespace lockstep::platform
