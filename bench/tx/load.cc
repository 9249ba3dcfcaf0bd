// Load on a coordinator of transactions, and the participants that it calls, in one process: participants
// that do nothing but say yes, and count. So many clients, each with one transaction in flight, over
// connections that stay open. The same program drives every coordinator that takes a transaction as one POST
// and answers at its end.
//
// usage: tx-load URL TEMPLATE PORT CALLS IN_FLIGHT SECONDS
//   URL        where a transaction is posted, http://127.0.0.1:port/path; several, with commas: clients take
//   turns TEMPLATE   a file with the body; {gid} is replaced PORT       where the participants listen CALLS
//   that make a transaction: a transaction counts once so many different ones came for it. A call is named
//              by its path; its transaction by the query's gid or the header Lockstep-Transaction.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "bench/locks/report.h"

namespace lockstep::bench {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::beast::flat_buffer;
using boost::system::error_code;

struct Target {
  tcp::endpoint endpoint;
  std::string host;
  std::string path;
};

struct Load {
  std::vector<Target> targets;
  std::string before;  // of the gid, in the body
  std::string after;
  std::size_t calls = 2;
  std::chrono::seconds duration{};

  std::unordered_map<std::string, std::vector<std::string>> open;  // calls that came, by transaction
  std::uint64_t numbered = 0;
  std::uint64_t completed = 0;  // between the warm-up and the end, by what the participants saw
  std::uint64_t repeated_calls = 0;
  std::uint64_t all_calls = 0;
  std::uint64_t refused = 0;
  SteadyClock::time_point from;
  SteadyClock::time_point to;
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "tx-load: %s\n", what.c_str());
  std::exit(1);
}

std::string transaction_of(const http::request<http::string_body>& request) {
  if (const auto found = request.find("Lockstep-Transaction"); found != request.end())
    return std::string(found->value().data(), found->value().size());
  const std::string target(request.target().data(), request.target().size());
  const std::size_t at = target.find("gid=");
  if (at == std::string::npos) return {};
  return target.substr(at + 4, target.find('&', at) - at - 4);
}

void count(Load& load, const http::request<http::string_body>& request) {
  ++load.all_calls;
  const std::string gid = transaction_of(request);
  const std::string path(request.target().data(),
                         std::min(request.target().size(), request.target().find('?')));
  const auto found = load.open.find(gid);
  if (found == load.open.end()) {
    ++load.repeated_calls;  // of a transaction that was complete already, or is not ours
    return;
  }
  std::vector<std::string>& seen = found->second;
  if (std::ranges::find(seen, path) != seen.end()) {
    ++load.repeated_calls;
    return;
  }
  seen.push_back(path);
  if (seen.size() < load.calls) return;
  load.open.erase(found);
  const auto now = SteadyClock::now();
  if (now >= load.from && now < load.to) ++load.completed;
}

// One connection of a coordinator to the participants.
class Served : public std::enable_shared_from_this<Served> {
 public:
  Served(Load& load, tcp::socket socket) : load_(load), socket_(std::move(socket)) {}
  void read() {
    request_ = {};
    http::async_read(socket_, buffer_, request_, [self = shared_from_this()](error_code error, std::size_t) {
      if (!error) self->answer();
    });
  }

 private:
  void answer() {
    count(load_, request_);
    answer_ = {http::status::ok, request_.version()};
    answer_.set(http::field::content_type, "application/json");
    answer_.body() = "{}";
    answer_.keep_alive(request_.keep_alive());
    answer_.prepare_payload();
    http::async_write(socket_, answer_, [self = shared_from_this()](error_code error, std::size_t) {
      if (!error && self->answer_.keep_alive()) self->read();
    });
  }

  Load& load_;
  tcp::socket socket_;
  flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response<http::string_body> answer_;
};

void accept(Load& load, tcp::acceptor& acceptor) {
  acceptor.async_accept([&load, &acceptor](error_code error, tcp::socket socket) {
    if (!error) {
      error_code ignored;
      std::ignore = socket.set_option(tcp::no_delay(true), ignored);
      std::make_shared<Served>(load, std::move(socket))->read();
    }
    accept(load, acceptor);
  });
}

