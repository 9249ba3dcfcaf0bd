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
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "bench/tx/wire.h"

namespace lockstep::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned status_again = 425;  // which Boost's header has no name for

struct Recovery {
  Target coordinator;
  Body body;
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

bool on_call(Recovery& all, const Request& call, Response& answer) {
  ++all.calls;
  const auto gid = call["Lockstep-Transaction"];
  if (all.called.emplace(gid.data(), gid.size()).second) all.at.push_back(Clock::now());
  answer.result(status_again);
  answer.set(http::field::retry_after, "3600");
  return !all.silent;
}

// Submits one after the other.
class Submitter {
 public:
  Submitter(Recovery& all, asio::io_context& context) : all_(all), socket_(context) {}
  void start() {
    connect(socket_, all_.coordinator);
    post();
  }

 private:
  void post() {
    if (all_.begun == all_.count) return;
    request_ = post_of(all_.coordinator, all_.body, "r" + std::to_string(all_.begun++));
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
  Request request_;
  Response answer_;
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
  tcp::acceptor acceptor = listen_at(context, port);
  const Participant participant = [&all](const Request& call, Response& answer) {
    return on_call(all, call, answer);
  };
  serve(participant, acceptor);
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

}  // namespace
}  // namespace lockstep::bench

int main(int argc, char** argv) {
  using namespace lockstep::bench;
  if (argc != 7) {
    std::fprintf(stderr, "usage: tx-recovery URL TEMPLATE PORT COUNT IN_FLIGHT later|silent\n");
    return 2;
  }
  Recovery all;
  all.coordinator = parse_target(argv[1]);
  all.body = read_body(argv[2]);
  all.count = static_cast<std::size_t>(std::atoi(argv[4]));
  all.silent = std::string_view(argv[6]) == "silent";
  return run(all, std::atoi(argv[3]), static_cast<std::size_t>(std::atoi(argv[5])));
}
