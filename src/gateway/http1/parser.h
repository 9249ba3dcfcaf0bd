// One HTTP/1.1 request from bytes, refusing everything that two parsers could read differently.
//
// Wraps Boost.Beast's parser and is stricter: no bare CR or LF, no folded lines, one length, "chunked" or
// nothing. Memory is bounded by the limits before a length is trusted (I11). Pure: no I/O, no clock.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/http.h"

namespace lockstep::gateway {

struct Http1Limits {
  std::size_t target_bytes_max = 8 * 1024;
  std::size_t head_bytes_max = 16 * 1024;
  std::size_t fields_max = 100;
  std::size_t body_bytes_max = 4 * 1024 * 1024;
};

class Http1Parser {
 public:
  explicit Http1Parser(const Http1Limits& limits);
  ~Http1Parser();
  Http1Parser(const Http1Parser&) = delete;
  Http1Parser& operator=(const Http1Parser&) = delete;

  // Takes what it can from the front of `bytes`; the caller keeps the rest and comes again with more behind
  // it. Returns how many bytes it took. Nothing more is taken once complete() or failed().
  std::size_t put(std::string_view bytes);
  [[nodiscard]] bool head_done() const { return head_done_; }
  [[nodiscard]] bool complete() const { return complete_; }
  // The HTTP status to answer with before closing; zero: none so far.
  [[nodiscard]] int error() const { return error_; }
  [[nodiscard]] std::string_view why() const { return why_; }
  // Something of a request arrived.
  [[nodiscard]] bool begun() const { return begun_; }

  // Of the body that has begun.
  [[nodiscard]] std::size_t body_bytes() const;

  // After head_done().
  [[nodiscard]] const HttpRequest& request() const { return request_; }
  [[nodiscard]] bool keep_alive() const { return keep_alive_; }
  [[nodiscard]] bool http_1_0() const { return http_1_0_; }
  [[nodiscard]] bool expects_continue() const { return expects_continue_; }
  // After complete().
  HttpRequest take();

 private:
  struct Beast;
  std::size_t fail(int status, std::string_view why);
  std::size_t put_head(std::string_view bytes);
  std::size_t put_body(std::string_view bytes);
  void check_head_limits(std::string_view bytes);
  [[nodiscard]] bool check_raw_head(std::string_view head);
  [[nodiscard]] bool check_fields();
  [[nodiscard]] bool check_lengths();

  Http1Limits limits_;
  std::unique_ptr<Beast> beast_;
  HttpRequest request_;
  std::string_view why_;
  int error_ = 0;
  int empty_lines_ = 0;  // before the request
  bool begun_ = false;
  bool head_done_ = false;
  bool complete_ = false;
  bool keep_alive_ = false;
  bool http_1_0_ = false;
  bool expects_continue_ = false;
};

}  // namespace lockstep::gateway
