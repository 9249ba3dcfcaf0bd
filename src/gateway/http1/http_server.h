// An HTTP/1.1 server on byte streams that somebody else accepted, and the routes that HTTP/2 shares with it.
//
// Invariants: 1. output of a turn of the strand leaves together; 2. memory is bounded (I11) by named limits
// before any length is trusted; 3. bad input gets the status that names it, closes its connection where the
// framing may be wrong, is counted once and touches nobody else. Strand only; never destroyed from within a
// handler. Executor and clock outlive the server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/stream.h"
#include "gateway/http.h"
#include "gateway/http1/parser.h"
#include "rpc/plain.h"

namespace lockstep::gateway {

struct HttpServerOptions {
  std::size_t connections_max = 10'000;
  Http1Limits limits;
  // Of requests that wait behind the one being served; then nothing is read, for stall_timeout at most.
  std::size_t pipelined_bytes_max = 64 * 1024;
  // Answered in one turn of the strand; the connections of others come in between.
  std::size_t pipelined_requests_per_turn_max = 16;
  // Answers that wait to be written: above it, nothing is read and no further request served.
  std::size_t unsent_bytes_max = 256 * 1024;
  // Of requests that are not complete, of all connections.
  std::size_t request_bytes_buffered_max = 256 * 1024 * 1024;
  Duration head_timeout = 10s;
  Duration body_timeout = 30s;
  Duration idle_timeout = 75s;
  Duration stall_timeout = 60s;
  // Names under which browsers may reach this server, besides localhost and addresses: a page whose own name
  // was pointed here is refused (421). Empty: any name.
  std::vector<std::string> host_names;
};

struct HttpMetrics {
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_refused = 0;
  std::uint64_t connections_open = 0;
  std::uint64_t requests = 0;  // handed to a handler
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
  std::map<int, std::uint64_t> refused;  // requests answered without a handler, by status
  std::uint64_t stalled_readers = 0;
  std::uint64_t request_bytes_buffered = 0;  // received, not yet handed to a handler
  std::uint64_t answer_bytes_unsent = 0;
};

class HttpServer {
 public:
  HttpServer(env::Executor& executor, env::Clock& clock, const HttpServerOptions& options = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  [[nodiscard]] HttpRouter& router();
  // Serves what came over HTTP/2 by the same routes, up to bodies of options.limits. May outlive the server.
  [[nodiscard]] rpc::PlainHandler plain_handler() const;
  // `already_read` came before what the stream will deliver.
  void accept(std::unique_ptr<env::Stream> stream, std::string_view already_read = {});
  // Lets running answers end, then closes; at `deadline` regardless. `done` is called once, later.
  void drain(TimePoint deadline, env::Closure done);
  void close();
  [[nodiscard]] const HttpMetrics& metrics() const;

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::gateway
