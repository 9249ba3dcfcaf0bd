// A gRPC client's end of one connection: unary calls and streams, with deadlines, cancellation, keepalive and
// flow control.
//
// A channel is one connection for its whole life; whoever balances, reconnects and retries makes another.
// Calls may be made before it is connected: they wait for it.
//
// Invariants: 1. every call ends once, with one result, never inside the call that made it; 2. a result says
// not_processed only if the server did not act and will not; 3. what a turn of the strand produced leaves
// together at its end, of much the first before (decision 0028); 4. memory is bounded by the answers' limit
// and the windows (I11). Strand only. May be destroyed from within a callback; what still runs is then
// dropped without callbacks. Executor, clock and streams outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "base/time.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/stream.h"
#include "rpc/grpc_status.h"

namespace lockstep::rpc {

struct ChannelOptions {
  std::string authority;   // empty: the address
  std::string user_agent;  // empty: not sent
  bool tls = false;        // for the scheme only; the streams do it
  // Other channels of this strand keep the server busy while this one still asks: what a turn asks leaves
  // together. Otherwise the first of many calls leave before the turn's end.
  bool one_of_many = false;
  std::size_t answer_bytes_max = 256 * limits::mebibyte;
  std::uint32_t stream_window_bytes = 4 * limits::mebibyte;
  std::uint32_t connection_window_bytes = 16 * limits::mebibyte;
  Duration connect_timeout = 5s;
  // While calls run and nothing arrives for so long, the server is pinged; without an answer in time the
  // connection is lost. Servers punish pings more often than every 5 s.
  Duration keepalive_interval = 10s;
  Duration keepalive_timeout = 5s;
};

struct MetadataField {
  std::string_view name;  // lower case; a value whose name ends in "-bin" is encoded here
  std::string_view value;
};

struct CallResult {
  GrpcStatus status;
  // The server did not act on the request and will not: never sent, refused, or above the last stream of its
  // GOAWAY. Repeating it elsewhere is safe whatever it does. Otherwise only `status` tells.
  bool not_processed = false;
  // Of a unary call that is ok. Valid during the callback.
  std::string_view message;
};

using CallDone = std::move_only_function<void(const CallResult& result)>;
using CallId = StrongInteger<struct CallIdTag, std::uint64_t>;  // zero: none

// The client's side of a streaming call. Owned by the channel, destroyed after on_end() or with the channel.
class ClientStreamHandler {
 public:
  virtual ~ClientStreamHandler() = default;
  // The view is valid during the call.
  virtual void on_message(std::string_view message) = 0;
  // The last call.
  virtual void on_end(const CallResult& result) = 0;
};

// Safe to keep and to call after the call or the channel ended: then nothing happens.
class ClientStream {
 public:
  virtual ~ClientStream() = default;
  // Queues one message. Never refuses; look at unsent_bytes().
  virtual void send(std::string_view message) = 0;
  virtual void half_close() = 0;
  [[nodiscard]] virtual std::size_t unsent_bytes() const = 0;
  // False: on_message() pauses (at the latest after the message being delivered) and the server's window is
  // not reopened, until true.
  virtual void set_reading(bool reading) = 0;
  // Ends it; on_end() is not called any more.
  virtual void cancel() = 0;
  [[nodiscard]] virtual bool ended() const = 0;
};

enum class ChannelState : std::uint8_t {
  connecting,
  ready,
  draining,  // the server takes no more calls; those that run may end
  closed,
};

class Channel {
 public:
  // `why` is for people. Called after each change, never inside the constructor or a call.
  using OnState = std::move_only_function<void(ChannelState state, std::string_view why)>;

  Channel(env::Executor& executor, env::Clock& clock, env::Streams& streams, const std::string& address,
          const ChannelOptions& options, OnState on_state = nullptr);
  // On a stream that is connected.
  Channel(env::Executor& executor, env::Clock& clock, std::unique_ptr<env::Stream> stream,
          const ChannelOptions& options, OnState on_state = nullptr);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // The views need only last during the call.
  CallId unary(std::string_view path, std::string_view message, std::span<const MetadataField> metadata,
               TimePoint deadline, CallDone done);
  std::shared_ptr<ClientStream> stream(std::string_view path, std::span<const MetadataField> metadata,
                                       TimePoint deadline, std::unique_ptr<ClientStreamHandler> handler);
  // `done` is not called any more. Ended calls are ignored.
  void cancel(CallId call);

  [[nodiscard]] ChannelState state() const;
  // That have not ended.
  [[nodiscard]] std::size_t calls() const;
  // Calls end with UNAVAILABLE.
  void close();

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::rpc
