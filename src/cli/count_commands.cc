// lockstep counter, id and limit: what a fleet counts together.
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/recipes.h"
#include "cli/text.h"
#include "service/counter/counter.h"
#include "service/ids/ids.h"
#include "service/limiter/limiter.h"

namespace lockstep::cli {
namespace {

struct CounterArguments {
  std::string name;
  std::int64_t number = 1;
  std::optional<std::int64_t> expected;
};

enum class CounterVerb : std::uint8_t { add, get, set, remove };

Status count(Session& session, const CounterArguments& arguments, CounterVerb verb) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const std::string name, unescape(arguments.name));
  service::Counter counter(context_of(*client));
  const auto ask = [&]() -> Result<service::CounterValue> {
    if (verb == CounterVerb::get) return finish(*client, counter.get(name, client->options()));
    if (verb == CounterVerb::remove) return finish(*client, counter.remove(name, client->options()));
    if (verb == CounterVerb::add) {
      service::CounterAdd add;
      add.delta = arguments.number;
      return finish(*client, counter.add(name, add, client->options()));
    }
    service::CounterSet set;
    set.value = arguments.number;
    set.expected = arguments.expected;
    return finish(*client, counter.set(name, set, client->options()));
  };
  LS_ASSIGN_OR_RETURN(const service::CounterValue value, ask());
  Report report;
  report.fact("value", value.value);
  session.print(report);
  return {};
}

void add_counter_commands(Commands& commands) {
  CLI::App& counter = commands.group("counter", "numbers that many add to at once");
  struct Kind {
    CounterVerb verb;
    const char* name;
    const char* help;
    const char* examples;
  };
  for (const Kind& kind :
       {Kind{CounterVerb::add, "add", "add to a counter; answers its value then",
             "  lockstep counter add hits\n  lockstep counter add hits 10 -o raw\n  lockstep counter add "
             "hits -- -3\n"},
        Kind{CounterVerb::get, "get", "what a counter counts",
             "  lockstep counter get hits\n  lockstep counter get hits -o json\n"},
        Kind{CounterVerb::set, "set", "set a counter",
             "  lockstep counter set hits 0\n  lockstep counter set hits 5 --expected 4\n"},
        Kind{CounterVerb::remove, "rm", "remove a counter; answers what it was",
             "  lockstep counter rm hits\n  lockstep counter rm hits -o json\n"}}) {
    auto arguments = std::make_shared<CounterArguments>();
    CLI::App& command = commands.command(
        counter, kind.name, kind.help, kind.examples,
        [arguments, verb = kind.verb](Session& session) { return count(session, *arguments, verb); });
    command.add_option("name", arguments->name, "of the counter")->type_name("NAME")->required();
    if (kind.verb == CounterVerb::add)
      command.add_option("delta", arguments->number, "what to add")
          ->type_name("NUMBER")
          ->capture_default_str();
    if (kind.verb != CounterVerb::set) continue;
    command.add_option("value", arguments->number, "the new value")->type_name("NUMBER")->required();
    command.add_option("--expected", arguments->expected, "only if it has this value")->type_name("NUMBER");
  }
}

struct IdArguments {
  std::string name = "default";
  std::size_t count = 1;
};

Status next_ids(Session& session, const IdArguments& arguments) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const std::string name, unescape(arguments.name));
  service::Ids ids(context_of(*client));
  LS_ASSIGN_OR_RETURN(const std::vector<std::uint64_t> made,
                      finish(*client, ids.next(name, arguments.count, client->options())));
  Report report;
  Table& table = report.table("ids", {"id"});
  for (const std::uint64_t id : made) table.rows.push_back({id});
  session.print(report);
  return {};
}

Status explain_id(Session& session, std::uint64_t id) {
  const service::IdParts parts = service::split_id(id);
  Report report;
  report.fact("id", id)
      .fact("unix_ms", static_cast<std::int64_t>(parts.wall / std::chrono::milliseconds(1)))
      .fact("worker", parts.worker)
      .fact("sequence", parts.sequence);
  session.print(report);
  return {};
}

