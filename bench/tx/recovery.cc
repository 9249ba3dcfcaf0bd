// Many unfinished transactions, and the participants that they call: what a coordinator does when it comes
// back.
//
// usage: tx-recovery URL TEMPLATE PORT COUNT IN_FLIGHT later|silent
//
// Submits COUNT transactions. The participants answer 425 with a Retry-After of an hour ("later"), or not at
// all
// ("silent"), so none of them ends. Then it obeys lines on standard input and answers each with one line of
// JSON:
//
//   submitted   when all are: {"submitted": COUNT, "seconds": …}
//   forget      from now on calls count anew, and are answered 425 with a Retry-After of an hour
//   report      {"called": distinct transactions, "calls": …, "at": {"first": …, "half": …, "all": …}}; times
//   by
//               the system's monotonic clock, in seconds; "all" is of the last one
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace lockstep::bench {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::beast::flat_buffer;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr unsigned status_again = 425;  // which Boost's header has no name for

struct Recovery {
  tcp::endpoint coordinator;
  std::string host;
  std::string path;
  std::string before;  // of the gid, in the body
  std::string after;
  std::size_t count = 0;
  bool silent = false;
  std::size_t begun = 0;
  std::size_t submitted = 0;
  Clock::time_point started;
  double submit_seconds = 0;
  bool wants_submitted = false;

  std::unordered_set<std::string> called;
  std::vector<Clock::time_point> at;  // when each was called first
  std::size_t calls = 0;
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "tx-recovery: %s\n", what.c_str());
  std::_Exit(1);
}

double seconds_of(Clock::time_point when) {
  return std::chrono::duration<double>(when.time_since_epoch()).count();
}

void say_submitted(Recovery& all) {
  if (!all.wants_submitted || all.submitted < all.count) return;
  all.wants_submitted = false;
  std::printf("{\"submitted\": %zu, \"seconds\": %.3f}\n", all.submitted, all.submit_seconds);
  std::fflush(stdout);
}

void report(const Recovery& all) {
  const auto part = [&](std::size_t index) { return all.at.empty() ? 0 : seconds_of(all.at[index]); };
  std::printf("{\"called\": %zu, \"calls\": %zu, \"at\": {\"first\": %.3f, \"half\": %.3f, \"all\": %.3f}}\n",
              all.at.size(), all.calls, part(0), part(all.at.size() / 2),
              part(all.at.empty() ? 0 : all.at.size() - 1));
  std::fflush(stdout);
}

// One connection of the coordinator to the participants.
class Served : public std::enable_shared_from_this<Served> {
 public:
  Served(Recovery& all, tcp::socket socket) : all_(all), socket_(std::move(socket)) {}
  void read() {
    request_ = {};
    http::async_read(socket_, buffer_, request_, [self = shared_from_this()](error_code error, std::size_t) {
      if (!error) self->answer();
    });
  }

 private:
  void answer() {
    ++all_.calls;
    const auto gid = request_["Lockstep-Transaction"];
    if (all_.called.emplace(gid.data(), gid.size()).second) all_.at.push_back(Clock::now());
    // Until the coordinator is gone: then the connection ends.
    if (all_.silent) return keep_silent();
    answer_ = {};
    answer_.version(request_.version());
    answer_.result(status_again);
    answer_.set(http::field::retry_after, "3600");
    answer_.keep_alive(request_.keep_alive());
    answer_.prepare_payload();
    http::async_write(socket_, answer_, [self = shared_from_this()](error_code error, std::size_t) {
      if (!error && self->answer_.keep_alive()) self->read();
    });
  }
  void keep_silent() {
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](error_code) {});
  }

  Recovery& all_;
  tcp::socket socket_;
  flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response<http::string_body> answer_;
};

void accept(Recovery& all, tcp::acceptor& acceptor) {
  acceptor.async_accept([&all, &acceptor](error_code error, tcp::socket socket) {
    if (!error) {
      error_code ignored;
      std::ignore = socket.set_option(tcp::no_delay(true), ignored);
      std::make_shared<Served>(all, std::move(socket))->read();
    }
    accept(all, acceptor);
  });
}

