// A program that holds a lock by the C++ SDK, over TLS and logged in, and does as the fault suite tells it:
//
//   write VALUE   under its guard
//   fence VALUE   with its token alone, to a resource that remembers the largest one
//   release
//
// It says "holds TOKEN", "written", "refused CODE", "released" and, as soon as it is told so, "lost".
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>

#include "lockstep/lockstep.h"

namespace {

void say(const std::string& line) {
  static std::mutex mutex;
  const std::scoped_lock held(mutex);
  std::cout << line << std::endl;
}

std::string first_line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

int refuse(const std::string& why) {
  std::cerr << "fault-holder: " << why << '\n';
  return EXIT_FAILURE;
}

template <class Value>
void report(const lockstep::Outcome<Value>& outcome, const char* done) {
  say(outcome ? done : "refused " + std::string(lockstep::to_string(outcome.error().code())));
}

void obey(lockstep::Client& client, lockstep::LockGuard& guard) {
  for (std::string what, value; std::cin >> what;) {
    if (what == "release") {
      report(guard.release().wait(), "released");
      continue;
    }
    std::cin >> value;
    const lockstep::Txn put = lockstep::Txn().put("kept/" + guard.name(), value);
    if (what == "write") {
      report(guard.commit(put).wait(), "written");
    } else {
      report(client.commit_fenced(guard.name(), guard.token(), put).wait(), "written");
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  std::map<std::string, std::string> given;
  for (int i = 1; i + 1 < count; i += 2) given[arguments[i]] = arguments[i + 1];
  lockstep::ClientOptions options(given["--endpoints"]);
  options.tls(given["--ca"]).user(given["--user"], first_line_of(given["--password-file"]));
  options.session_ttl(std::chrono::milliseconds(std::stoll(given["--ttl-ms"])));
  lockstep::Outcome<lockstep::Client> client = lockstep::Client::make(options);
  if (!client) return refuse(client.error().to_string());
  auto guard =
      client->lock(given["--lock"]).acquire(lockstep::CallOptions().timeout(std::chrono::seconds(30))).wait();
  if (!guard) return refuse(guard.error().to_string());
  const std::stop_callback lost(guard->lost(), [] { say("lost"); });
  say("holds " + std::to_string(guard->token()));
  obey(*client, *guard);
  return EXIT_SUCCESS;
}
