// A gRPC server on byte streams that somebody else accepted.
//
// Invariants: 1. what a turn of the strand produced for one connection leaves together at the turn's end, or
// in pieces before it if it is much (docs/decisions/0028); 2. memory is bounded (I11): connections, calls,
// header lists, messages, request bytes kept, answers unread, each by a named option, before any length is
// trusted; 3. bad input costs its sender a stream or a connection, is counted once and touches nobody
// else; 4. a call whose deadline passed, whose client is gone or that the server closed is told so once.
//
// Also serves grpc.health.v1, and hands requests that are no gRPC to whoever asked for them. Strand only;
// never destroyed from within a handler. Executor and clock outlive the server; calls may outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/limits.h"
#include "base/time.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/stream.h"
#include "rpc/plain.h"
#include "rpc/server_call.h"
#include "rpc/server_metrics.h"

namespace lockstep::rpc {

// What surrounds the key and value of a request in its message; etcd's number.
inline constexpr std::size_t message_overhead_bytes_max = 512 * limits::kibibyte;

struct ServerOptions {
  std::size_t connections_max = 10'000;
  // Of one connection. Generous: a waiting lock or a watch occupies a stream for long, and clients queue
  // behind the limit.
  std::uint32_t concurrent_streams_max = 10'000;
  std::size_t calls_max = 200'000;
  std::size_t message_bytes_max = limits::request_bytes_max + message_overhead_bytes_max;
  std::size_t header_list_bytes_max = 16 * limits::kibibyte;
  // Kept of the open calls of one connection: compressed, they cost their sender next to nothing.
  std::size_t connection_metadata_bytes_max = 8 * limits::mebibyte;
  // Of messages that are not complete: of one connection, and of all. At a limit the largest holder's largest
  // call ends, so that nobody can take the room of others.
  std::size_t connection_request_bytes_max = 32 * limits::mebibyte;
  std::size_t request_bytes_buffered_max = 256 * limits::mebibyte;
  // Answers that a client does not read: above it, its new calls are refused.
  // Streams wait, too, until half of it is left.
  std::size_t connection_unsent_bytes_max = 64 * limits::mebibyte;
  // Above this, with answers to calls that were admitted before, the call ends instead.
  std::size_t connection_answer_bytes_max = 256 * limits::mebibyte;
  // Of streams of one connection that are handed over in one turn; the calls of others come in between.
  std::size_t stream_messages_per_turn_max = 256;
  std::uint32_t stream_window_bytes = 1 * limits::mebibyte;
  std::uint32_t connection_window_bytes = 8 * limits::mebibyte;

  Duration handshake_timeout = 10s;
  // From a message's first byte, or a unary call's headers, to the message's end.
  Duration message_timeout = 30s;
  // A connection that said nothing for so long is pinged, and closed if the answer does not come.
  Duration keepalive_interval = 60s;
  Duration keepalive_timeout = 20s;
  // Bytes wait and none was taken for so long.
  Duration stall_timeout = 60s;
  // Pings more often than this, without anything sent to the client in between, are strikes (etcd's rule).
  Duration client_ping_interval_min = 5s;
  int client_ping_strikes_max = 2;
};

class Server final : public ServiceRegistry {
 public:
  Server(env::Executor& executor, env::Clock& clock, const ServerOptions& options = {});
  ~Server() override;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void unary(std::string_view path, UnaryHandler handler) override;
  void streaming(std::string_view path, StreamHandlerFactory factory) override;

  // `already_read` came before what the stream will deliver, the preface included.
  void accept(std::unique_ptr<env::Stream> stream, std::string_view already_read = {});

  // Who serves requests that are no gRPC, with bodies up to so much. Without it they are answered as gRPC
  // servers do.
  void set_plain(PlainHandler handler, std::size_t body_bytes_max);

  // For grpc.health.v1. The whole server is "" and serving from the start; others are unknown until named.
  void set_serving(std::string_view service, bool serving);

  // Lets running calls end, ends streams that their clients keep open, refuses new ones, then closes; what
  // still runs at `deadline` is cancelled. Health says so at once. `done` is called once, later. New
  // connections are refused.
  void drain(TimePoint deadline, env::Closure done);
  // Cancels everything and closes.
  void close();

  [[nodiscard]] const ServerMetrics& metrics() const;
  // In the order of the paths.
  void for_each_method(const std::function<void(std::string_view path, const MethodMetrics&)>& visit) const;

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::rpc
