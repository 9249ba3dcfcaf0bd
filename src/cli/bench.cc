// lockstep bench: the load client's commands.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/load.h"
#include "cli/load_sessions.h"
#include "cli/load_streams.h"
#include "cli/load_timers.h"
#include "cli/text.h"

namespace lockstep::cli {
namespace {

// With more of them the server is never without requests.
constexpr std::size_t few_connections_max = 4;

struct BenchArguments {
  LoadOptions load;
  std::string duration = "10s";
  std::string warm_up = "0";
  bool serializable = false;
  bool no_preload = false;
  std::size_t watchers = 100;
  std::size_t writers = 16;
  std::size_t locks = 0;
  std::size_t sessions = 1000;
  std::size_t streams = 0;
  std::string ttl = "30s";
};

double microseconds(Duration duration) {
  return static_cast<double>(duration.count()) / 1e3;
}

Report report_of(std::string_view operation, const LoadOptions& options, const LoadResult& result) {
  const double seconds = static_cast<double>(result.elapsed.count()) / 1e9;
  const auto requests = static_cast<double>(std::max<std::uint64_t>(result.requests, 1));
  Report report;
  report.fact("operation", std::string(operation))
      .fact("connections", static_cast<std::uint64_t>(options.connections))
      .fact("in_flight", static_cast<std::uint64_t>(options.connections * options.in_flight))
      .fact("requests", result.requests)
      .fact("seconds", seconds)
      .fact("requests_per_second", static_cast<double>(result.requests) / std::max(seconds, 1e-9))
      .fact("p50_us", microseconds(result.latencies.quantile(0.5)))
      .fact("p90_us", microseconds(result.latencies.quantile(0.9)))
      .fact("p99_us", microseconds(result.latencies.quantile(0.99)))
      .fact("p999_us", microseconds(result.latencies.quantile(0.999)))
      .fact("max_us", microseconds(result.latencies.max()))
      .fact("client_cpu_us_per_request", microseconds(result.processor) / requests)
      .fact("failures", result.failures)
      .fact("misses", result.misses);
  std::vector<std::string> errors;
  for (const auto& [text, count] : result.errors) errors.push_back(fmt::format("{} x {}", count, text));
  report.fact("errors", std::move(errors));
  return report;
}

Status run_load(Client& client, LoadConnections& connections, LoadOperation& operation,
                const LoadOptions& options, LoadResult* result) {
  Load load(client.executor(), client.clock(), connections, operation, options);
  LS_RETURN_IF_ERROR(client.wait<Status>(
      [&](auto done) { load.run([done = std::move(done)]() mutable { done(Status()); }); }));
  *result = load.result();
  if (result->requests == 0 && result->failures > 0)
    return {Code::unavailable, result->errors.empty() ? "every call failed" : result->errors.begin()->first};
  return {};
}

// What every bench needs before it begins.
struct Prepared {
  Client* client = nullptr;
  LoadOptions options;
  std::unique_ptr<LoadConnections> connections;
};

Result<Prepared> prepare(Session& session, const BenchArguments& arguments) {
  Prepared prepared;
  LS_ASSIGN_OR_RETURN(prepared.client, session.client());
  Client& client = *prepared.client;
  prepared.options = arguments.load;
  LS_ASSIGN_OR_RETURN(prepared.options.duration, parse_duration(arguments.duration));
  LS_ASSIGN_OR_RETURN(prepared.options.warm_up, parse_duration(arguments.warm_up));
  if (prepared.options.requests != 0) prepared.options.warm_up = {};
  prepared.connections = std::make_unique<LoadConnections>(
      prepared.options.connections, client.settings().endpoints, [&](const std::string& endpoint) {
        return client.connections_to(endpoint, prepared.options.connections > few_connections_max);
      });
  LS_RETURN_IF_ERROR(client.wait<Status>(
      [&](auto done) { prepared.connections->open(client.deadline(), std::move(done)); }));
  return prepared;
}

Status run_bench(Session& session, const std::string& name, const BenchArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const Prepared prepared, prepare(session, arguments));
  const LoadOptions& options = prepared.options;
  Client* const client = prepared.client;
  LoadConnections& connections = *prepared.connections;
  LoadResult result;
  if (name == "get" && !arguments.no_preload) {
    LoadOptions preload_options = options;
    preload_options.requests = options.keys;
    preload_options.warm_up = {};
    const auto preload = make_preload(options);
    LS_RETURN_IF_ERROR(run_load(*client, connections, *preload, preload_options, &result));
  }
  const auto operation = make_operation(name, arguments.serializable, options);
  LS_MUST(operation != nullptr);
  LS_RETURN_IF_ERROR(run_load(*client, connections, *operation, options, &result));
  const std::string shown =
      name == "get" ? (arguments.serializable ? "get-serializable" : "get-linearizable") : name;
  session.print(report_of(shown, options, result));
  return {};
}

Status run_watch_bench(Session& session, const BenchArguments& arguments) {
  LS_ASSIGN_OR_RETURN(Prepared prepared, prepare(session, arguments));
  Client& client = *prepared.client;
  LoadOptions& options = prepared.options;
  options.calls = arguments.writers;
  WatchLoad watchers(client.clock(), *prepared.connections, options, arguments.watchers);
  LS_RETURN_IF_ERROR(client.wait<Status>([&](auto done) { watchers.open(std::move(done)); }));
  const auto operation = make_stamped_put(options, client.clock());
  watchers.count();
  LoadResult result;
  LS_RETURN_IF_ERROR(run_load(client, *prepared.connections, *operation, options, &result));
  const double elapsed_s = static_cast<double>(result.elapsed.count()) / 1e9;
  const auto events = static_cast<double>(std::max<std::uint64_t>(watchers.events(), 1));
  Report report;
  report.fact("operation", std::string("watch"))
      .fact("connections", static_cast<std::uint64_t>(options.connections))
      .fact("watchers", static_cast<std::uint64_t>(arguments.watchers))
      .fact("writers", static_cast<std::uint64_t>(arguments.writers))
      .fact("puts", result.requests)
      .fact("events", watchers.events())
      .fact("seconds", elapsed_s)
      .fact("puts_per_second", static_cast<double>(result.requests) / elapsed_s)
      .fact("events_per_second", static_cast<double>(watchers.events()) / elapsed_s)
      .fact("p50_us", microseconds(watchers.delays().quantile(0.5)))
      .fact("p99_us", microseconds(watchers.delays().quantile(0.99)))
      .fact("max_us", microseconds(watchers.delays().max()))
      .fact("client_cpu_us_per_event", microseconds(result.processor) / events)
      .fact("failures", result.failures);
  session.print(report);
  return {};
}

Status run_lock_bench(Session& session, const BenchArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const Prepared prepared, prepare(session, arguments));
  const std::size_t slots = prepared.options.connections * prepared.options.in_flight;
  const std::size_t locks = arguments.locks == 0 ? slots : arguments.locks;
  const auto operation = make_lock_cycle(prepared.options, locks);
  LoadResult result;
  LS_RETURN_IF_ERROR(
      run_load(*prepared.client, *prepared.connections, *operation, prepared.options, &result));
  Report report = report_of("lock", prepared.options, result);
  report.fact("locks", static_cast<std::uint64_t>(locks));
  session.print(report);
  return {};
}

