// usage: sdk_test [--servers=NAME --endpoints=HOST:PORT[,…] [--ca=FILE --certificate=FILE --key=FILE]
//                  [--user=NAME --password=TEXT --user-of-one-prefix=NAME] [--coordinates]]
#include "testing_world.h"

#include <algorithm>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string_view>
#include <thread>

namespace lockstep::sdk_test {
namespace {

using namespace std::chrono_literals;

std::optional<Servers>& servers() {
  static std::optional<Servers> chosen;
  return chosen;
}

// One for all tests: a login costs what guessing a password is to cost.
std::unique_ptr<Client>& cleaner() {
  static std::unique_ptr<Client> one;
  return one;
}

// How long anything may take on a machine under load.
constexpr std::chrono::nanoseconds long_enough = 60s;
constexpr std::chrono::nanoseconds short_enough = 300ms;

Servers servers_of(std::map<std::string, std::string>& given) {
  Servers made;
  made.name = given["servers"];
  made.options = ClientOptions(given["endpoints"]).call_timeout(long_enough);
  if (given.contains("ca")) {
    made.options.tls(given["ca"]).certificate(given["certificate"], given["key"]);
    made.capabilities.push_back(Capability::certificates);
  }
  if (given.contains("user")) {
    made.options.user(given["user"], given["password"]);
    made.user_of_one_prefix = given["user-of-one-prefix"];
    made.capabilities.push_back(Capability::login);
  }
  if (!given.contains("coordinates")) made.capabilities.push_back(Capability::no_coordinator);
  return made;
}

int run_all(int count, char** words) {
  ::testing::InitGoogleTest(&count, words);
  std::map<std::string, std::string> given;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const std::size_t equals = std::min(word.find('='), word.size());
    if (!word.starts_with("--")) throw std::invalid_argument(std::string(word));
    given[std::string(word.substr(2, equals - 2))] = word.substr(std::min(equals + 1, word.size()));
  }
  if (!given.empty()) {
    servers() = servers_of(given);
    cleaner() = std::make_unique<Client>(servers()->options);
  }
  const int failed = RUN_ALL_TESTS();
  cleaner().reset();
  return failed;
}

}  // namespace

std::string name_of(Capability capability) {
  switch (capability) {
    case Capability::clock:
      return "a clock of the test's own";
    case Capability::cutting_off:
      return "clients that can be cut off";
    case Capability::faults:
      return "calls of the store that fail on demand";
    case Capability::no_coordinator:
      return "transactions that nobody else moves";
    case Capability::login:
      return "users and passwords";
    case Capability::certificates:
      return "certificates";
  }
  return {};
}

bool World::has(Capability capability) {
  const bool of_servers = capability == Capability::login || capability == Capability::certificates;
  if (!servers().has_value()) return !of_servers;
  return std::ranges::find(servers()->capabilities, capability) != servers()->capabilities.end();
}

std::string lacks(const std::vector<Capability>& needed) {
  std::string all;
  for (const Capability each : needed) {
    if (!World::has(each)) all += (all.empty() ? "" : ", ") + name_of(each);
  }
  return all.empty() ? all : World::name() + ": " + all;
}

World::World() {
  if (!servers().has_value()) {
    cluster_ = std::make_unique<testing::Cluster>();
  } else {
    cleaner()->remove(Keys::all()).wait().value();
  }
}

const std::string& World::name() {
  static const std::string embedded = "embedded";
  return servers().has_value() ? servers()->name : embedded;
}

const ClientOptions& World::options() {
  static const ClientOptions anybody;
  return servers().has_value() ? servers()->options : anybody;
}

const std::string& World::user_of_one_prefix() {
  return servers().value().user_of_one_prefix;
}

Client World::client(const ClientOptions& options) {
  if (cluster_ != nullptr) return cluster_->client(options);
  return Client(ClientOptions(World::options()).name(options.name()));
}

std::chrono::nanoseconds World::in_vain(std::chrono::nanoseconds virtual_time) {
  return servers().has_value() ? short_enough : virtual_time;
}

bool World::was_in_vain(Code code) {
  return code == Code::deadline_exceeded || (servers().has_value() && code == Code::unknown);
}

bool World::was_stopped(Code code) {
  return code == Code::cancelled || (servers().has_value() && code == Code::unknown);
}

std::chrono::nanoseconds World::patience(std::chrono::nanoseconds virtual_time) {
  return servers().has_value() ? long_enough : virtual_time;
}

bool World::comes(std::chrono::nanoseconds virtual_time, const std::function<bool()>& holds) {
  if (cluster_ != nullptr) {
    cluster_->advance(virtual_time);
    return holds();
  }
  const auto end = std::chrono::steady_clock::now() + long_enough;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

void World::jump_while_waiting() {
  if (cluster_ != nullptr) cluster_->jump_while_waiting();
}

testing::Cluster& World::cluster() {
  if (cluster_ == nullptr) throw std::logic_error("the test does not say that it needs the embedded cluster");
  return *cluster_;
}

}  // namespace lockstep::sdk_test

int main(int count, char** words) {
  try {
    return lockstep::sdk_test::run_all(count, words);
  } catch (const std::exception& failure) {
    std::cerr << "sdk_test: " << failure.what() << '\n';
    return 2;
  }
}
