// The port to other people's HTTP services: participants of transactions, receivers of timers and events.
//
// One request, one answer; no redirects are followed, no cookies are kept, no proxy is used. What may be
// called is the implementation's to decide, by the address that is really connected to.
//
// Errors say whether the request can have been heard:
//   invalid_argument     the URL is none, or has a scheme other than http and https: nothing was sent
//   permission_denied    the address may not be called: nothing was sent
//   unavailable          no connection came about: nothing was sent
//   deadline_exceeded    its turn did not come, for there are too many calls: nothing was sent or tried
//   resource_exhausted   the answer is longer than answer_bytes_max, and not to be cut: it was heard
//   unknown_outcome      anything else, the deadline included: it may have been heard
// A status of any value is an answer, not an error.
//
// Bounded: an implementation holds a stated number of requests, and answers further ones with
// `deadline_exceeded`.
// Strand only.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace lockstep::env {

struct HttpCall {
  std::string method = "POST";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  // From when it is really begun; zero: until the deadline, which it never outlasts.
  Duration time_max{};
  std::size_t answer_bytes_max = 64 * 1024;  // of its body
  bool cut_answer = false;                   // a longer one is cut there: its status is what counts
};

struct HttpReply {
  int status = 0;
  std::string body;
  std::string retry_after;  // the header's value; empty: there was none
};

class HttpClient {
 public:
  virtual ~HttpClient() = default;
  // `done` is called exactly once, on the strand, never from within call(), at the deadline at the latest.
  virtual void call(HttpCall call, TimePoint deadline,
                    std::move_only_function<void(Result<HttpReply>)> done) = 0;
  // What can be said about a URL before it is called: invalid_argument, permission_denied, or ok, which
  // promises nothing.
  [[nodiscard]] virtual Status refusal_of(const std::string& /*url*/) const { return {}; }
};

}  // namespace lockstep::env
