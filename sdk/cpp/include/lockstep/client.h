// Client: the way to a Lockstep (or etcd) cluster. Make one for each program and share it among threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lockstep/abi.h"
#include "lockstep/barrier.h"
#include "lockstep/call_options.h"
#include "lockstep/counter.h"
#include "lockstep/election.h"
#include "lockstep/idempotency.h"
#include "lockstep/ids.h"
#include "lockstep/kv.h"
#include "lockstep/latch.h"
#include "lockstep/limiter.h"
#include "lockstep/lock.h"
#include "lockstep/operation.h"
#include "lockstep/semaphore.h"
#include "lockstep/session.h"
#include "lockstep/timer.h"
#include "lockstep/topic.h"
#include "lockstep/transaction.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

class Client;

namespace detail {
class Runtime;
Runtime& runtime_of(const Client& client);
}  // namespace detail

class ClientOptions {
 public:
  using Duration = std::chrono::nanoseconds;

  ClientOptions() = default;
  // "host:port", several separated by commas: any members of one cluster.
  explicit ClientOptions(std::string endpoints) : endpoints_(std::move(endpoints)) {}

  ClientOptions& user(std::string name, std::string password) {
    user_ = std::move(name);
    password_ = std::move(password);
    return *this;
  }
  // TLS; the server must prove to be its host's name. `ca_file` empty: whom the system trusts.
  ClientOptions& tls(std::string ca_file = {}) {
    tls_ = true;
    ca_file_ = std::move(ca_file);
    return *this;
  }
  ClientOptions& certificate(std::string certificate_file, std::string key_file) {
    tls_ = true;
    certificate_file_ = std::move(certificate_file);
    key_file_ = std::move(key_file);
    return *this;
  }
  // Of calls that only ask the store, unless CallOptions say otherwise. 10 s.
  ClientOptions& call_timeout(Duration timeout) {
    call_timeout_ = timeout;
    return *this;
  }
  // How long the locks of this client outlive its death. 10 s.
  ClientOptions& session_ttl(Duration ttl) {
    session_ttl_ = ttl;
    return *this;
  }
  // How long close() waits for what is being released. 2 s.
  ClientOptions& close_timeout(Duration timeout) {
    close_timeout_ = timeout;
    return *this;
  }
  // How long the client's thread looks for an answer before it sleeps, while it is busy anyhow and nobody
  // else wants its processor. Not set: 100 us, or zero where a control group gives less than two processors.
  // 300 us spare most wake-ups (25 us and more each) of a program that waits for one write after the other,
  // and take most of a processor; zero: where processor time is metered.
  ClientOptions& look_time(Duration longest) {
    look_time_ = longest;
    return *this;
  }
  // Who this is, for people who look at what is held: "billing".
  ClientOptions& name(std::string name) {
    name_ = std::move(name);
    return *this;
  }
  ClientOptions& resume_on(Executor executor) {
    executor_ = std::move(executor);
    return *this;
  }

  [[nodiscard]] const std::string& endpoints() const { return endpoints_; }
  [[nodiscard]] const std::string& user() const { return user_; }
  [[nodiscard]] const std::string& password() const { return password_; }
  [[nodiscard]] bool tls() const { return tls_; }
  [[nodiscard]] const std::string& ca_file() const { return ca_file_; }
  [[nodiscard]] const std::string& certificate_file() const { return certificate_file_; }
  [[nodiscard]] const std::string& key_file() const { return key_file_; }
  [[nodiscard]] Duration call_timeout() const { return call_timeout_; }
  [[nodiscard]] Duration session_ttl() const { return session_ttl_; }
  [[nodiscard]] Duration close_timeout() const { return close_timeout_; }
  [[nodiscard]] std::optional<Duration> look_time() const { return look_time_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const Executor& resume_on() const { return executor_; }

 private:
  std::string endpoints_ = "127.0.0.1:2379";
  std::string user_;
  std::string password_;
  bool tls_ = false;
  std::string ca_file_;
  std::string certificate_file_;
  std::string key_file_;
  Duration call_timeout_ = std::chrono::seconds(10);
  Duration session_ttl_ = std::chrono::seconds(10);
  Duration close_timeout_ = std::chrono::seconds(2);
  std::optional<Duration> look_time_;
  std::string name_;
  Executor executor_;
};

// It has one thread of its own, which does the network and renews sessions. Connections are made when
// something is asked, and again when they break.
//
// Threads: every call from any thread. The client is destroyed on another thread than its own, after whoever
// calls it; guards, sessions and watches may outlive it (they answer Code::cancelled then).
class Client {
 public:
  // Errors: invalid_argument for endpoints or files that cannot be used. Whether anybody is there, the first
  // call says.
  static Outcome<Client> make(const ClientOptions& options);
  // The same; throws NoValue.
  explicit Client(const ClientOptions& options);
  explicit Client(const std::string& endpoints) : Client(ClientOptions(endpoints)) {}
  explicit Client(std::shared_ptr<detail::Runtime> runtime) : runtime_(std::move(runtime)) {}
  Client(Client&&) noexcept = default;
  Client& operator=(Client&& other) noexcept;
  ~Client();
  // Gives back every lock and session (for at most close_timeout()) and ends every call with Code::cancelled.
  // Once.
  void close();

  // ---- keys and values (kv.h)
  Operation<std::optional<KeyValue>> get(std::string key, CallOptions options = {});
  Operation<KeyValues> list(const Keys& keys, std::int64_t limit = 0, CallOptions options = {});
  Operation<Revision> put(std::string key, std::string value, CallOptions options = {});
  // How many there were.
  Operation<std::int64_t> remove(const Keys& keys, CallOptions options = {});
  Operation<TxnResult> commit(const Txn& txn, CallOptions options = {});
  // From `start_revision` on; 0: from now on.
  Operation<Watch> watch(const Keys& keys, Revision start_revision = 0, CallOptions options = {});

  // ---- coordination
  Operation<Session> open_session(SessionOptions session = {}, CallOptions options = {});
  // One that another process, or another client, opened and left.
  Operation<Session> adopt_session(SessionId id, SessionOptions session = {}, CallOptions options = {});
  Lock lock(std::string name);
  // All of these locks or none, without a deadlock whatever others take in whatever order.
  Operation<std::vector<LockGuard>> acquire_all(std::vector<std::string> names, CallOptions options = {});
  // Only if this resource has seen no larger token: for tokens that come from elsewhere. The store remembers
  // the largest at lockstep/fences/RESOURCE. failed_precondition and no effect otherwise.
  Operation<TxnResult> commit_fenced(std::string resource, std::int64_t token, const Txn& txn,
                                     CallOptions options = {});
  // With so many permits: the first to come says how many, whoever says another number is refused.
  Semaphore semaphore(std::string name, std::int64_t permits);
  Election election(std::string name);
  Barrier barrier(std::string name, std::int64_t parties);
  Latch latch(std::string name);
  Timers timers(std::string queue);
  Topic topic(std::string name);
  Counter counter(std::string name);
  // Empty: a gid is made up, and the same one cannot be asked for again.
  Saga saga(std::string gid = {});
  Tcc tcc(std::string gid = {});
  TransactionalMessage transactional_message(std::string gid, std::string check);
  Transaction transaction(std::string gid);
  Ids ids(std::string name);
  Limiter limiter(std::string name, const LimitRule& rule);
  Idempotency idempotency(std::string key);

 private:
  friend detail::Runtime& detail::runtime_of(const Client& client);
  std::shared_ptr<detail::Runtime> runtime_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
