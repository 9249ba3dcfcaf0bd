// The Idempotency-Key header for handlers of any HTTP framework: a request that is sent again is not handled
// again and gets the first one's answer.
//
//   HttpIdempotency middleware(client);
//   HttpAnswer answer = middleware.handle(request, [&](const HttpRequest& asked) { … return HttpAnswer(201,
//   body); });
//
// A request with a key:
//   the first               is handled; its answer is stored, if its status is below 500
//   again, when done        gets the stored answer, with the header Idempotent-Replayed: true
//   again, while handled    409 with Retry-After
//   the key for other work  422 (another method, target or body)
//   store not reachable     503 with Retry-After: nothing was handled
// A request without one is handled as it is, unless required().
//
// What can go wrong: a handler that throws, or answers 500 and above, is forgotten, and the next request is
// handled anew: it must not have had an effect. A handler that takes longer than in_progress_time() may run
// twice.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/abi.h"
#include "lockstep/client.h"
#include "lockstep/idempotency.h"
#include "lockstep/task.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

// What the middleware needs of a request; the framework's own goes to the handler by capture.
class HttpRequest {
 public:
  HttpRequest(std::string method, std::string target, std::string body)
      : method_(std::move(method)), target_(std::move(target)), body_(std::move(body)) {}
  // The value of the header Idempotency-Key; empty: there is none.
  HttpRequest& idempotency_key(std::string key) {
    key_ = std::move(key);
    return *this;
  }
  // Keys of different callers do not meet: an account, a tenant.
  HttpRequest& caller(std::string caller) {
    caller_ = std::move(caller);
    return *this;
  }
  [[nodiscard]] const std::string& method() const { return method_; }
  [[nodiscard]] const std::string& target() const { return target_; }
  [[nodiscard]] const std::string& body() const { return body_; }
  [[nodiscard]] const std::string& idempotency_key() const { return key_; }
  [[nodiscard]] const std::string& caller() const { return caller_; }

 private:
  std::string method_;
  std::string target_;
  std::string body_;
  std::string key_;
  std::string caller_;
};

class HttpAnswer {
 public:
  using Header = std::pair<std::string, std::string>;

  explicit HttpAnswer(int status, std::string body = {}, std::string content_type = "application/json")
      : status_(status), body_(std::move(body)), content_type_(std::move(content_type)) {}
  HttpAnswer& header(std::string name, std::string value) {
    headers_.emplace_back(std::move(name), std::move(value));
    return *this;
  }
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] const std::string& body() const { return body_; }
  [[nodiscard]] const std::string& content_type() const { return content_type_; }
  // Besides the content type. They are not stored.
  [[nodiscard]] const std::vector<Header>& headers() const { return headers_; }

 private:
  int status_;
  std::string body_;
  std::string content_type_;
  std::vector<Header> headers_;
};

// Threads: any number of requests at once. The client outlives it.
class HttpIdempotency {
 public:
  // `prefix`: of the keys, so that two services do not meet.
  explicit HttpIdempotency(Client& client, std::string prefix = "http")
      : client_(&client), prefix_(std::move(prefix)) {}
  // How long answers are kept. A day.
  HttpIdempotency& keep(std::chrono::nanoseconds time) {
    keep_ = time;
    return *this;
  }
  HttpIdempotency& in_progress_time(std::chrono::nanoseconds time) {
    in_progress_time_ = time;
    return *this;
  }
  // A request without a key is answered 400.
  HttpIdempotency& required() {
    required_ = true;
    return *this;
  }

  // `handler`: HttpAnswer(const HttpRequest&).
  template <class Handler>
  HttpAnswer handle(const HttpRequest& request, Handler handler) const {
    if (std::optional<HttpAnswer> refused = refuse(request)) return *std::move(refused);
    if (request.idempotency_key().empty()) return handler(request);
    Outcome<Begun> begun = begin(request).wait();
    if (std::optional<HttpAnswer> known = known_answer(begun)) return *std::move(known);
    HttpAnswer answer = handler(request);  // an exception abandons
    if (is_stored(answer)) (void)begun->complete(encode(answer), keep_).wait();
    return answer;
  }

  // The same for coroutines; `handler`: Task<HttpAnswer>(HttpRequest).
  template <class Handler>
  Task<HttpAnswer> handle_async(HttpRequest request, Handler handler) const {
    if (std::optional<HttpAnswer> refused = refuse(request)) co_return *std::move(refused);
    if (request.idempotency_key().empty()) {
      Task<HttpAnswer> unkeyed = handler(request);
      co_return co_await std::move(unkeyed);
    }
    Outcome<Begun> begun = co_await begin(request);
    if (std::optional<HttpAnswer> known = known_answer(begun)) co_return *std::move(known);
    Task<HttpAnswer> handling = handler(request);
    HttpAnswer answer = co_await std::move(handling);
    if (is_stored(answer)) {
      std::string stored = encode(answer);
      (void)co_await begun->complete(std::move(stored), keep_);
    }
    co_return answer;
  }

 private:
  // What is answered without asking the store.
  [[nodiscard]] std::optional<HttpAnswer> refuse(const HttpRequest& request) const;
  [[nodiscard]] Operation<Begun> begin(const HttpRequest& request) const;
  // Nothing: this is the first.
  static std::optional<HttpAnswer> known_answer(const Outcome<Begun>& begun);
  static bool is_stored(const HttpAnswer& answer) { return answer.status() < 500; }
  static std::string encode(const HttpAnswer& answer);

  Client* client_;
  std::string prefix_;
  std::chrono::nanoseconds keep_ = std::chrono::hours(24);
  std::chrono::nanoseconds in_progress_time_ = std::chrono::seconds(60);
  bool required_ = false;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
