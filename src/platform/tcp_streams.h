// The port to byte streams over plain TCP.
//
// Threads: strand only (or before the executor runs). The executor outlives these and every stream, listener
// and attempt they made.
#pragma once

#include <memory>
#include <string>

#include "env/stream.h"
#include "platform/executor.h"

namespace lockstep::platform {

// How soon the kernel gives up on the other side.
struct TcpOptions {
  // Sent and not acknowledged for so long (a closed window counts too): gone, whatever the retransmission
  // timer thinks.
  int unacknowledged_ms_max = 30'000;
  int keepalive_idle_s = 30;
  int keepalive_interval_s = 10;
  int keepalive_probes = 3;

  // Between members, where a dead peer must be noticed within an election or two.
  static TcpOptions for_peers() {
    return {.unacknowledged_ms_max = 5000,
            .keepalive_idle_s = 5,
            .keepalive_interval_s = 1,
            .keepalive_probes = 3};
  }
};

class TcpStreams final : public env::Streams {
 public:
  explicit TcpStreams(AsioExecutor& executor, TcpOptions options = {})
      : executor_(executor), options_(options) {}

  std::unique_ptr<env::Connecting> connect(const std::string& address, env::Connecting::Done done) override;
  Result<std::unique_ptr<env::Listener>> listen(const std::string& address,
                                                env::Listener::Accepted accepted) override;

 private:
  AsioExecutor& executor_;
  TcpOptions options_;
};

}  // namespace lockstep::platform
