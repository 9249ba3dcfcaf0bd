#include "cli/recipes.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <optional>
#include <spawn.h>
#include <unistd.h>

#include <fmt/format.h>
#include <sys/wait.h>

#include "platform/signals.h"

namespace lockstep::cli {
namespace {

constexpr std::array signals_to_end = {SIGINT, SIGTERM, SIGHUP};

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  return name.data();
}

// One run of a command: its process, and what happens meanwhile.
class Guard {
 public:
  Guard(Client& client, const GuardedCommand& command) : client_(client), command_(command) {}
  ~Guard() { client_.executor().cancel(kill_timer_); }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  Status start() {
    std::vector<char*> words;
    for (const std::string& word : command_.words) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    for (const auto& [name, value] : command_.environment) ::setenv(name.c_str(), value.c_str(), 1);
    const int error = ::posix_spawnp(&process_, words[0], nullptr, nullptr, words.data(), environ);
    if (error == 0) return {};
    return {Code::invalid_argument,
            fmt::format("cannot run {}: {}", command_.words[0], std::generic_category().message(error))};
  }

  CommandEnd wait() {
    const std::array watched = {SIGCHLD, SIGINT, SIGTERM, SIGHUP};
    const platform::Signals signals(client_.executor(), watched, [this](int signal) { on_signal(signal); });
    const std::stop_callback on_lost(command_.lost, [this] { lose(); });
    client_.executor().post([this] { look(); });  // it may have ended before anybody listened
    while (!ended_) client_.run();
    return end_;
  }

 private:
  void on_signal(int signal) {
    if (signal == SIGCHLD) return look();
    // A terminal has told the command itself.
    if (signal != SIGINT || ::isatty(STDIN_FILENO) == 0) ::kill(process_, signal);
  }

  void look() {
    int status = 0;
    if (ended_ || ::waitpid(process_, &status, WNOHANG) != process_) return;
    ended_ = true;
    end_.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    client_.stop();
  }

  void lose() {
    end_.lost = true;
    if (ended_) return;
    Session::warn(fmt::format("lost {}{}", command_.what,
                              command_.only_warn ? "; the command goes on" : ": stopping the command"));
    if (command_.only_warn) return;
    ::kill(process_, SIGTERM);
    kill_timer_ = client_.executor().schedule(client_.clock().now() + command_.grace, [this] {
      if (!ended_) ::kill(process_, SIGKILL);
    });
  }

  Client& client_;
  const GuardedCommand& command_;
  pid_t process_ = 0;
  bool ended_ = false;
  CommandEnd end_;
  env::TimerId kill_timer_;
};

}  // namespace

service::Description description_of(const Session& session, const std::string& reason) {
  service::Description description;
  description.host = host_name();
  const char* const holder = session.variables()("LOCKSTEP_HOLDER");
  const char* const user = session.variables()("USER");
  description.holder = holder != nullptr ? holder : user != nullptr ? user : "";
  description.pid = ::getpid();
  description.reason = reason;
  return description;
}

bool wait_for_signal(Client& client, const std::stop_token& over, const std::function<void()>& begun) {
  bool by_signal = false;
  bool finished = false;
  const platform::Signals signals(client.executor(), signals_to_end, [&](int) {
    by_signal = finished = true;
    client.stop();
  });
  begun();
  const std::stop_callback on_over(over, [&] {
    finished = true;
    client.stop();
  });
  while (!finished) client.run();
  return by_signal;
}

ToldToEnd::ToldToEnd(Client& client)
    : signals_(std::make_unique<platform::Signals>(client.executor(), signals_to_end, [this](int signal) {
        signal_ = signal;
        stop_.request_stop();
      })) {}

ToldToEnd::~ToldToEnd() = default;

Result<CommandEnd> run_guarded(Client& client, const GuardedCommand& command) {
  Guard guard(client, command);
  LS_RETURN_IF_ERROR(guard.start());
  return guard.wait();
}

}  // namespace lockstep::cli