void add_id_commands(Commands& commands) {
  CLI::App& id = commands.group("id", "unique numbers, in the order of time");
  auto arguments = std::make_shared<IdArguments>();
  CLI::App& next = commands.command(id, "next", "make some",
                                    "  lockstep id next\n  lockstep id next orders --count 100 -o raw\n",
                                    [arguments](Session& session) { return next_ids(session, *arguments); });
  next.add_option("name", arguments->name, "each name has numbers of its own")
      ->type_name("NAME")
      ->capture_default_str();
  next.add_option("--count", arguments->count, "how many")->capture_default_str();
  auto number = std::make_shared<std::uint64_t>();
  CLI::App& explain = commands.command(
      id, "show", "when and by whom a number was made",
      "  lockstep id show 231234567890123456\n  lockstep id show 231234567890123456 -o json\n",
      [number](Session& session) { return explain_id(session, *number); });
  explain.add_option("id", *number, "the number")->type_name("NUMBER")->required();
}

struct LimitArguments {
  std::string name;
  std::int64_t limit = 1;
  std::string period = "1s";
  std::int64_t burst = 0;
  std::int64_t cost = 1;
  bool sliding = false;
};

Status take(Session& session, const LimitArguments& arguments, bool only_looks) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const std::string name, unescape(arguments.name));
  service::LimitTake take;
  take.rule.algorithm =
      arguments.sliding ? service::LimitAlgorithm::sliding_window : service::LimitAlgorithm::token_bucket;
  take.rule.limit = arguments.limit;
  take.rule.burst = arguments.burst;
  LS_ASSIGN_OR_RETURN(take.rule.period, parse_duration(arguments.period));
  take.cost = only_looks ? 0 : arguments.cost;
  service::Limiter limiter(context_of(*client));
  LS_ASSIGN_OR_RETURN(const service::LimitAnswer answer,
                      finish(*client, limiter.take(name, take, client->options())));
  Report report;
  if (!only_looks) report.fact("allowed", answer.allowed);
  report.fact("remaining", answer.remaining);
  const auto retry_ms = static_cast<std::int64_t>(answer.retry_after / std::chrono::milliseconds(1));
  if (!answer.allowed) report.fact("retry_after_ms", retry_ms);
  session.print(report);
  if (!answer.allowed) session.exit_with(static_cast<int>(Exit::refused));
  return {};
}

Status reset(Session& session, const std::string& text) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const std::string name, unescape(text));
  service::Limiter limiter(context_of(*client));
  LS_RETURN_IF_ERROR(finish(*client, limiter.reset(name, client->options())));
  Report report;
  report.fact("reset", Bytes{name});
  session.print(report);
  return {};
}

void add_limit_commands(Commands& commands) {
  CLI::App& limit = commands.group("limit", "rate limits that a fleet shares");
  for (const bool only_looks : {false, true}) {
    auto arguments = std::make_shared<LimitArguments>();
    CLI::App& command = commands.command(
        limit, only_looks ? "show" : "take",
        only_looks ? "what could be taken now" : "take; exit status 4 if it is not allowed now",
        only_looks ? "  lockstep limit show mails --limit 100 --period 1m\n  lockstep limit show mails "
                     "--limit 100 --period 1m -o json\n"
                   : "  lockstep limit take mails --limit 100 --period 1m && ./send.sh\n"
                     "  lockstep limit take mails --limit 100 --period 1m --sliding --cost 5\n",
        [arguments, only_looks](Session& session) { return take(session, *arguments, only_looks); });
    command.add_option("name", arguments->name, "of the limit")->type_name("NAME")->required();
    command.add_option("--limit", arguments->limit, "so many in each period")->required();
    command.add_option("--period", arguments->period, "of the limit")->capture_default_str();
    command.add_option("--burst", arguments->burst, "so many at once [as --limit]");
    command.add_flag("--sliding", arguments->sliding,
                     "in any interval as long as a period, instead of on average");
    if (!only_looks) command.add_option("--cost", arguments->cost, "how many to take")->capture_default_str();
  }
  auto name = std::make_shared<std::string>();
  CLI::App& resets = commands.command(limit, "reset", "as if nothing had been taken",
                                      "  lockstep limit reset mails\n  lockstep limit reset mails -o json\n",
                                      [name](Session& session) { return reset(session, *name); });
  resets.add_option("name", *name, "of the limit")->type_name("NAME")->required();
}

}  // namespace

void add_count_commands(Commands& commands) {
  add_counter_commands(commands);
  add_id_commands(commands);
  add_limit_commands(commands);
}

}  // namespace lockstep::cli
