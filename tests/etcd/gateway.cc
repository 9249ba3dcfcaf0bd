#include "gateway.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/src.hpp>

namespace lockstep::etcd_test {
namespace {

namespace http = boost::beast::http;
using boost::asio::ip::tcp;

// Of the header only the revision is compared.
void strip_headers(boost::json::value& value) {
  if (auto* object = value.if_object()) {
    if (auto* header = object->if_contains("header"); header != nullptr && header->is_object()) {
      for (const char* name : {"cluster_id", "member_id", "raft_term"}) header->as_object().erase(name);
    }
    for (auto& member : *object) strip_headers(member.value());
  } else if (auto* array = value.if_array()) {
    for (auto& element : *array) strip_headers(element);
  }
}

}  // namespace

class Gateway::Connection {
 public:
  explicit Connection(std::uint16_t port) : socket_(io_) {
    socket_.connect({boost::asio::ip::address_v4::loopback(), port});
    socket_.set_option(tcp::no_delay(true));
  }
  void send(const std::string& path, std::string body, const std::string& token) {
    http::request<http::string_body> request(http::verb::post, "/v3/" + path, 11);
    request.set(http::field::host, "localhost");
    if (!token.empty()) request.set(http::field::authorization, token);
    request.body() = std::move(body);
    request.prepare_payload();
    http::write(socket_, request);
  }
  std::string receive() {
    http::response<http::string_body> response;
    http::read(socket_, buffer_, response);
    return std::move(response.body());
  }

 private:
  boost::asio::io_context io_;
  tcp::socket socket_;
  boost::beast::flat_buffer buffer_;
};

Gateway::Gateway(std::uint16_t port) : connection_(std::make_unique<Connection>(port)) {}
Gateway::~Gateway() = default;

void Gateway::send(const HttpRequest& request, const std::string& token) {
  connection_->send(request.path, boost::json::serialize(request.body), token);
}

boost::json::value Gateway::receive() {
  boost::json::value parsed = boost::json::parse(connection_->receive());
  strip_headers(parsed);
  return parsed;
}

}  // namespace lockstep::etcd_test
