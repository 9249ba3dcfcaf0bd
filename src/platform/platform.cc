#include "platform/platform.h"

#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "platform/processor_quota.h"
#include "platform/tcp_streams.h"

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

void set_look_time(AsioExecutor& executor, const PlatformOptions& options) {
  const std::optional<double> quota = processor_quota();
  const Duration look_time = default_look_time(quota);
  executor.set_look_time(look_time);
  if (look_time > Duration::zero() || !options.log) return;
  options.log(fmt::format("this process may use {} processors: to save them it waits asleep", *quota));
}

}  // namespace

Platform::Platform() : executor_(clock_), worker_(executor_), secrets_worker_(executor_, "ls-secrets") {}

Result<std::unique_ptr<Platform>> Platform::open(const PlatformOptions& options) {
  std::unique_ptr<Platform> platform(new Platform());
  set_look_time(platform->executor_, options);
  LS_ASSIGN_OR_RETURN(platform->disk_, FileDisk::open(options.data_directory, platform->executor_));
  std::shared_ptr<env::Streams> streams =
      std::make_shared<TcpStreams>(platform->executor_, TcpOptions::for_peers());
  if (options.peer_tls) {
    LS_ASSIGN_OR_RETURN(platform->peer_tls_, TlsStreams::create(platform->executor_, platform->clock_,
                                                                streams, *options.peer_tls));
    streams = platform->peer_tls_;
  }
  platform->network_ = std::make_unique<TcpNetwork>(platform->executor_, platform->random_,
                                                    network_options(options), std::move(streams));
  if (!options.listen_address.empty()) {
    LS_ASSIGN_OR_RETURN(platform->peer_port_, platform->network_->listen(options.listen_address));
    LS_MUST(platform->peer_port_ != 0);
  }
  return platform;
}

Status Platform::reload_peer_tls() {
  return peer_tls_ == nullptr ? Status() : peer_tls_->reload();
}

env::Environment Platform::environment() {
  LS_MUST(disk_ != nullptr);
  return {clock_, random_, executor_, *disk_, *network_, worker_, &secrets_, &secrets_worker_};
}

}  // namespace lockstep::platform
