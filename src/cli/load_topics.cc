// lockstep bench topics: publishers and consumers of one topic, in this process.
#include <algorithm>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/histogram.h"
#include "cli/recipes.h"
#include "cli/text.h"
#include "service/topic/topics.h"

namespace lockstep::cli {
namespace {

struct TopicLoadArguments {
  std::string topic = "lockstep-bench";
  std::int64_t partitions = 8;
  std::size_t publishers = 512;  // a message each in flight
  std::size_t consumers = 8;
  std::size_t value_bytes = 256;
  std::uint64_t total = 200'000;
};

// What publishers and consumers share; everything on the strand.
struct TopicLoad {
  TopicLoad(Client& of, const TopicLoadArguments& with)
      : client(of), arguments(with), topics(context_of(of)) {}
  [[nodiscard]] store::CallOptions options() { return client.options(); }
  void one_ends() {
    if (--running == 0) done(Status());
  }

  Client& client;
  const TopicLoadArguments& arguments;
  service::Topics topics;
  std::string payload;
  std::uint64_t begun = 0;
  std::uint64_t published = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t failures = 0;
  std::string first_error;
  std::size_t running = 0;
  Histogram latencies;
  std::function<void(Status)> done;
};

Task<void> publish_on(std::shared_ptr<TopicLoad> load, std::size_t number) {
  while (load->begun < load->arguments.total) {
    ++load->begun;
    std::vector<service::TopicMessage> messages(1);
    messages[0].key = fmt::format("k{}", number);
    messages[0].payload = load->payload;
    const TimePoint from = load->client.clock().now();
    const auto at =
        co_await load->topics.publish(load->arguments.topic, std::move(messages), load->options());
    if (at.ok()) {
      ++load->published;
      load->latencies.add(load->client.clock().now() - from);
      continue;
    }
    ++load->failures;
    if (load->first_error.empty()) load->first_error = at.status().message();
    --load->begun;  // another one, as long as that brings anything
    if (load->failures > 1000) break;
  }
  load->one_ends();
}

Task<void> consume_on(std::shared_ptr<TopicLoad> load) {
  while (load->acknowledged < load->arguments.total && load->failures <= 1000) {
    service::MessageClaimRequest request;
    request.max = service::messages_per_claim_max;
    request.wait = 200ms;
    const auto claim = co_await load->topics.claim(load->arguments.topic, "bench", request, load->options());
    if (!claim.ok()) {
      ++load->failures;
      if (load->first_error.empty()) load->first_error = claim.status().message();
      continue;
    }
    if (claim->messages.empty()) continue;
    service::MessageSettlement settlement;
    settlement.acknowledged_through = claim->token.to - 1;
    const Status settled = co_await load->topics.settle(load->arguments.topic, "bench", claim->token,
                                                        settlement, load->options());
    if (settled.ok()) load->acknowledged += claim->messages.size();
    if (!settled.ok()) ++load->failures;
  }
  load->one_ends();
}

Status run(Session& session, const TopicLoadArguments& arguments) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  const auto load = std::make_shared<TopicLoad>(*client, arguments);
  load->payload.assign(arguments.value_bytes, 'x');
  (void)finish(*client, load->topics.remove(arguments.topic, client->options()));
  service::TopicConfig config;
  config.partitions = arguments.partitions;
  LS_RETURN_IF_ERROR(finish(*client, load->topics.create(arguments.topic, config, client->options())));
  Session::warn(fmt::format("{} messages of {} bytes, published and acknowledged", arguments.total,
                            arguments.value_bytes));
  const TimePoint from = client->clock().now();
  LS_RETURN_IF_ERROR(client->wait<Status>([&](auto done) {
    load->done = std::move(done);
    load->running = arguments.publishers + arguments.consumers;
    for (std::size_t i = 0; i < arguments.consumers; ++i) consume_on(load).detach();
    for (std::size_t i = 0; i < arguments.publishers; ++i) publish_on(load, i).detach();
  }));
  const double seconds = static_cast<double>((client->clock().now() - from).count()) / 1e9;
  (void)finish(*client, load->topics.remove(arguments.topic, client->options()));
  Report report;
  report.fact("operation", "topics")
      .fact("published", load->published)
      .fact("acknowledged", load->acknowledged)
      .fact("seconds", seconds)
      .fact("messages_per_second", static_cast<double>(load->acknowledged) / std::max(seconds, 1e-9))
      .fact("publish_p50_us", static_cast<double>(load->latencies.quantile(0.5).count()) / 1e3)
      .fact("publish_p99_us", static_cast<double>(load->latencies.quantile(0.99).count()) / 1e3)
      .fact("failures", load->failures)
      .fact("first_error", load->first_error);
  session.print(report);
  return {};
}

}  // namespace

void add_topic_bench(Commands& commands, CLI::App& bench) {
  auto arguments = std::make_shared<TopicLoadArguments>();
  CLI::App& topics = commands.command(
      bench, "topics", "publish to a topic and consume it, in one process; the topic is made and removed",
      "  lockstep bench topics\n  lockstep bench topics --total 1000000 --partitions 16 -o json\n",
      [arguments](Session& session) { return run(session, *arguments); });
  topics.add_option("--topic", arguments->topic, "its name")->capture_default_str();
  topics.add_option("--partitions", arguments->partitions, "of the topic")
      ->check(CLI::Range(std::int64_t{1}, service::partitions_max))
      ->capture_default_str();
  topics.add_option("--publishers", arguments->publishers, "each with a message in flight")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  topics.add_option("--consumers", arguments->consumers, "each with a claim")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  topics.add_option("--value-size", arguments->value_bytes, "bytes of a message")
      ->check(CLI::Range(0, 262'144))
      ->capture_default_str();
  topics.add_option("--total", arguments->total, "messages")->capture_default_str();
}

}  // namespace lockstep::cli
