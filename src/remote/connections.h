// gRPC connections to the members of one cluster, used as one.
//
// Every endpoint has one connection, kept up with exponential backoff and jitter; calls go round robin to
// those that are up, and wait (bounded in number) while none is. A user's token is fetched before the first
// call and again when the cluster no longer takes it.
//
// Invariants:
//   1. A call's callback runs exactly once, on the strand, possibly before call() returns.
//   2. A call is repeated only while it cannot have had an effect: it reads, or was never sent, or a server
//      refused it before doing anything, or it carries a RequestId that the server honours.
//   3. A call that was sent and is not known to be refused ends as unknown_outcome if it is a mutation.
//   4. Passwords and tokens appear in no message and no error.
// Strand only. Executor, clock, random and streams outlive this; callbacks may destroy nothing of it, but may
// call it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "base/status.h"
#include "base/time.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/random.h"
#include "env/stream.h"
#include "remote/endpoint.h"
#include "remote/outcome.h"

namespace lockstep::remote {

struct ConnectionsOptions {
  std::vector<std::string> endpoints;  // "host:port"
  std::string user;                    // empty: no login
  std::string password;
  // A call that finds no member up fails at once when each was tried in vain since it came, instead of
  // waiting for its deadline.
  bool fail_fast = false;
  // The server keeps RequestIds: mutations that carry one are repeated.
  bool deduplicates_requests = false;
  Duration login_timeout = 10s;
  std::size_t waiting_calls_max = 100'000;
  EndpointOptions endpoint;
};

struct Call {
  std::string_view path;  // static: "/etcdserverpb.KV/Put"
  std::string message;
  Effect effect = Effect::none;
  TimePoint deadline = no_deadline;
  std::stop_token cancellation;
  RequestId request_id;
  std::string endpoint;  // only there, whatever the state of the others; empty: anywhere
};

struct EndpointStatus {
  std::string address;
  Endpoint::State state = Endpoint::State::idle;
  std::string last_error;
  std::uint64_t connections = 0;  // that came up
  std::uint64_t calls = 0;
};

class Connections {
 public:
  using Done = std::move_only_function<void(Result<std::string> message)>;

  Connections(env::Executor& executor, env::Clock& clock, env::Random& random, env::Streams& streams,
              ConnectionsOptions options);
  // As close().
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  void call(Call call, Done done);

  // For streams: a member that is up and whoever we are there, or why there is none before the deadline.
  // The endpoint stays valid until this is destroyed; whether it is still up, its streams say.
  struct Line {
    Endpoint* endpoint = nullptr;
    std::vector<rpc::MetadataField> metadata;  // valid during the callback
  };
  using LineDone = std::move_only_function<void(Result<Line> line)>;
  void line(TimePoint deadline, const std::string& endpoint, LineDone done);
  // A stream ended with this: the next line() logs in anew, if that may help.
  void stream_ended(const rpc::GrpcStatus& status);

  // Ends everything: what was sent as unknown_outcome, the rest as cancelled. Later calls too.
  void close();

  [[nodiscard]] std::vector<EndpointStatus> endpoints() const;
  [[nodiscard]] env::Executor& executor() { return executor_; }
  [[nodiscard]] env::Clock& clock() { return clock_; }
  [[nodiscard]] bool has_user() const { return !options_.user.empty(); }
  [[nodiscard]] Prng& prng() { return prng_; }
  [[nodiscard]] const ConnectionsOptions& options() const { return options_; }

 private:
  class Identity;
  struct Pending;  // one call() or line() until its callback has run
  using PendingPtr = std::shared_ptr<Pending>;
  enum class Login : std::uint8_t { not_wanted, wanted, running, done };

  void begin(const PendingPtr& pending);
  void start(const PendingPtr& pending);
  void send(const PendingPtr& pending, Endpoint& endpoint);
  void answered(const PendingPtr& pending, const rpc::CallResult& result);
  void retry(const PendingPtr& pending, Status why);
  void enqueue(const PendingPtr& pending);
  void out_of_time(const PendingPtr& pending);
  void cancelled(const PendingPtr& pending);
  void fail(const PendingPtr& pending, Status status);
  // The last use of a pending call: takes it out of every list. Its callback is run by the caller.
  void forget(const PendingPtr& pending);
  void run_waiting();
  void endpoint_changed(std::size_t index);
  [[nodiscard]] Endpoint* pick(const std::string& only);
  void want(const std::string& only);
  // Every endpoint that would do was tried in vain.
  [[nodiscard]] bool unreachable(const std::string& only) const;
  [[nodiscard]] Status why_unreachable(const std::string& only) const;
  void log_in();
  void login_finished(const rpc::CallResult& result);
  void login_failed(const Status& status);

  env::Executor& executor_;
  env::Clock& clock_;
  ConnectionsOptions options_;
  Prng prng_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  std::size_t next_ = 0;
  std::list<PendingPtr> calls_;  // every one whose callback has not run, in the order they came
  std::size_t waiting_ = 0;      // of them: for a member that is up, or for the token
  Login login_ = Login::not_wanted;
  std::string token_;
  std::uint64_t token_number_ = 0;  // counts the tokens
  env::TimerId login_timer_;
  bool closed_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work asks before it touches this
};

}  // namespace lockstep::remote