Status run_session_bench(Session& session, const BenchArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const Prepared prepared, prepare(session, arguments));
  Client& client = *prepared.client;
  LS_ASSIGN_OR_RETURN(const Duration ttl, parse_duration(arguments.ttl));
  SessionLoad load(client.executor(), client.clock(), *prepared.connections, prepared.options,
                   arguments.sessions, ttl);
  Session::warn(fmt::format("opening {} sessions", arguments.sessions));
  LS_RETURN_IF_ERROR(client.wait<Status>([&](auto done) { load.open(std::move(done)); }));
  Session::warn(fmt::format("keeping them for {}", arguments.duration));
  LS_RETURN_IF_ERROR(client.wait<Status>(
      [&](auto done) { load.run([done = std::move(done)]() mutable { done(Status()); }); }));
  Report report = report_of("sessions", prepared.options, load.result());
  report.fact("sessions", static_cast<std::uint64_t>(arguments.sessions));
  session.print(report);
  return {};
}

Status run_renewal_bench(Session& session, const BenchArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const Prepared prepared, prepare(session, arguments));
  Client& client = *prepared.client;
  RenewalLoad load(client.executor(), client.clock(), *prepared.connections, prepared.options,
                   arguments.streams);
  LS_RETURN_IF_ERROR(client.wait<Status>(
      [&](auto done) { load.run([done = std::move(done)]() mutable { done(Status()); }); }));
  session.print(report_of("lease-keepalive", prepared.options, load.result()));
  return {};
}

