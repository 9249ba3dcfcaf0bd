// One member's address and the connection to it: connects, notices the loss, waits, connects again.
//
// Invariants: 1. once wanted, it is connecting, up, or waiting to connect again, and each failure in a row
// doubles the wait (with jitter) until a call succeeds or a connection lasts; 2. the calls of a lost
// connection end before anybody hears that it is lost; 3. a connection on which the server takes no more
// calls is replaced, and those that run there may end.
// Strand only. Owned by Connections; executor, clock, streams and generator outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/prng.h"
#include "base/time.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/stream.h"
#include "rpc/channel.h"

namespace lockstep::remote {

struct EndpointOptions {
  Duration backoff_min = 50ms;
  Duration backoff_max = 5s;
  rpc::ChannelOptions channel;
};

class Endpoint {
 public:
  enum class State : std::uint8_t {
    idle,  // nobody wanted it yet
    connecting,
    up,
    waiting,  // the last attempt or connection failed
  };
  // Called when it came up and when an attempt or the connection failed, never within a call of this.
  using Changed = std::move_only_function<void()>;

  Endpoint(std::string address, env::Executor& executor, env::Clock& clock, env::Streams& streams, Prng& prng,
           const EndpointOptions& options, Changed changed);
  // Calls end without their callbacks.
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  // Begins to connect, if it has not yet.
  void want();

  // These need State::up. A call that was given up may still run: cancel() ends it without its callback.
  struct Running {
    rpc::Channel* channel = nullptr;
    rpc::CallId id;
  };
  Running unary(std::string_view path, std::string_view message, std::span<const rpc::MetadataField> metadata,
                TimePoint deadline, rpc::CallDone done);
  void cancel(const Running& call);
  std::shared_ptr<rpc::ClientStream> stream(std::string_view path,
                                            std::span<const rpc::MetadataField> metadata,
                                            std::unique_ptr<rpc::ClientStreamHandler> handler);
  // A call succeeded: the server is well.
  void worked() { failures_ = 0; }

  [[nodiscard]] State state() const;
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] const std::string& last_error() const { return last_error_; }
  [[nodiscard]] std::uint64_t connections() const { return connections_; }
  [[nodiscard]] std::uint64_t calls() const { return calls_; }

 private:
  void connect();
  void on_state(std::uint64_t number, rpc::ChannelState state, std::string_view why);
  void lost(std::string_view why);
  void drop_old(std::uint64_t number);
  Duration next_pause();

  const std::string address_;
  env::Executor& executor_;
  env::Clock& clock_;
  env::Streams& streams_;
  Prng& prng_;
  const EndpointOptions& options_;
  Changed changed_;

  struct Numbered {
    std::uint64_t number = 0;
    std::unique_ptr<rpc::Channel> channel;
  };
  State state_ = State::idle;
  Numbered current_;
  std::list<Numbered> old_;  // no new calls; some may run
  env::TimerId timer_;
  TimePoint up_since_{};
  int failures_ = 0;  // in a row
  std::uint64_t numbers_ = 0;
  std::string last_error_;
  std::uint64_t connections_ = 0;
  std::uint64_t calls_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace lockstep::remote