// One client: posts a transaction, waits for its end, posts the next.
class Client {
 public:
  Client(Load& load, Cycles& cycles, asio::io_context& context, const Target& target)
      : load_(load), cycles_(cycles), target_(target), socket_(context) {}
  void start() {
    error_code error;
    std::ignore = socket_.close(error);
    socket_ = tcp::socket(socket_.get_executor());
    std::ignore = socket_.connect(target_.endpoint, error);
    if (error) fail("cannot connect to the coordinator: " + error.message());
    std::ignore = socket_.set_option(tcp::no_delay(true), error);
    buffer_.clear();
    post();
  }

 private:
  void post() {
    const std::string gid = "bench-" + std::to_string(::getpid()) + "-" + std::to_string(load_.numbered++);
    load_.open[gid];
    begun_ = SteadyClock::now();
    request_ = {http::verb::post, target_.path, 11};
    request_.set(http::field::host, target_.host);
    request_.set(http::field::content_type, "application/json");
    request_.body() = load_.before + gid + load_.after;
    request_.prepare_payload();
    http::async_write(socket_, request_, [this](error_code error, std::size_t) {
      if (error) return failed();
      answer_ = {};
      http::async_read(socket_, buffer_, answer_,
                       [this](error_code broken, std::size_t) { received(broken); });
    });
  }
  void received(error_code error) {
    if (error) return failed();
    if (answer_.result_int() >= 300) {
      if (load_.refused++ == 0)
        std::fprintf(stderr, "tx-load: the coordinator answered %u: %s\n", answer_.result_int(),
                     answer_.body().c_str());
      cycles_.failed();
    } else {
      cycles_.add(begun_);
    }
    if (answer_.keep_alive()) return post();
    start();
  }
  void failed() {
    if (cycles_.over()) return;
    cycles_.failed();
    start();
  }

  Load& load_;
  Cycles& cycles_;
  const Target& target_;
  tcp::socket socket_;
  flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response<http::string_body> answer_;
  SteadyClock::time_point begun_;
};

Target parse_target(std::string_view url) {
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

void read_template(Load& load, const char* path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::size_t at = text.find("{gid}");
  if (at == std::string::npos) fail("the body has no {gid}");
  load.before = text.substr(0, at);
  load.after = text.substr(at + 5);
}

int run(Load& load, int port, std::size_t in_flight) {
  asio::io_context context(1);
  tcp::acceptor acceptor(
      context, tcp::endpoint(asio::ip::address_v4::loopback(), static_cast<asio::ip::port_type>(port)));
  accept(load, acceptor);
  const auto begun = SteadyClock::now();
  load.from = begun + std::chrono::seconds(1);
  load.to = load.from + load.duration;
  Cycles cycles(std::chrono::seconds(1), load.duration);
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < in_flight; ++i) {
    clients.push_back(std::make_unique<Client>(load, cycles, context, load.targets[i % load.targets.size()]));
    clients.back()->start();
  }
  context.run_until(load.to);
  std::fprintf(
      stderr,
      "tx-load: %llu transactions complete at the participants in %lld s, %llu calls, %llu repeated\n",
      static_cast<unsigned long long>(load.completed), static_cast<long long>(load.duration.count()),
      static_cast<unsigned long long>(load.all_calls), static_cast<unsigned long long>(load.repeated_calls));
  std::printf("{\"completed_per_second\": %.1f, \"calls\": %llu, \"repeated_calls\": %llu, \"client\": ",
              static_cast<double>(load.completed) / static_cast<double>(load.duration.count()),
              static_cast<unsigned long long>(load.all_calls),
              static_cast<unsigned long long>(load.repeated_calls));
  cycles.print();
  std::printf("}\n");
  std::fflush(stdout);
  std::_Exit(0);  // what is in flight is nobody's concern any more
}

}  // namespace
}  // namespace lockstep::bench

int main(int argc, char** argv) {
  using namespace lockstep::bench;
  if (argc != 7) {
    std::fprintf(stderr, "usage: tx-load URL[,URL...] TEMPLATE PORT CALLS IN_FLIGHT SECONDS\n");
    return 2;
  }
  Load load;
  for (std::string_view urls = argv[1]; !urls.empty();) {
    const std::size_t comma = std::min(urls.find(','), urls.size());
    load.targets.push_back(parse_target(urls.substr(0, comma)));
    urls.remove_prefix(std::min(comma + 1, urls.size()));
  }
  read_template(load, argv[2]);
  load.calls = static_cast<std::size_t>(std::atoi(argv[4]));
  load.duration = std::chrono::seconds(std::atoi(argv[6]));
  return run(load, std::atoi(argv[3]), static_cast<std::size_t>(std::atoi(argv[5])));
}
