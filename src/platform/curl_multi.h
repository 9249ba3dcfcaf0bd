// libcurl's multi interface on the strand. Internal to http_client.
//
// libcurl's sockets are watched by an epoll descriptor of their own, of which the strand's loop sees one: all
// that is ready is taken by one system call, and a connection that is used again needs none.
//
// Invariants: 1. `finished` is called outside of libcurl, as the last thing done here, so it may do anything,
// destroying this included; 2. a socket that libcurl has closed is watched no more.
// Strand only. The transfers added are removed before this is destroyed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <curl/curl.h>

#include "platform/executor.h"

namespace lockstep::platform {

class CurlMulti {
 public:
  // Handles and how they ended.
  using Finished = std::move_only_function<void(std::vector<std::pair<CURL*, CURLcode>>)>;
  CurlMulti(AsioExecutor& executor, long connections_kept_max, Finished finished);
  ~CurlMulti();
  CurlMulti(const CurlMulti&) = delete;
  CurlMulti& operator=(const CurlMulti&) = delete;

  // It begins with the next run().
  void add(CURL* easy);
  // A transfer under way is given up and its connection closed.
  void remove(CURL* easy);
  // Goes on with whatever can. Not from within a callback of libcurl.
  void run();

  // For CURLOPT_OPENSOCKETFUNCTION: a socket that close_socket() will close.
  void opened(curl_socket_t socket);
  // For CURLOPT_CLOSESOCKETFUNCTION; `self` is a CurlMulti.
  static int close_socket(void* self, curl_socket_t socket);

 private:
  struct Descriptor;  // what needs Asio's headers
  struct Watch {
    bool ours = false;             // its closing is told us
    std::uint32_t registered = 0;  // with epoll
    std::uint32_t wanted = 0;      // by libcurl
  };

  static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void* unused);
  static int on_timer(CURLM* multi, long timeout_ms, void* self);
  Watch& watch_of(curl_socket_t socket);
  void want(curl_socket_t socket, std::uint32_t events);
  void wait();
  void on_ready();
  void act(curl_socket_t socket, int events);
  void reap();

  AsioExecutor& executor_;
  Finished finished_;
  CURLM* multi_;
  std::unique_ptr<Descriptor> epoll_;
  std::vector<Watch> watches_;  // by socket
  env::TimerId timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace lockstep::platform
