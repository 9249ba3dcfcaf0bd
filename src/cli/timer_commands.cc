// lockstep timer: what falls due, and working it off.
#include <ctime>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/recipes.h"
#include "cli/text.h"
#include "service/timer/timers.h"

namespace lockstep::cli {
namespace {

using std::chrono::milliseconds;

struct TimerArguments {
  std::string queue;
  std::string name;
  std::string token;
  std::string after;
  std::string at;
  std::string cron;
  std::string zone;
  std::string payload;
  std::string target;
  std::string missed = "once";
  std::string wait = "0s";
  std::string visibility = "30s";
  std::string delay = "0s";
  std::size_t max = 1;
  bool only_if_new = false;
};

// Seconds since 1970, or a moment as 2026-12-01T08:00:00Z.
Result<Duration> moment_of(const std::string& text) {
  if (const Result<std::uint64_t> seconds = parse_number(text); seconds.ok() && *seconds < 10'000'000'000)
    return Duration(std::chrono::seconds(static_cast<std::int64_t>(*seconds)));
  std::tm parts{};
  const char* const end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  if (end == nullptr || *end != '\0')
    return Status(
        Code::invalid_argument,
        fmt::format("'{}' is neither seconds since 1970 nor a moment such as 2026-12-01T08:00:00Z", text));
  return Duration(std::chrono::seconds(::timegm(&parts)));
}

Status set(Session& session, Client& client, const TimerArguments& arguments) {
  service::TimerSpec spec;
  LS_ASSIGN_OR_RETURN(spec.name, unescape(arguments.name));
  if (!arguments.after.empty()) {
    LS_ASSIGN_OR_RETURN(spec.after, parse_duration(arguments.after));
  }
  if (!arguments.at.empty()) {
    LS_ASSIGN_OR_RETURN(spec.at, moment_of(arguments.at));
  }
  spec.cron = arguments.cron;
  spec.zone = arguments.zone;
  spec.only_if_new = arguments.only_if_new;
  LS_ASSIGN_OR_RETURN(spec.payload, unescape(arguments.payload));
  spec.target = arguments.target;
  const std::optional<service::MissedRuns> missed = service::parse_missed_runs(arguments.missed);
  if (!missed.has_value()) return {Code::invalid_argument, "--missed is skip, once or all"};
  spec.missed = *missed;
  service::Timers timers(context_of(client));
  LS_ASSIGN_OR_RETURN(const service::TimerPlaced placed,
                      finish(client, timers.set(arguments.queue, std::move(spec), client.options())));
  Report report;
  report.fact("queue", arguments.queue).fact("name", arguments.name);
  if (placed.wall.has_value()) report.fact("unix_ms", ms_of(*placed.wall));
  session.print(report);
  return {};
}

Status remove(Session& session, Client& client, const TimerArguments& arguments) {
  LS_ASSIGN_OR_RETURN(std::string name, unescape(arguments.name));
  service::Timers timers(context_of(client));
  LS_RETURN_IF_ERROR(finish(client, timers.cancel(arguments.queue, std::move(name), client.options())));
  Report report;
  report.fact("removed", arguments.name);
  session.print(report);
  return {};
}

Status show(Session& session, Client& client, const TimerArguments& arguments) {
  LS_ASSIGN_OR_RETURN(std::string name, unescape(arguments.name));
  service::Timers timers(context_of(client));
  LS_ASSIGN_OR_RETURN(const service::TimerState state,
                      finish(client, timers.show(arguments.queue, std::move(name), client.options())));
  Report report;
  report.fact("name", Bytes{state.name}).fact("delivered", state.delivered).fact("attempts", state.attempts);
  if (state.due_in.has_value()) report.fact("due_in_ms", ms_of(*state.due_in));
  if (state.wall.has_value()) report.fact("unix_ms", ms_of(*state.wall));
  if (!state.document.cron.empty())
    report.fact("cron", state.document.cron).fact("zone", state.document.zone);
  if (!state.document.target.empty()) report.fact("target", state.document.target);
  if (!state.document.payload.empty()) report.fact("payload", Bytes{state.document.payload});
  session.print(report);
  return {};
}

Status list(Session& session, Client& client, const TimerArguments& arguments) {
  constexpr std::size_t page = 1000;
  service::Timers timers(context_of(client));
  Report report;
  Table& table = report.table("timers", {"name"});
  std::string after;
  while (true) {
    LS_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        finish(client, timers.list(arguments.queue, after, page, client.options())));
    for (const std::string& name : names) table.rows.push_back({Bytes{name}});
    if (names.size() < page) break;
    after = names.back();
  }
  session.print(report);
  return {};
}

Status claim(Session& session, Client& client, const TimerArguments& arguments) {
  service::TimerClaim request;
  request.max = arguments.max;
  LS_ASSIGN_OR_RETURN(request.wait, parse_duration(arguments.wait));
  LS_ASSIGN_OR_RETURN(request.visibility, parse_duration(arguments.visibility));
  store::CallOptions options = client.options();
  options.deadline += request.wait;
  service::Timers timers(context_of(client));
  LS_ASSIGN_OR_RETURN(const std::vector<service::TimerDelivery> deliveries,
                      finish(client, timers.claim(arguments.queue, request, options)));
  Report report;
  Table& table = report.table("deliveries", {"name", "token", "attempt", "payload"});
  for (const service::TimerDelivery& delivery : deliveries)
    table.rows.push_back({Bytes{delivery.name}, service::to_string(delivery.token), delivery.attempt,
                          Bytes{delivery.payload}});
  session.print(report);
  if (deliveries.empty()) session.exit_with(static_cast<int>(Exit::not_found));
  return {};
}

Status settle(Session& session, Client& client, const TimerArguments& arguments,
              service::TimerSettlement::Kind kind) {
  service::TimerSettlement settlement;
  settlement.kind = kind;
  LS_ASSIGN_OR_RETURN(settlement.name, unescape(arguments.name));
  LS_ASSIGN_OR_RETURN(settlement.token, service::parse_timer_token(arguments.token));
  LS_ASSIGN_OR_RETURN(settlement.delay, parse_duration(arguments.delay));
  service::Timers timers(context_of(client));
  LS_ASSIGN_OR_RETURN(const std::vector<service::TimerSettled> settled,
                      finish(client, timers.settle(arguments.queue, {settlement}, client.options())));
  LS_RETURN_IF_ERROR(settled.at(0).status);
  Report report;
  report.fact("settled", arguments.name);
  session.print(report);
  return {};
}

using Verb = Status (*)(Session&, Client&, const TimerArguments&);

CLI::App& add(Commands& commands, CLI::App& timer, std::string_view name, std::string_view help,
              std::string_view examples, const std::shared_ptr<TimerArguments>& arguments, Verb verb) {
  CLI::App& command =
      commands.command(timer, name, help, examples, [arguments, verb](Session& session) -> Status {
        LS_ASSIGN_OR_RETURN(Client * client, session.client());
        return verb(session, *client, *arguments);
      });
  command.add_option("queue", arguments->queue, "of the timers")->type_name("QUEUE")->required();
  return command;
}

void add_name(CLI::App& command, TimerArguments& arguments) {
  command.add_option("name", arguments.name, "of the timer")->type_name("NAME")->required();
}

void add_set(Commands& commands, CLI::App& timer) {
  auto arguments = std::make_shared<TimerArguments>();
  CLI::App& command =
      add(commands, timer, "set", "set a timer, or set it anew",
          "  lockstep timer set unpaid order-4711 --after 30m --payload '{\"order\":4711}'\n"
          "  lockstep timer set reports daily --cron '0 8 * * *' --zone Europe/Berlin\n"
          "  lockstep timer set reports once --at 2026-12-01T08:00:00Z\n"
          "  lockstep timer set hooks order-4711 --after 30m --target https://shop.example/due\n",
          arguments, set);
  add_name(command, *arguments);
  command.add_option("--after", arguments->after, "due after so long")->type_name("DURATION");
  command.add_option("--at", arguments->at, "due then: seconds since 1970, or 2026-12-01T08:00:00Z")
      ->type_name("MOMENT");
  command.add_option("--cron", arguments->cron, "due again and again: minute hour day month weekday");
  command.add_option("--zone", arguments->zone, "of --cron, as Europe/Berlin [UTC]");
  command.add_option("--payload", arguments->payload, "delivered with it");
  command
      .add_option("--target", arguments->target, "where servers send it, instead of a claim: http(s)://...")
      ->type_name("URL");
  command.add_option("--missed", arguments->missed, "runs that nobody was there for: skip, once or all")
      ->capture_default_str();
  command.add_flag("--if-new", arguments->only_if_new, "refuse if there is one of that name");
}

void add_working(Commands& commands, CLI::App& timer) {
  auto claiming = std::make_shared<TimerArguments>();
  CLI::App& claims =
      add(commands, timer, "claim", "take what is due; exit status 3 if nothing is",
          "  lockstep timer claim unpaid --wait 30s\n  lockstep timer claim unpaid --max 10 -o json\n",
          claiming, claim);
  claims.add_option("--max", claiming->max, "so many at once")->capture_default_str();
  claims.add_option("--wait", claiming->wait, "for something to fall due")->capture_default_str();
  claims.add_option("--visibility", claiming->visibility, "delivered to others if it is not settled by then")
      ->capture_default_str();
  for (const bool retries : {false, true}) {
    auto arguments = std::make_shared<TimerArguments>();
    CLI::App& command =
        add(commands, timer, retries ? "retry" : "ack",
            retries ? "give a delivery back: it is delivered again" : "a delivery is done",
            retries ? "  lockstep timer retry unpaid order-4711 TOKEN --delay 1m\n  lockstep timer retry "
                      "unpaid order-4711 TOKEN\n"
                    : "  lockstep timer ack unpaid order-4711 TOKEN\n  lockstep timer ack unpaid order-4711 "
                      "TOKEN -o json\n",
            arguments,
            retries ? Verb([](Session& session, Client& client, const TimerArguments& given) {
              return settle(session, client, given, service::TimerSettlement::Kind::give_back);
            })
                    : Verb([](Session& session, Client& client, const TimerArguments& given) {
                        return settle(session, client, given, service::TimerSettlement::Kind::ack);
                      }));
    add_name(command, *arguments);
    command.add_option("token", arguments->token, "as claim told it")->type_name("TOKEN")->required();
    if (retries) command.add_option("--delay", arguments->delay, "not before so long")->capture_default_str();
  }
}

}  // namespace

void add_timer_commands(Commands& commands) {
  CLI::App& timer = commands.group("timer", "what falls due: at, after, again and again; a delay queue");
  add_set(commands, timer);
  auto shown = std::make_shared<TimerArguments>();
  add_name(add(commands, timer, "show", "one timer",
               "  lockstep timer show unpaid order-4711\n  lockstep timer show unpaid order-4711 -o json\n",
               shown, show),
           *shown);
  auto removed = std::make_shared<TimerArguments>();
  add_name(add(commands, timer, "rm", "cancel a timer",
               "  lockstep timer rm unpaid order-4711\n  lockstep timer rm unpaid order-4711 -o json\n",
               removed, remove),
           *removed);
  add(commands, timer, "ls", "the timers of a queue",
      "  lockstep timer ls unpaid\n  lockstep timer ls unpaid -o json\n", std::make_shared<TimerArguments>(),
      list);
  add_working(commands, timer);
}

}  // namespace lockstep::cli
