// fault-workload: the simulator's workload and checkers against real members, while somebody else breaks
// things.
//
// Commands come on standard input, a line each:
//   healed                       the last fault has ended
//   finish HOST:PORT,HOST:PORT   stop, let the cluster come to rest, check; these are its members
// Standard output says "ready" once the cluster serves, and one line of JSON at the end. The status is 0 if
// the checkers found nothing.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "judge.h"
#include "sim/workload.h"

namespace lockstep::faults {
namespace {

struct Options {
  Target target;
  std::uint64_t seed = 1;
  std::uint32_t clients = 6;
  std::uint32_t lease_clients = 2;
  std::uint32_t watchers = 4;
  std::string acknowledged_file;
  std::string history_file;
  bool prove = false;
};

constexpr Duration client_timeout = 2s;

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::stringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

std::string first_line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

[[noreturn]] void refuse(const std::string& what) {
  std::cerr << "fault-workload: " << what << "\n";
  std::exit(2);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--endpoints") {
      options.target.endpoints = split(value);
    } else if (name == "--ca") {
      options.target.ca_file = value;
    } else if (name == "--user") {
      options.target.user = value;
    } else if (name == "--password-file") {
      options.target.password = first_line_of(value);
    } else if (name == "--seed") {
      options.seed = std::stoull(value);
    } else if (name == "--clients") {
      options.clients = static_cast<std::uint32_t>(std::stoul(value));
    } else if (name == "--acknowledged") {
      options.acknowledged_file = value;
    } else if (name == "--history") {
      options.history_file = value;
    } else if (name == "--prove") {
      options.prove = value == "yes";
    } else {
      refuse("unknown option " + name);
    }
  }
  if (argc % 2 == 0 || options.target.endpoints.empty())
    refuse("give --endpoints, and a value to each option");
  return options;
}

sim::WorkloadOptions workload_options() {
  sim::WorkloadOptions options;
  options.think_ns_max = 10'000'000;
  options.request_ids = false;
  options.registers = 16;  // so that each has few enough operations to search
  options.keys = 40;
  options.value_bytes_max = 200;
  return options;
}

class Session {
 public:
  Session(Machine& machine, const Options& options)
      : machine_(machine),
        options_(options),
        workload_(workload_options()),
        recorder_(workload_, coverage_),
        prng_(options.seed),
        collector_(machine, options.target.endpoints, 2),
        judge_(machine, recorder_, collector_) {}

  Task<void> begin() {
    RealActor& first = add(options_.target.endpoints, client_timeout);
    co_await sim::set_up(first);
    for (std::uint32_t i = 0; i < options_.clients; ++i)
      sim::run_client(add(options_.target.endpoints, client_timeout)).detach();
    for (std::uint32_t i = 0; i < options_.lease_clients; ++i)
      sim::run_lease_client(add(options_.target.endpoints, client_timeout)).detach();
    for (std::uint32_t i = 0; i < options_.watchers; ++i)
      run_watcher(add(options_.target.endpoints, client_timeout)).detach();
    // One for each member and one for all: what any of them can do counts.
    run_pulse(add(options_.target.endpoints, client_timeout)).detach();
    for (const std::string& endpoint : options_.target.endpoints)
      run_pulse(add({endpoint}, client_timeout)).detach();
    run_compactor(first, collector_.covered()).detach();
    judge_.observe_leaders().detach();
    std::cout << "ready" << std::endl;
  }

  void command(const std::string& line) {
    if (line == "healed") return judge_.healed();
    if (line.starts_with("finish ")) return finish(split(line.substr(7))).detach();
    refuse("unknown command '" + line + "'");
  }

  [[nodiscard]] int status() const { return status_; }

 private:
  RealActor& add(const std::vector<std::string>& endpoints, Duration timeout) {
    const auto number = static_cast<std::uint32_t>(actors_.size());
    actors_.push_back(
        std::make_unique<RealActor>(machine_, recorder_, number, Prng(prng_.next()), endpoints, timeout));
    return *actors_.back();
  }

  Task<void> finish(std::vector<std::string> endpoints) {
    const Verdict verdict = co_await judge_.conclude(std::move(endpoints), options_.prove);
    write_files(verdict.history);
    report(verdict);
    status_ = verdict.violations.empty() ? EXIT_SUCCESS : EXIT_FAILURE;
    machine_.executor().stop();
  }

  void write_files(const sim::History& history) const {
    std::ofstream acknowledged(options_.acknowledged_file);
    std::ofstream readable(options_.history_file);
    for (const sim::Operation& operation : history.operations) {
      if (std::holds_alternative<store::PutResponse>(operation.response))
        acknowledged << operation.invoked_ns << " " << operation.returned_ns << "\n";
      readable << sim::describe(operation) << "\n";
    }
  }

  void report(const Verdict& verdict) {
    std::map<sim::Outcome, std::uint64_t> outcomes;
    for (const sim::Operation& operation : verdict.history.operations) ++outcomes[operation.outcome];
    nlohmann::json json;
    json["seed"] = options_.seed;
    json["operations"] = verdict.history.operations.size();
    json["acknowledged"] = outcomes[sim::Outcome::ok];
    json["refused"] = outcomes[sim::Outcome::failed];
    json["unknown"] = outcomes[sim::Outcome::unknown];
    json["unknown_that_happened"] = verdict.unknown_that_happened;
    json["revisions"] = verdict.history.effects.size();
    json["leaders"] = verdict.history.leaders.size();
    json["leases_expired"] = verdict.leases_expired;
    json["watch_events"] = verdict.watch_events;
    json["keys_linearized"] = verdict.keys_linearized;
    json["at_rest_after_ms"] = verdict.at_rest_after_ns / 1'000'000;
    json["unnoticed"] = verdict.unnoticed;
    json["violations"] = nlohmann::json::array();
    for (const sim::Violation& violation : verdict.violations)
      json["violations"].push_back(violation.checker + ": " + violation.text);
    std::cout << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
  }

  Machine& machine_;
  const Options& options_;
  const sim::WorkloadOptions workload_;
  sim::Coverage coverage_;
  sim::Recorder recorder_;
  Prng prng_;
  Collector collector_;
  Judge judge_;
  std::vector<std::unique_ptr<RealActor>> actors_;
  int status_ = EXIT_FAILURE;
};

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  Result<std::unique_ptr<Machine>> machine = Machine::make(options.target);
  if (!machine.ok()) refuse(machine.status().to_string());
  Session session(**machine, options);
  std::thread([&session, &machine] {
    for (std::string line; std::getline(std::cin, line);)
      (*machine)->executor().post_from_any_thread([&session, line] { session.command(line); });
    // Whoever commands is gone.
    std::_Exit(3);
  }).detach();
  (*machine)->executor().post([&session] { session.begin().detach(); });
  (*machine)->executor().run();
  std::cout.flush();
  // The thread that reads commands may still wait for one.
  std::_Exit(session.status());
}

}  // namespace
}  // namespace lockstep::faults

int main(int argc, char** argv) {
  return lockstep::faults::main(argc, argv);
}
