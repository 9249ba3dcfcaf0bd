// Recipes of src/service, run by a command in this process, on the Store that the settings name.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include "base/task.h"
#include "cli/client.h"
#include "cli/session.h"
#include "platform/signals.h"
#include "service/context.h"
#include "service/lock/description.h"
#include "service/session/session.h"

namespace lockstep::cli {

inline service::Context context_of(Client& client) {
  return {client.store(), client.executor(), client.clock(), client.random()};
}

// Whole milliseconds, as reports show times.
inline std::int64_t ms_of(Duration time) {
  return static_cast<std::int64_t>(std::chrono::floor<std::chrono::milliseconds>(time).count());
}

// Runs the strand until the task has ended.
template <class T>
T finish(Client& client, Task<T> task) {
  return client.wait<T>([&](auto done) {
    [](Task<T> running, decltype(done) tell)
        -> Task<void> { tell(co_await std::move(running)); }(std::move(task), std::move(done)).detach();
  });
}

// Who holds something, for people who look: LOCKSTEP_HOLDER or user@host, this process, and the reason given.
service::Description description_of(const Session& session, const std::string& reason);

// Calls `begun` and waits until `over` is stopped (false) or the program is told to end by SIGINT, SIGTERM or
// SIGHUP (true).
bool wait_for_signal(Client& client, const std::stop_token& over, const std::function<void()>& begun);

// While it lives, SIGINT, SIGTERM and SIGHUP do not end this program: whoever waits is told, and can leave in
// good order.
class ToldToEnd {
 public:
  explicit ToldToEnd(Client& client);
  ~ToldToEnd();
  ToldToEnd(const ToldToEnd&) = delete;
  ToldToEnd& operator=(const ToldToEnd&) = delete;

  [[nodiscard]] std::stop_token token() const { return stop_.get_token(); }
  [[nodiscard]] int signal() const { return signal_; }  // zero: none

 private:
  std::stop_source stop_;
  int signal_ = 0;
  std::unique_ptr<platform::Signals> signals_;
};

// A command that runs while something is held.
struct GuardedCommand {
  std::vector<std::string> words;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string what;        // is held: "the lock orders"
  std::stop_token lost;    // stopped when it is not held any more
  bool only_warn = false;  // else: SIGTERM, and SIGKILL after `grace`
  Duration grace = 5s;
};
// Its exit status as a shell tells it: 128 + n when it died by signal n. Signals that ask this program to end
// are passed on. Errors: invalid_argument when it cannot be started.
struct CommandEnd {
  int exit_code = 0;
  bool lost = false;
};
Result<CommandEnd> run_guarded(Client& client, const GuardedCommand& command);

}  // namespace lockstep::cli
