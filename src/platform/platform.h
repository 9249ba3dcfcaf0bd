// One member's world, made of the machine it runs on: clock, randomness, strand, worker, disk and network.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "env/environment.h"
#include "platform/disk.h"
#include "platform/executor.h"
#include "platform/network.h"
#include "platform/secrets.h"
#include "platform/system.h"
#include "platform/tls_streams.h"
#include "platform/work_thread.h"

namespace lockstep::platform {

struct PlatformOptions {
  std::string data_directory;
  std::string listen_address;  // "host:port" for peers; empty: none will connect (a member on its own)
  ClusterId cluster;
  NodeId node;
  IncarnationId incarnation;                       // zero: not stated to peers
  std::function<void(std::string_view line)> log;  // empty: standard error
  std::optional<TlsOptions> peer_tls;              // absent: members talk in the clear
};

// Lifetime: what uses the environment is destroyed before the Platform, after run() returned.
// Threads: as AsioExecutor; open() and the destructor belong to the thread that sets things up.
class Platform {
 public:
  // Creates the data directory if it is missing and starts listening. Errors: as FileDisk::open and
  // TcpNetwork::listen.
  static Result<std::unique_ptr<Platform>> open(const PlatformOptions& options);
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;

  [[nodiscard]] env::Environment environment();
  // Makes the calling thread the strand until stop() (any thread).
  void run() { executor_.run(); }
  void stop() { executor_.stop(); }

  AsioExecutor& executor() { return executor_; }
  TcpNetwork& network() { return *network_; }
  FileDisk& disk() { return *disk_; }
  // Reads the files of peer_tls again; connections from now on use them. An error changes nothing.
  Status reload_peer_tls();
  // Zero without listen_address.
  [[nodiscard]] std::uint16_t peer_port() const { return peer_port_; }

 private:
  Platform();

  // The order of construction: what comes later uses what comes earlier. The worker's last job may use the
  // disk.
  RealClock clock_;
  RealRandom random_;
  AsioExecutor executor_;
  std::unique_ptr<FileDisk> disk_;
  ThreadWorker worker_;
  OpenSslSecrets secrets_;
  ThreadWorker secrets_worker_;
  std::shared_ptr<TlsStreams> peer_tls_;  // null: plain
  std::unique_ptr<TcpNetwork> network_;
  std::uint16_t peer_port_ = 0;
};

}  // namespace lockstep::platform
