// HTTP as its handlers see it: a whole request, and a responder that answers at once or streams.
//
// Strand only. A responder is shared by its connection and its handler: after the client went away, or the
// answer is complete, every method is still safe and does nothing.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::gateway {

struct HttpField {
  std::string name;  // lower case in requests
  std::string value;
};

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // percent-decoded once; has neither "." nor ".." segments, nor control bytes
  std::string query;   // after '?', as it came
  std::vector<HttpField> fields;
  std::string body;
  std::string remote_address;    // of the connection, whatever headers claim
  std::string peer_common_name;  // of the client's certificate; empty without one

  // The first value of a field.
  [[nodiscard]] std::optional<std::string_view> field(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";  // empty: none
  std::string body;
  std::vector<HttpField> fields;
};

class HttpResponder {
 public:
  virtual ~HttpResponder() = default;
  // The whole answer.
  virtual void respond(const HttpResponse& response) = 0;
  // Or piece by piece: the head (its body, if any, is the first piece), pieces, the end.
  virtual void begin(const HttpResponse& head) = 0;
  virtual void send(std::string_view piece) = 0;
  virtual void finish() = 0;
  // Of what was sent and not yet taken by the connection. Who streams looks at it and waits (I11).
  [[nodiscard]] virtual std::size_t unsent_bytes() const = 0;
  // Calls `ready` once, soon after unsent_bytes() fell below `bytes`; never when the answer ended before.
  virtual void notify_when_unsent_below(std::size_t bytes, std::move_only_function<void()> ready) = 0;
  // Stopped when the client is gone or the server closes.
  [[nodiscard]] virtual std::stop_token cancellation() = 0;
  [[nodiscard]] virtual bool ended() const = 0;
};

using HttpResponderPtr = std::shared_ptr<HttpResponder>;
// The request is valid during the call; move out of it what is needed longer.
using HttpHandler = std::function<void(const HttpResponderPtr& responder, HttpRequest& request)>;

// Which handler serves what. Registering the same twice is a programmer's error.
class HttpRouter {
 public:
  // Requests for exactly this path. HEAD is served by GET's handler.
  void exact(std::string_view method, std::string_view path, HttpHandler handler);
  // Requests for paths that begin with this; the longest wins, exact ones before it.
  void prefix(std::string_view method, std::string_view path, HttpHandler handler);

  struct Found {
    const HttpHandler* handler = nullptr;  // null: nothing serves it
    std::string allow;                     // the methods that would be, if the method alone is wrong
  };
  [[nodiscard]] Found find(std::string_view method, std::string_view path) const;

  // What HTTP itself refuses under a path (wrong method, no such path, …) is answered in these words.
  using Refusal = HttpResponse (*)(int status, std::string_view why);
  void set_refusals(std::string_view path, Refusal refusal);
  [[nodiscard]] HttpResponse refuse(std::string_view path, int status, std::string_view why) const;

 private:
  struct Route {
    std::string path;
    std::vector<std::pair<std::string, HttpHandler>> methods;
  };
  static void add(Route& route, std::string_view method, HttpHandler handler);

  std::map<std::string, Route, std::less<>> exact_;
  std::vector<Route> prefixes_;
  std::vector<std::pair<std::string, Refusal>> refusals_;
};

// {"error":"…","code":…,"message":"…"}: the body of every error that HTTP itself answers, as etcd's gateway
// writes it.
HttpResponse http_error(int status, std::string_view message);
std::string_view http_reason(int status);

}  // namespace lockstep::gateway