Status run_timer_bench(Session& session, const TimerLoadOptions& options) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  Session::warn(fmt::format("setting {} timers", options.pending + options.due));
  TimerLoad load(*client, options);
  LS_ASSIGN_OR_RETURN(const TimerLoadResult result, load.run());
  const auto seconds = [](Duration time) { return std::max(static_cast<double>(time.count()) / 1e9, 1e-9); };
  Report report;
  report.fact("operation", std::string("timers"))
      .fact("connections", static_cast<std::uint64_t>(options.connections))
      .fact("pending", static_cast<std::uint64_t>(options.pending))
      .fact("due", static_cast<std::uint64_t>(options.due))
      .fact("set_per_second", static_cast<double>(options.pending + options.due) / seconds(result.setting))
      .fact("acknowledged", result.acknowledged)
      .fact("seconds", seconds(result.working))
      .fact("acknowledged_per_second", static_cast<double>(result.acknowledged) / seconds(result.working))
      .fact("claims", result.claims)
      .fact("empty_claims", result.empty_claims)
      .fact("failures", result.failures)
      .fact("first_failure", result.first_failure);
  session.print(report);
  return {};
}

void add_load_options(CLI::App& command, BenchArguments& arguments, bool with_keys) {
  LoadOptions& load = arguments.load;
  command.add_option("--connections", load.connections, "connections, spread over the endpoints")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  command.add_option("--in-flight", load.in_flight, "calls in flight on each connection")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  command.add_option("--duration", arguments.duration, "how long")->capture_default_str();
  command.add_option("--total", load.requests, "so many requests instead of --duration");
  command.add_option("--warm-up", arguments.warm_up, "not counted, before --duration")->capture_default_str();
  command.add_option("--seed", load.seed, "of the choice of keys")->capture_default_str();
  if (!with_keys) return;
  command.add_option("--keys", load.keys, "how many different keys")
      ->check(CLI::Range(1, 1'000'000'000))
      ->capture_default_str();
  command.add_option("--value-size", load.value_bytes, "bytes of a value")
      ->check(CLI::Range(0, 1'048'576))
      ->capture_default_str();
  command.add_option("--key-prefix", load.key_prefix, "what the keys begin with")->capture_default_str();
}

void add_lock_bench(Commands& commands, CLI::App& bench) {
  auto locking = std::make_shared<BenchArguments>();
  CLI::App& lock = commands.command(
      bench, "lock", "take and release locks; a request is one cycle, a miss one that was overtaken",
      "  lockstep bench lock --connections 1 --in-flight 64\n"
      "  lockstep bench lock --locks 1 --connections 4 --in-flight 8\n"
      "  lockstep bench lock --total 10000 -o json\n",
      [locking](Session& session) { return run_lock_bench(session, *locking); });
  add_load_options(lock, *locking, false);
  lock.add_option("--key-prefix", locking->load.key_prefix, "what the names begin with")
      ->capture_default_str();
  lock.add_option("--locks", locking->locks,
                  "how many locks they contend for; 0: one for each call in flight")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
}

void add_session_bench(Commands& commands, CLI::App& bench) {
  auto keeping = std::make_shared<BenchArguments>();
  CLI::App& sessions = commands.command(
      bench, "sessions", "keep sessions alive that hold a lock each; a miss is one that was lost",
      "  lockstep bench sessions --sessions 100000 --connections 1000 --ttl 30s --duration 60s\n"
      "  lockstep bench sessions --sessions 1000 --duration 10s -o json\n",
      [keeping](Session& session) { return run_session_bench(session, *keeping); });
  add_load_options(sessions, *keeping, false);
  sessions.add_option("--key-prefix", keeping->load.key_prefix, "what the names begin with")
      ->capture_default_str();
  sessions.add_option("--sessions", keeping->sessions, "how many")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  sessions.add_option("--ttl", keeping->ttl, "of each; renewed three times in that time")
      ->capture_default_str();
}

void add_timer_bench(Commands& commands, CLI::App& bench) {
  auto options = std::make_shared<TimerLoadOptions>();
  CLI::App& timers = commands.command(
      bench, "timers", "set timers that wait and timers that are due; claim and acknowledge those",
      "  lockstep bench timers --pending 1000000 --due 200000 --connections 4\n"
      "  lockstep bench timers --pending 0 --due 10000 -o json\n",
      [options](Session& session) { return run_timer_bench(session, *options); });
  timers.add_option("--connections", options->connections, "connections, spread over the endpoints")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  timers.add_option("--in-flight", options->in_flight, "timers being set on each connection")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  timers.add_option("--pending", options->pending, "timers that only wait, in a queue of their own")
      ->check(CLI::Range(0, 100'000'000))
      ->capture_default_str();
  timers.add_option("--due", options->due, "timers that are worked off")
      ->check(CLI::Range(1, 100'000'000))
      ->capture_default_str();
  timers.add_option("--queues", options->queues, "that those due are spread over")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  timers.add_option("--payload-size", options->payload_bytes, "bytes of a payload")
      ->check(CLI::Range(0, 65'536))
      ->capture_default_str();
}

void add_stream_benches(Commands& commands, CLI::App& bench) {
  auto renewing = std::make_shared<BenchArguments>();
  CLI::App& renewal =
      commands.command(bench, "lease-keepalive", "renew leases, each on a stream of its own or many on one",
                       "  lockstep bench lease-keepalive --connections 1 --in-flight 64\n"
                       "  lockstep bench lease-keepalive --in-flight 64 --streams 1\n"
                       "  lockstep bench lease-keepalive --total 10000 -o json\n",
                       [renewing](Session& session) { return run_renewal_bench(session, *renewing); });
  add_load_options(renewal, *renewing, false);
  renewal
      .add_option(
          "--streams", renewing->streams,
          "streams of a connection that its renewals share, as etcd's clients share one; 0: none shared")
      ->check(CLI::Range(0, 100'000))
      ->capture_default_str();

  auto watching = std::make_shared<BenchArguments>();
  CLI::App& watch =
      commands.command(bench, "watch", "write one key that many watch",
                       "  lockstep bench watch --watchers 100 --writers 16\n"
                       "  lockstep bench watch --watchers 1000 --writers 1 --duration 30s -o json\n",
                       [watching](Session& session) { return run_watch_bench(session, *watching); });
  add_load_options(watch, *watching, true);
  watch.add_option("--watchers", watching->watchers, "watchers, each on a stream of its own")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  watch.add_option("--writers", watching->writers, "puts in flight together")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
}

}  // namespace

void add_bench_commands(Commands& commands) {
  CLI::App& bench = commands.group("bench", "measure a cluster with the load client");
  struct Kind {
    const char* name;
    const char* help;
    const char* examples;
    bool with_keys;
  };
  for (const Kind& kind :
       {Kind{"put", "put random keys",
             "  lockstep bench put --connections 10 --in-flight 100 --duration 30s\n"
             "  lockstep bench put --total 100000 --value-size 1024 -o json\n"
             "  lockstep bench put --connections 1 --in-flight 1\n",
             true},
        Kind{"get", "get random keys, after putting each once",
             "  lockstep bench get --duration 30s\n"
             "  lockstep bench get --serializable --connections 10\n"
             "  lockstep bench get --no-preload --keys 1000\n",
             true},
        Kind{"txn", "compare a key's revision and put it, each call in flight on a key of its own",
             "  lockstep bench txn --connections 8 --in-flight 32\n"
             "  lockstep bench txn --total 10000 -o json\n"
             "  lockstep bench txn --keys 100000\n",
             true},
        Kind{"lease-grant", "grant leases of 60 s",
             "  lockstep bench lease-grant --connections 1 --in-flight 64\n"
             "  lockstep bench lease-grant --total 1000\n"
             "  lockstep bench lease-grant -o json\n",
             false}}) {
    auto arguments = std::make_shared<BenchArguments>();
    CLI::App& command = commands.command(bench, kind.name, kind.help, kind.examples,
                                         [arguments, name = std::string(kind.name)](Session& session) {
                                           return run_bench(session, name, *arguments);
                                         });
    add_load_options(command, *arguments, kind.with_keys);
    if (std::string_view(kind.name) != "get") continue;
    command.add_flag("--serializable", arguments->serializable, "any member may answer from what it has");
    command.add_flag("--no-preload", arguments->no_preload, "the keys are there already");
  }
  add_lock_bench(commands, bench);
  add_session_bench(commands, bench);
  add_timer_bench(commands, bench);
  add_stream_benches(commands, bench);
  add_topic_bench(commands, bench);
}

}  // namespace lockstep::cli
