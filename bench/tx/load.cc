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
#include <memory>
#include <string>
#include <string_view>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bench/locks/report.h"
#include "bench/tx/wire.h"

namespace lockstep::bench {
namespace {

struct Load {
  std::vector<Target> targets;
  Body body;
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

std::string transaction_of(const Request& request) {
  if (const auto found = request.find("Lockstep-Transaction"); found != request.end())
    return std::string(found->value().data(), found->value().size());
  const std::string target(request.target().data(), request.target().size());
  const std::size_t at = target.find("gid=");
  if (at == std::string::npos) return {};
  return target.substr(at + 4, target.find('&', at) - at - 4);
}

void count(Load& load, const Request& request) {
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

// One client: posts a transaction, waits for its end, posts the next.
class Client {
 public:
  Client(Load& load, Cycles& cycles, asio::io_context& context, const Target& target)
      : load_(load), cycles_(cycles), target_(target), socket_(context) {}
  void start() {
    connect(socket_, target_);
    buffer_.clear();
    post();
  }

 private:
  void post() {
    const std::string gid = "bench-" + std::to_string(::getpid()) + "-" + std::to_string(load_.numbered++);
    load_.open[gid];
    begun_ = SteadyClock::now();
    request_ = post_of(target_, load_.body, gid);
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
  Request request_;
  Response answer_;
  SteadyClock::time_point begun_;
};

int run(Load& load, int port, std::size_t in_flight) {
  asio::io_context context(1);
  tcp::acceptor acceptor = listen_at(context, port);
  const Participant willing = [&load](const Request& call, Response& answer) {
    count(load, call);
    answer.set(http::field::content_type, "application/json");
    answer.body() = "{}";
    return true;
  };
  serve(willing, acceptor);
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
  load.body = read_body(argv[2]);
  load.calls = static_cast<std::size_t>(std::atoi(argv[4]));
  load.duration = std::chrono::seconds(std::atoi(argv[6]));
  return run(load, std::atoi(argv[3]), static_cast<std::size_t>(std::atoi(argv[5])));
}
