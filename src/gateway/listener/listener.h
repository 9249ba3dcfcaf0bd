// One port for everything: looks at a connection's first bytes and hands it to who speaks that.
//
//   "PRI "              HTTP/2: the gRPC server (it judges the rest of the preface, and hands what is no gRPC
//                       to the HTTP server)
//   a capital letter    HTTP/1.1
//   a TLS hello         a TLS alert, then closed: this port is plain
//   anything else       closed
//
// Invariants: 1. memory is bounded (I11): undecided connections by number, each by its few bytes; the oldest
// makes room for a new one; 2. who says nothing in time is closed; 3. every refusal is counted once. Strand
// only. Servers, executor, clock and streams outlive the listener.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/stream.h"
#include "gateway/http1/http_server.h"
#include "rpc/server.h"

namespace lockstep::gateway {

struct ListenerOptions {
  std::size_t undecided_max = 1024;
  Duration first_bytes_timeout = 10s;
};

struct ListenerMetrics {
  std::uint64_t accepted = 0;
  std::uint64_t http2 = 0;
  std::uint64_t http1 = 0;
  std::uint64_t tls_on_plain_port = 0;
  std::uint64_t garbage = 0;
  std::uint64_t silent = 0;  // said too little in time
  std::uint64_t crowded_out = 0;
  std::uint64_t lost = 0;  // closed by the client before it said enough
};

class Listener {
 public:
  Listener(env::Executor& executor, env::Clock& clock, rpc::Server& grpc, HttpServer& http,
           const ListenerOptions& options = {});
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Accepts at one more address until stop(). Returns the port. Errors: of env::Streams::listen.
  Result<std::uint16_t> listen(env::Streams& streams, const std::string& address);
  // A connection that came another way.
  void accept(std::unique_ptr<env::Stream> stream);
  // Accepts no more; undecided connections are closed. The servers keep what they have.
  void stop();
  [[nodiscard]] const ListenerMetrics& metrics() const;

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::gateway
