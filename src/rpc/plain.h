// Requests on HTTP/2 connections that are no gRPC: whoever serves HTTP on the same port takes them whole.
//
// A request is plain if its path is no gRPC method and its content is not gRPC's. It keeps to the server's
// bounds (streams, headers, bytes that are being received, answers unread). Strand only; handlers are never
// called inside an answer's methods.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rpc/http2.h"

namespace lockstep::rpc {

struct PlainRequest {
  std::string method;
  std::string target;                                       // as it came
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case; the authority as "host"
  std::string body;
  std::string remote_address;
  std::string peer_common_name;
  // With which status it must be answered, because it broke a bound; zero: as the handler sees fit.
  int refused = 0;
};

// Shared with the handler: when the client is gone, or the answer complete, every method does nothing.
class PlainAnswer {
 public:
  virtual ~PlainAnswer() = default;
  // The head, once; names in lower case, at most 30. Without a body the answer is complete.
  virtual void begin(int status, std::span<const Http2Header> fields, bool has_body) = 0;
  // Queues a piece of the body. Who sends more than a little looks at unsent_bytes() and waits (I11).
  virtual void send(std::string_view bytes) = 0;
  virtual void finish() = 0;
  [[nodiscard]] virtual std::size_t unsent_bytes() const = 0;
  // Calls `ready` once, soon after unsent_bytes() fell below `bytes`; never when the answer ended before.
  virtual void notify_when_unsent_below(std::size_t bytes, std::move_only_function<void()> ready) = 0;
  // Stopped when the client cancelled or is gone, or the server closes.
  [[nodiscard]] virtual std::stop_token cancellation() = 0;
  [[nodiscard]] virtual bool ended() const = 0;
};

// The request may be moved from.
using PlainHandler = std::function<void(const std::shared_ptr<PlainAnswer>& answer, PlainRequest& request)>;

}  // namespace lockstep::rpc
