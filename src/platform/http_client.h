// The port to other people's HTTP services on libcurl: HTTP/1.1, connections kept and used again.
//
// No redirects, proxies, cookies, credentials in URLs, compression or signals; http and https only, with
// certificates verified. Names are resolved beside the strand.
//
// Invariants: 1. `done` is called exactly once, at the deadline at the latest, or by the destructor with an
// error; 2. no connection is made to an address that the policy refuses, whatever the name resolved to;
// 3. bounded: calls under way, under way to one destination, and waiting, by number and by bytes; an answer
// by its call's answer_bytes_max and its head by a limit; what is too much is answered `unavailable` at once;
// 4. one slow destination has at most its share of what is under way: the others go on.
// libcurl sends a request once more by itself if a connection that was kept turns out to be closed without a
// byte of an answer: a receiver may hear one twice, as after any unknown outcome.
// Strand only, like its executor, which outlives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "env/http_client.h"
#include "platform/call_policy.h"
#include "platform/executor.h"

namespace lockstep::platform {

struct HttpClientOptions {
  CallPolicy policy;
  std::string ca_file;  // PEM; empty: whom the system trusts
  Duration connect_timeout = 5s;
  std::size_t in_flight_max = 512;
  std::size_t in_flight_per_destination_max = 128;
  std::size_t waiting_max = 8192;
  std::size_t request_bytes_max = std::size_t{64} << 20;  // of all calls together
};

struct HttpClientMetrics {
  std::uint64_t calls = 0;
  std::uint64_t answered = 0;  // with any status
  std::uint64_t failed = 0;
  std::uint64_t refused = 0;      // by the policy
  std::uint64_t turned_away = 0;  // by a bound
  std::uint64_t connections = 0;  // made
  std::size_t in_flight = 0;
  std::size_t waiting = 0;
};

class CurlHttpClient final : public env::HttpClient {
 public:
  // Errors: invalid_argument names what is wrong with the CA file.
  static Result<std::unique_ptr<CurlHttpClient>> create(AsioExecutor& executor, HttpClientOptions options);
  ~CurlHttpClient() override;
  CurlHttpClient(const CurlHttpClient&) = delete;
  CurlHttpClient& operator=(const CurlHttpClient&) = delete;

  void call(env::HttpCall call, TimePoint deadline,
            std::move_only_function<void(Result<env::HttpReply>)> done) override;
  [[nodiscard]] Status refusal_of(const std::string& url) const override;
  [[nodiscard]] const HttpClientMetrics& metrics() const;

 private:
  class Core;
  explicit CurlHttpClient(std::shared_ptr<Core> core);
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::platform