// Submits one after the other.
class Submitter {
 public:
  Submitter(Recovery& all, asio::io_context& context) : all_(all), socket_(context) {}
  void start() {
    error_code error;
    std::ignore = socket_.connect(all_.coordinator, error);
    if (error) fail("cannot connect to the coordinator: " + error.message());
    std::ignore = socket_.set_option(tcp::no_delay(true), error);
    post();
  }

 private:
  void post() {
    if (all_.begun == all_.count) return;
    request_ = {http::verb::post, all_.path, 11};
    request_.set(http::field::host, all_.host);
    request_.set(http::field::content_type, "application/json");
    request_.body() = all_.before + "r" + std::to_string(all_.begun++) + all_.after;
    request_.prepare_payload();
    http::async_write(socket_, request_, [this](error_code error, std::size_t) {
      if (error) fail("submitting: " + error.message());
      answer_ = {};
      http::async_read(socket_, buffer_, answer_, [this](error_code broken, std::size_t) {
        if (broken) fail("submitting: " + broken.message());
        if (answer_.result_int() >= 300) fail("submitting: " + answer_.body());
        if (++all_.submitted == all_.count)
          all_.submit_seconds = std::chrono::duration<double>(Clock::now() - all_.started).count();
        say_submitted(all_);
        post();
      });
    });
  }

  Recovery& all_;
  tcp::socket socket_;
  flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response<http::string_body> answer_;
};

void obey(Recovery& all, const std::string& line) {
  if (line == "submitted") {
    all.wants_submitted = true;
    say_submitted(all);
  } else if (line == "forget") {
    all.called.clear();
    all.at.clear();
    all.calls = 0;
    all.silent = false;
    std::printf("{}\n");
    std::fflush(stdout);
  } else if (line == "report") {
    report(all);
  } else {
    fail("unknown command " + line);
  }
}

int run(Recovery& all, int port, std::size_t in_flight) {
  asio::io_context context(1);
  tcp::acceptor acceptor(
      context, tcp::endpoint(asio::ip::address_v4::loopback(), static_cast<asio::ip::port_type>(port)));
  accept(all, acceptor);
  all.at.reserve(all.count);
  all.started = Clock::now();
  std::vector<std::unique_ptr<Submitter>> submitters;
  for (std::size_t i = 0; i < in_flight; ++i) {
    submitters.push_back(std::make_unique<Submitter>(all, context));
    submitters.back()->start();
  }
  std::thread([&] {
    for (std::string line; std::getline(std::cin, line);)
      asio::post(context, [&all, line] { obey(all, line); });
    std::_Exit(0);
  }).detach();
  context.run();
  return 0;
}

void read_url(Recovery& all, std::string_view url) {
  constexpr std::string_view scheme = "http://";
  if (!url.starts_with(scheme)) fail("an URL begins with http://");
  url.remove_prefix(scheme.size());
  const std::size_t slash = std::min(url.find('/'), url.size());
  all.host = std::string(url.substr(0, slash));
  all.path = std::string(url.substr(slash));
  const std::size_t colon = all.host.rfind(':');
  if (colon == std::string::npos) fail("an URL names its port");
  all.coordinator = {asio::ip::make_address(all.host.substr(0, colon)),
                     static_cast<asio::ip::port_type>(std::atoi(all.host.c_str() + colon + 1))};
}

void read_template(Recovery& all, const char* path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::size_t at = text.find("{gid}");
  if (at == std::string::npos) fail("the body has no {gid}");
  all.before = text.substr(0, at);
  all.after = text.substr(at + 5);
}

}  // namespace
}  // namespace lockstep::bench

int main(int argc, char** argv) {
  using namespace lockstep::bench;
  if (argc != 7) {
    std::fprintf(stderr, "usage: tx-recovery URL TEMPLATE PORT COUNT IN_FLIGHT later|silent\n");
    return 2;
  }
  Recovery all;
  read_url(all, argv[1]);
  read_template(all, argv[2]);
  all.count = static_cast<std::size_t>(std::atoi(argv[4]));
  all.silent = std::string_view(argv[6]) == "silent";
  return run(all, std::atoi(argv[3]), static_cast<std::size_t>(std::atoi(argv[5])));
}
