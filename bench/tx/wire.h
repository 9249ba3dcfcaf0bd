// What the load programs on coordinators share: where to post, what to post, and participants that are
// called.
//
// One thread: the io_context's. An error ends the program.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace lockstep::bench {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::beast::flat_buffer;
using boost::system::error_code;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "tx bench: %s\n", what.c_str());
  std::_Exit(1);
}

// Where transactions are posted.
struct Target {
  tcp::endpoint endpoint;
  std::string host;
  std::string path;
};

inline Target parse_target(std::string_view url) {
  constexpr std::string_view scheme = "http://";
  if (!url.starts_with(scheme)) fail("an URL begins with http://");
  url.remove_prefix(scheme.size());
  const std::size_t slash = std::min(url.find('/'), url.size());
  const std::string host(url.substr(0, slash));
  const std::size_t colon = host.rfind(':');
  if (colon == std::string::npos) fail("an URL names its port");
  return {tcp::endpoint(asio::ip::make_address(host.substr(0, colon)),
                        static_cast<asio::ip::port_type>(std::atoi(host.c_str() + colon + 1))),
          host, std::string(url.substr(slash))};
}

// The body of a transaction, but for its gid.
struct Body {
  std::string before;
  std::string after;
};

inline Body read_body(const char* path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  constexpr std::string_view gid = "{gid}";
  const std::size_t at = text.find(gid);
  if (at == std::string::npos) fail("the body has no {gid}");
  return {text.substr(0, at), text.substr(at + gid.size())};
}

inline Request post_of(const Target& target, const Body& body, const std::string& gid) {
  Request request(http::verb::post, target.path, 11);
  request.set(http::field::host, target.host);
  request.set(http::field::content_type, "application/json");
  request.body() = body.before + gid + body.after;
  request.prepare_payload();
  return request;
}

inline void connect(tcp::socket& socket, const Target& target) {
  error_code error;
  std::ignore = socket.close(error);
  socket = tcp::socket(socket.get_executor());
  std::ignore = socket.connect(target.endpoint, error);
  if (error) fail("cannot connect to the coordinator: " + error.message());
  std::ignore = socket.set_option(tcp::no_delay(true), error);
}

// Answers a call; false: never, until the caller has gone.
using Participant = std::function<bool(const Request& call, Response& answer)>;

// One connection of a coordinator to the participants.
class Served : public std::enable_shared_from_this<Served> {
 public:
  Served(const Participant& participant, tcp::socket socket)
      : participant_(participant), socket_(std::move(socket)) {}
  void read() {
    request_ = {};
    http::async_read(socket_, buffer_, request_, [self = shared_from_this()](error_code error, std::size_t) {
      if (!error) self->answer();
    });
  }

 private:
  void answer() {
    answer_ = {http::status::ok, request_.version()};
    if (!participant_(request_, answer_)) {
      return socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](error_code) {});
    }
    answer_.keep_alive(request_.keep_alive());
    answer_.prepare_payload();
    http::async_write(socket_, answer_, [self = shared_from_this()](error_code error, std::size_t) {
      if (!error && self->answer_.keep_alive()) self->read();
    });
  }

  const Participant& participant_;
  tcp::socket socket_;
  flat_buffer buffer_;
  Request request_;
  Response answer_;
};

// `participant` and `acceptor` outlive the io_context's run.
inline void serve(const Participant& participant, tcp::acceptor& acceptor) {
  acceptor.async_accept([&participant, &acceptor](error_code error, tcp::socket socket) {
    if (!error) {
      error_code ignored;
      std::ignore = socket.set_option(tcp::no_delay(true), ignored);
      std::make_shared<Served>(participant, std::move(socket))->read();
    }
    serve(participant, acceptor);
  });
}

inline tcp::acceptor listen_at(asio::io_context& context, int port) {
  return {context, tcp::endpoint(asio::ip::address_v4::loopback(), static_cast<asio::ip::port_type>(port))};
}

}  // namespace lockstep::bench
