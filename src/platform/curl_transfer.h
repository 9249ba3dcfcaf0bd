// One request and its answer on a libcurl handle, which is used again. Internal to http_client.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include <curl/curl.h>

#include "env/http_client.h"
#include "platform/call_policy.h"
#include "platform/curl_multi.h"
#include "platform/http_client.h"

namespace lockstep::platform {

// What libcurl's own parser makes of a URL.
struct CallTarget {
  std::string destination;  // "https://host:443"
  std::string host;         // without brackets
};
Result<CallTarget> parse_call_url(const std::string& url);
// A method, header names and values that stay what they are on the wire.
Status check_call(const env::HttpCall& call);

class CurlTransfer {
 public:
  // Both outlive it.
  CurlTransfer(CurlMulti& multi, const HttpClientOptions& options);
  ~CurlTransfer();
  CurlTransfer(const CurlTransfer&) = delete;
  CurlTransfer& operator=(const CurlTransfer&) = delete;

  [[nodiscard]] CURL* easy() const { return easy_; }
  // `call` stays until finish() or give_up(), and is what check_call() and parse_call_url() let through.
  void begin(const env::HttpCall& call, const std::string& host, void* owner);
  Result<env::HttpReply> finish(CURLcode code);
  Status give_up();
  [[nodiscard]] static void* owner_of(CURL* easy);
  // Connections that it made, since it began.
  [[nodiscard]] long connections_made() const;

 private:
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  static curl_socket_t on_open(void* self, curlsocktype purpose, curl_sockaddr* address);
  void configure(const HttpClientOptions& options);
  void set_method();
  void set_headers();
  [[nodiscard]] bool sent_something() const;
  void end();

  CurlMulti& multi_;
  const CallPolicy& policy_;
  CURL* easy_;
  curl_slist* headers_ = nullptr;
  std::array<char, CURL_ERROR_SIZE> error_{};
  const env::HttpCall* call_ = nullptr;
  std::string host_;
  env::HttpReply reply_;
  std::size_t head_bytes_ = 0;
  bool answer_too_long_ = false;
  bool answer_cut_ = false;
  bool head_too_long_ = false;
  bool tried_to_connect_ = false;
  Status refused_;
};

}  // namespace lockstep::platform
