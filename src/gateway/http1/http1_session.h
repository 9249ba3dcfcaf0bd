// One HTTP/1.1 connection as a pure machine: bytes in, bytes out, handlers called. Internal to gateway/http1.
//
// Invariants: 1. one request at a time: what a client pipelines waits as bytes, boundedly, and so do answers
// that it does not take; 2. answers leave in the order of the requests; 3. what breaks the protocol is
// answered once, precisely, and closes; 4. handlers run only inside receive() and advance(), never inside
// what they call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/time.h"
#include "env/executor.h"
#include "gateway/http1/http_server.h"
#include "gateway/http1/parser.h"
#include "rpc/plain.h"

namespace lockstep::gateway {

struct HttpShared {
  HttpServerOptions options;
  HttpRouter router;
  HttpMetrics metrics;
};

// A request of an HTTP/2 connection.
void serve_http2(HttpShared& shared, const std::shared_ptr<rpc::PlainAnswer>& answer,
                 rpc::PlainRequest& plain);

class Http1Host {
 public:
  virtual ~Http1Host() = default;
  // produce() has something, at the latest at the end of this turn.
  virtual void on_output() = 0;
  // Calls advance() soon, unless the session is gone by then.
  virtual void advance_soon() = 0;
  virtual env::Executor& executor() = 0;
};

class Http1Session;

// One request's answer. Shared with its handler.
class Http1Exchange final : public HttpResponder, public std::enable_shared_from_this<Http1Exchange> {
 public:
  Http1Exchange(Http1Session& session, bool head_only) : session_(&session), head_only_(head_only) {}
  void respond(const HttpResponse& response) override;
  void begin(const HttpResponse& head) override;
  void send(std::string_view piece) override;
  void finish() override;
  [[nodiscard]] std::size_t unsent_bytes() const override;
  void notify_when_unsent_below(std::size_t bytes, std::move_only_function<void()> ready) override;
  [[nodiscard]] std::stop_token cancellation() override;
  [[nodiscard]] bool ended() const override { return session_ == nullptr; }

  // The answer is complete, or the client is gone.
  void detach(bool cancelled);
  void on_unsent(std::size_t bytes, env::Executor& executor);
  [[nodiscard]] bool answered() const { return answered_; }

 private:
  void end_at_head();

  Http1Session* session_;  // null: ended
  bool head_only_;
  bool answered_ = false;  // the head was written
  std::optional<std::stop_source> stop_;
  std::size_t notify_below_ = 0;
  std::move_only_function<void()> notify_;
};

class Http1Session {
 public:
  Http1Session(HttpShared& shared, Http1Host& host, TimePoint now, std::string remote_address,
               std::string peer_common_name);
  ~Http1Session();
  Http1Session(const Http1Session&) = delete;
  Http1Session& operator=(const Http1Session&) = delete;

  void receive(std::string_view bytes, TimePoint now);
  // So much waits unread that reading on would only collect more.
  [[nodiscard]] bool wants_read() const;
  void produce(std::string& out, std::size_t bytes);
  [[nodiscard]] bool wants_write() const { return unsent_bytes() != 0; }
  [[nodiscard]] std::size_t unsent_bytes() const { return output_.size() - output_taken_; }
  // Everything was said: write it out, then close.
  [[nodiscard]] bool finished() const { return closing_ && unsent_bytes() == 0; }
  // Works on what was received and could not be worked on: posted by advance_soon(), or output was taken.
  void advance();
  [[nodiscard]] bool advance_posted() const { return advance_posted_; }
  void on_tick(TimePoint now);
  // For so long so much was pipelined behind a request that nothing more is read, so that nobody would see
  // the client go.
  [[nodiscard]] bool deaf_too_long() const {
    return full_since_.has_value() && now_ - *full_since_ >= shared_.options.stall_timeout;
  }
  env::Executor& executor() { return host_.executor(); }
  // After the running answer nothing more is served.
  void drain();
  // The client is gone.
  void close();

  // Of the exchange.
  void write_head(const HttpResponse& response, std::optional<std::size_t> body_bytes);
  void write_piece(std::string_view piece);
  void write_end();
  void write_raw(std::string_view bytes);
  void on_answered();
  void on_notify_wanted();

 private:
  void work();
  bool parse();
  void drop_input();
  void count_input();
  [[nodiscard]] std::size_t input_left() const { return input_.size() - input_taken_; }
  [[nodiscard]] bool may_serve() const;
  void advance_later();
  void refuse(int status, std::string_view why);
  void serve();

  HttpShared& shared_;
  Http1Host& host_;
  std::string remote_address_;
  std::string peer_common_name_;
  TimePoint now_;
  TimePoint request_began_;
  std::string input_;
  std::size_t input_taken_ = 0;  // of input_, from its front
  std::size_t input_counted_ = 0;
  std::string output_;
  std::size_t output_taken_ = 0;  // of output_, from its front
  std::unique_ptr<Http1Parser> parser_;
  std::shared_ptr<Http1Exchange> exchange_;
  std::optional<TimePoint> full_since_;
  bool keep_alive_ = true;
  bool http_1_0_ = false;
  bool chunked_ = false;      // the answer being written
  bool until_close_ = false;  // it ends with the connection
  bool continued_ = false;    // "100 Continue" was sent for this request
  bool working_ = false;
  bool advance_posted_ = false;
  bool held_back_ = false;  // input waits until answers were written
  bool closing_ = false;
};

}  // namespace lockstep::gateway
