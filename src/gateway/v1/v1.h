// /v1: coordination as HTTP and JSON, for any language and for curl.
//
//   POST /v1/locks/acquire {"name":"orders","ttl_ms":10000,"wait_ms":5000}
//   ->   {"name":"orders","token":17,"session":"6f1d…","key":"orders/6f1d…","expires_in_ms":10000}
//
//   1. A request is exactly what its route's table says, or is refused with the place and has no effect.
//   2. Who asks is decided as for etcd's protocol: Authorization, else the certificate's name; what that
//   principal may do is judged by the store alone (I12).
//   3. Every answer carries X-Request-Id: the client's, else one of ours. Every error is a problem
//   (problem.h).
//   4. A client that goes away, or a server that closes, cancels what waits for it.
//   5. A mutation with an Idempotency-Key takes effect once at most in the day after it; repeating it brings
//   the first answer again, or that its outcome is unknown: effect and answer are two writes, and whoever
//   dies between them leaves no answer. The client hears its answer when it is kept; if the store keeps
//   nothing for as long as a request may take, it hears it before. What can be done twice without harm
//   (Route::repeatable) is done again instead. Counters write both in one transaction (Route::keeps_answer):
//   of them, repeating always brings the one answer. Keys are each user's own (stored_answers.h).
//   6. The document at /v1/openapi.json is made from the routes that serve.
//
// Strand: the core's. What it is given outlives it, but for the store's callbacks: destroy the HTTP servers
// first, then the store (its pending callbacks die with it), then this.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/task_scope.h"
#include "base/time.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/random.h"
#include "gateway/http.h"
#include "gateway/v1/idempotency.h"
#include "gateway/v1/route.h"
#include "store/security.h"
#include "store/store.h"

namespace lockstep::gateway::v1 {

struct Options {
  Duration request_timeout = 7s;   // of a call, beside what it asks to wait
  Duration event_interval = 15s;   // a stream without events says that it lives
  std::function<Status()> admits;  // an error: this server serves nobody now. Empty: it does
};

class V1 {
 public:
  V1(store::Security& security, env::Executor& executor, env::Clock& clock, env::Random& random,
     Options options);
  ~V1();
  V1(const V1&) = delete;
  V1& operator=(const V1&) = delete;

  // Before register_with().
  void add(Routes routes);
  void set_idempotency(std::unique_ptr<Idempotency> idempotency) { idempotency_ = std::move(idempotency); }
  // The routes and the document of them. The object outlives the router's handlers.
  void register_with(HttpRouter& router);

  // Ends what waits, with "unavailable", and streams; refuses what comes. `done` is called once, later, when
  // no call is left (what they took back is taken back by then), at `deadline` regardless.
  void drain(TimePoint deadline, env::Closure done);

  [[nodiscard]] const Routes& routes() const { return routes_; }
  [[nodiscard]] const std::string& document() const { return document_; }
  [[nodiscard]] std::size_t calls_open() const { return scope_.size(); }

 private:
  class Sink;

  void serve(const Route& route, const HttpResponderPtr& responder, HttpRequest& request);
  Result<store::CallOptions> admit(const HttpRequest& request);
  Task<Outcome> handle(const Route* route, Call call);
  Task<void> run(const Route& route, HttpResponderPtr responder, Call call, std::string request_id);
  Task<void> run_once(const Route& route, HttpResponderPtr responder, Call call, std::string request_id,
                      IdempotentRequest once);
  Task<void> run_stream(const Route& route, HttpResponderPtr responder, Call call, std::string request_id);
  void start(Task<void> task);
  Task<void> counted(Task<void> task);
  void check_drained();
  std::string request_id_of(const HttpRequest& request);
  [[nodiscard]] std::string user_of(store::Principal principal, const std::string& certificate_name) const;

  store::Security& security_;
  env::Executor& executor_;
  env::Clock& clock_;
  env::Random& random_;
  Options options_;
  Routes routes_;
  std::string document_;
  std::unique_ptr<Idempotency> idempotency_;
  std::stop_source closing_;
  env::Closure drained_;
  env::TimerId drain_timer_;
  TaskScope scope_;
};

}  // namespace lockstep::gateway::v1
