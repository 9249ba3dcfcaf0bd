#include "cli/holding.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/text.h"

namespace lockstep::cli {
namespace {

constexpr int exit_of_signal = 128;  // as a shell tells it

// Says when a holding is over, however that comes: the session's end, or a forced release.
class Watchman {
 public:
  Watchman(Client& client, const service::SessionPtr& holder, const service::Fence& fence) : client_(client) {
    store::CallOptions options;
    options.cancellation = leave_.get_token();
    watch(this, context_of(client), holder, fence, options).detach();
  }
  ~Watchman() {
    leave_.request_stop();
    while (!ended_) client_.run();
  }
  Watchman(const Watchman&) = delete;
  Watchman& operator=(const Watchman&) = delete;

  [[nodiscard]] std::stop_token over() const { return over_.get_token(); }
  [[nodiscard]] const Status& why() const { return why_; }

 private:
  static Task<void> watch(Watchman* self, service::Context context, service::SessionPtr holder,
                          service::Fence fence, store::CallOptions options) {
    self->why_ = co_await service::until_over(context, holder, fence, options);
    self->ended_ = true;
    self->client_.stop();
    if (!self->leave_.stop_requested()) self->over_.request_stop();
  }

  Client& client_;
  std::stop_source leave_;
  std::stop_source over_;
  Status why_;
  bool ended_ = false;
};

// Until the command has ended; without a command, until this program is told to end.
Status run_while_held(Session& session, Client& client, const HoldArguments& arguments, const HeldThing& held,
                      const service::SessionPtr& holder) {
  const Watchman watchman(client, holder, held.fence);
  if (arguments.words.empty()) {
    const auto print = [&] {
      session.print(held.report);
      Session::flush();
    };
    if (wait_for_signal(client, watchman.over(), print)) return {};
    return {Code::already_exists, fmt::format("lost {}: {}", held.what, watchman.why().message())};
  }
  GuardedCommand command;
  command.words = arguments.words;
  command.environment = held.environment;
  command.environment.emplace_back("LOCKSTEP_SESSION",
                                   show_hex_id(static_cast<std::uint64_t>(holder->id().value())));
  command.what = held.what;
  command.lost = watchman.over();
  command.only_warn = arguments.only_warn;
  LS_ASSIGN_OR_RETURN(command.grace, parse_duration(arguments.grace));
  LS_ASSIGN_OR_RETURN(const CommandEnd end, run_guarded(client, command));
  if (end.lost) return {Code::already_exists, fmt::format("{} was lost while the command ran", held.what)};
  session.exit_with(end.exit_code);
  return {};
}

}  // namespace

void add_hold_options(CLI::App& command, HoldArguments& arguments, const std::string& name_help) {
  command.add_option("name", arguments.name, name_help)->type_name("NAME");
  command.add_option("--wait", arguments.wait, "at most so long; 0s: not at all [for ever]")
      ->type_name("DURATION");
  command.add_option("--ttl", arguments.ttl, "lost so long after the last renewal")->capture_default_str();
  command.add_option("--lock-delay", arguments.lock_delay, "what was lost goes to nobody else for so long")
      ->capture_default_str();
  command.add_option("--reason", arguments.reason, "for people who look who holds it");
  command.add_option("--grace", arguments.grace, "from SIGTERM to SIGKILL, when it is lost")
      ->capture_default_str();
  command.add_flag("--warn", arguments.only_warn, "when it is lost, say so and let the command go on");
}

void add_command_words(CLI::App& command, HoldArguments& arguments) {
  command.add_option("command", arguments.words, "runs meanwhile; its exit status is ours")
      ->type_name("COMMAND");
}

Status hold_and_run(Session& session, const HoldArguments& arguments, const Acquire& acquire) {
  if (arguments.name.empty())
    return {Code::invalid_argument, "which one? Give its NAME; --help has examples"};
  LS_ASSIGN_OR_RETURN(const std::string name, unescape(arguments.name));
  service::SessionOptions options;
  LS_ASSIGN_OR_RETURN(options.ttl, parse_duration(arguments.ttl));
  LS_ASSIGN_OR_RETURN(options.lock_delay, parse_duration(arguments.lock_delay));
  Duration wait{};
  if (!arguments.wait.empty()) {
    LS_ASSIGN_OR_RETURN(wait, parse_duration(arguments.wait));
  }
  LS_ASSIGN_OR_RETURN(Client * client, session.client(Patience::patient));
  const service::Context context = context_of(*client);
  LS_ASSIGN_OR_RETURN(const service::SessionPtr holder,
                      finish(*client, service::open_session(context, options, client->options())));
  Waiting waiting;
  if (!arguments.wait.empty()) {
    waiting.wait = wait > Duration::zero();
    waiting.options.deadline = client->clock().now() + (waiting.wait ? wait : client->settings().timeout);
  }
  int signal = 0;
  const Result<HeldThing> held = [&] {
    const ToldToEnd told(*client);
    waiting.options.cancellation = told.token();
    Result<HeldThing> got = acquire(*client, holder, name, waiting);
    signal = told.signal();
    return got;
  }();
  Status status = held.status();
  if (held.ok() && signal == 0) status = run_while_held(session, *client, arguments, *held, holder);
  // Everything of the session goes with it; if this fails, when its time is out.
  const Status closed = finish(*client, holder->close(client->options()));
  if (signal != 0) {
    session.exit_with(exit_of_signal + signal);
    return {};
  }
  if (!held.ok() && status.code() == Code::deadline_exceeded)
    return {Code::deadline_exceeded, fmt::format("not got within {}", arguments.wait)};
  if (status.ok() && !closed.ok()) Session::warn(closed.message());
  return status;
}

}  // namespace lockstep::cli
