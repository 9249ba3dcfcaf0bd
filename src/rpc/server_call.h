// One gRPC call as its handler sees it, unary or streaming.
//
// Strand only. The call is shared by its connection and its handler: after the client went away, or the call
// was finished, every method is still safe and send() and finish() do nothing.
// Handlers are never called inside send(), respond() or finish().
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/time.h"
#include "rpc/grpc_status.h"

namespace lockstep::rpc {

class ServerCall {
 public:
  virtual ~ServerCall() = default;

  // "/etcdserverpb.KV/Put"
  [[nodiscard]] virtual std::string_view method() const = 0;
  // The first value of a metadata name (lower case), decoded if it ends in "-bin". Valid as long as the call.
  [[nodiscard]] virtual std::optional<std::string_view> metadata(std::string_view name) const = 0;
  // no_deadline if the client gave none. When it passes, the call ends by itself with DEADLINE_EXCEEDED.
  [[nodiscard]] virtual TimePoint deadline() const = 0;
  // Stopped when the client cancelled or is gone, the deadline passed, or the server closes. Made on first
  // use: a handler that cannot use it costs nothing.
  [[nodiscard]] virtual std::stop_token cancellation() = 0;
  // No answer will be sent any more.
  [[nodiscard]] virtual bool ended() const = 0;
  [[nodiscard]] virtual std::string remote_address() const = 0;
  // Of the client's certificate; empty without one.
  [[nodiscard]] virtual std::string_view peer_common_name() const = 0;

  // Queues one message (copied, framed and perhaps sent later in this turn). A handler that produces more
  // than a few messages looks at unsent_bytes() and waits (I11); on a connection whose limit is exceeded
  // regardless, the call ends as by a failure, soon.
  virtual void send(std::string_view message) = 0;
  // Bytes queued by send() that the client's window or connection has not taken; those of the whole
  // connection while it holds too many.
  [[nodiscard]] virtual std::size_t unsent_bytes() const = 0;
  // Calls `ready` once, soon after unsent_bytes() fell below `bytes`; never when the call ended before.
  virtual void notify_when_unsent_below(std::size_t bytes, std::move_only_function<void()> ready) = 0;
  // Ends the call after what was sent.
  virtual void finish(const GrpcStatus& status) = 0;
  // send() and finish(ok): the answer of a unary call.
  virtual void respond(std::string_view message) = 0;
};

using ServerCallPtr = std::shared_ptr<ServerCall>;

// The handler's side of a streaming call (client, server or both ways). Owned by the connection, destroyed
// after on_end() or with the server.
class ServerStreamHandler {
 public:
  virtual ~ServerStreamHandler() = default;
  // One message of the client; the view is valid during the call. The client's window reopens when it
  // returns.
  virtual void on_message(std::string_view message) = 0;
  // The client will send no more.
  virtual void on_half_close() = 0;
  // The call ended from the client's side or by a failure (cancelled, reset, deadline, connection lost); not
  // called after finish().
  virtual void on_cancelled() = 0;
};

// Exactly one message came and the client half-closed: anything else was refused before. The view is valid
// during the call.
using UnaryHandler = std::function<void(const ServerCallPtr& call, std::string_view request)>;
// Called when the headers arrived.
using StreamHandlerFactory = std::function<std::unique_ptr<ServerStreamHandler>(ServerCallPtr call)>;

// Where services register what they serve. Paths are "/package.Service/Method"; registering one twice is a
// programmer's error.
class ServiceRegistry {
 public:
  virtual ~ServiceRegistry() = default;
  virtual void unary(std::string_view path, UnaryHandler handler) = 0;
  virtual void streaming(std::string_view path, StreamHandlerFactory factory) = 0;
};

}  // namespace lockstep::rpc
