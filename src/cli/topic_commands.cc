// lockstep topic: messages that stay, published and worked off.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/recipes.h"
#include "cli/text.h"
#include "service/topic/topics.h"

namespace lockstep::cli {
namespace {

struct TopicArguments {
  std::string topic;
  std::string group;
  std::string key;
  std::vector<std::string> payloads;
  std::string retention = "168h";
  std::string wait = "0s";
  std::string visibility = "30s";
  std::string delay = "0s";
  std::string reason;
  std::string claim;
  std::string to = "first";
  std::int64_t partitions = 8;
  std::int64_t partition = 0;
  std::int64_t offset = 0;
  std::int64_t from = 0;
  std::int64_t attempts_max = 16;
  std::size_t max = 1;
  bool keep = false;
  bool reject = false;
};

Status done(Session& session, const char* what, const std::string& name) {
  Report report;
  report.fact(what, name);
  session.print(report);
  return {};
}

Status create(Session& session, Client& client, const TopicArguments& arguments) {
  service::TopicConfig config;
  config.partitions = arguments.partitions;
  LS_ASSIGN_OR_RETURN(const Duration retention, parse_duration(arguments.retention));
  config.retention_ms = ms_of(retention);
  service::Topics topics(context_of(client));
  LS_RETURN_IF_ERROR(finish(client, topics.create(arguments.topic, config, client.options())));
  return done(session, "created", arguments.topic);
}

Status remove(Session& session, Client& client, const TopicArguments& arguments) {
  service::Topics topics(context_of(client));
  LS_RETURN_IF_ERROR(finish(client, topics.remove(arguments.topic, client.options())));
  return done(session, "removed", arguments.topic);
}

Status list(Session& session, Client& client) {
  constexpr std::size_t page = 1000;
  service::Topics topics(context_of(client));
  Report report;
  Table& table = report.table("topics", {"topic"});
  std::string after;
  while (true) {
    LS_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        finish(client, topics.list(after, page, client.options())));
    for (const std::string& name : names) table.rows.push_back({Bytes{name}});
    if (names.size() < page) break;
    after = names.back();
  }
  session.print(report);
  return {};
}

Status show(Session& session, Client& client, const TopicArguments& arguments) {
  service::Topics topics(context_of(client));
  LS_ASSIGN_OR_RETURN(const service::TopicState state,
                      finish(client, topics.show(arguments.topic, client.options())));
  Report report;
  report.fact("topic", Bytes{state.name}).fact("retention_ms", state.config.retention_ms);
  std::vector<std::string> groups;
  for (const service::TopicState::Group& group : state.groups)
    groups.push_back(fmt::format("{}: {} behind", escape(group.name), group.behind));
  report.fact("groups", std::move(groups));
  Table& partitions = report.table("partitions", {"partition", "first", "next"});
  for (std::size_t i = 0; i < state.heads.size(); ++i)
    partitions.rows.push_back({static_cast<std::int64_t>(i), state.heads[i].first, state.heads[i].next});
  session.print(report);
  return {};
}

Status publish(Session& session, Client& client, const TopicArguments& arguments) {
  std::vector<service::TopicMessage> messages;
  for (const std::string& payload : arguments.payloads) {
    service::TopicMessage& message = messages.emplace_back();
    LS_ASSIGN_OR_RETURN(message.key, unescape(arguments.key));
    LS_ASSIGN_OR_RETURN(message.payload, unescape(payload));
  }
  service::Topics topics(context_of(client));
  LS_ASSIGN_OR_RETURN(const std::vector<service::MessagePosition> positions,
                      finish(client, topics.publish(arguments.topic, std::move(messages), client.options())));
  Report report;
  Table& table = report.table("positions", {"partition", "offset"});
  for (const service::MessagePosition& at : positions) table.rows.push_back({at.partition, at.offset});
  session.print(report);
  return {};
}

void add_messages(Report& report, const std::vector<service::DeliveredMessage>& messages) {
  Table& table = report.table("messages", {"offset", "key", "payload", "unix_ms"});
  for (const service::DeliveredMessage& one : messages)
    table.rows.push_back({one.offset, Bytes{one.message.key}, Bytes{one.message.payload}, one.at_ms});
}

// Acknowledged once they are printed, unless the claim is kept.
Status consume(Session& session, Client& client, const TopicArguments& arguments) {
  service::MessageClaimRequest request;
  request.max = arguments.max;
  request.attempts_max = arguments.attempts_max;
  LS_ASSIGN_OR_RETURN(request.wait, parse_duration(arguments.wait));
  LS_ASSIGN_OR_RETURN(request.visibility, parse_duration(arguments.visibility));
  store::CallOptions options = client.options();
  options.deadline += request.wait;
  service::Topics topics(context_of(client));
  LS_ASSIGN_OR_RETURN(const service::MessageClaim claim,
                      finish(client, topics.claim(arguments.topic, arguments.group, request, options)));
  Report report;
  if (arguments.keep && !claim.messages.empty()) report.fact("claim", service::to_string(claim.token));
  add_messages(report, claim.messages);
  session.print(report);
  if (claim.messages.empty()) {
    session.exit_with(static_cast<int>(Exit::not_found));
    return {};
  }
  if (arguments.keep) return {};
  service::MessageSettlement settlement;
  settlement.acknowledged_through = claim.token.to - 1;
  return finish(client,
                topics.settle(arguments.topic, arguments.group, claim.token, settlement, client.options()));
}

Status acknowledge(Session& session, Client& client, const TopicArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const service::ClaimToken token, service::parse_claim_token(arguments.claim));
  service::MessageSettlement settlement;
  settlement.acknowledged_through = token.to - 1;
  service::Topics topics(context_of(client));
  LS_RETURN_IF_ERROR(
      finish(client, topics.settle(arguments.topic, arguments.group, token, settlement, client.options())));
  return done(session, "acknowledged", arguments.claim);
}

Status give_back(Session& session, Client& client, const TopicArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const service::ClaimToken token, service::parse_claim_token(arguments.claim));
  service::MessageSettlement settlement;
  LS_ASSIGN_OR_RETURN(settlement.delay, parse_duration(arguments.delay));
  settlement.reason = arguments.reason;
  settlement.reject = arguments.reject;
  service::Topics topics(context_of(client));
  LS_RETURN_IF_ERROR(finish(client, topics.settle(arguments.topic, arguments.group, token,
                                                  std::move(settlement), client.options())));
  return done(session, arguments.reject ? "rejected" : "given_back", arguments.claim);
}

Status read(Session& session, Client& client, const TopicArguments& arguments) {
  service::Topics topics(context_of(client));
  LS_ASSIGN_OR_RETURN(const std::vector<service::DeliveredMessage> messages,
                      finish(client, topics.read(arguments.topic, arguments.partition, arguments.from,
                                                 arguments.max, client.options())));
  Report report;
  add_messages(report, messages);
  session.print(report);
  return {};
}

Status seek(Session& session, Client& client, const TopicArguments& arguments) {
  service::Topics::Seek to;
  if (arguments.to == "end") {
    to.to = service::Topics::Seek::To::end;
  } else if (arguments.to != "first") {
    LS_ASSIGN_OR_RETURN(const std::uint64_t at_ms, parse_number(arguments.to));
    to = {service::Topics::Seek::To::time, static_cast<std::int64_t>(at_ms)};
  }
  service::Topics topics(context_of(client));
  LS_RETURN_IF_ERROR(finish(client, topics.seek(arguments.topic, arguments.group, to, client.options())));
  return done(session, "moved", arguments.group);
}

Status dead(Session& session, Client& client, const TopicArguments& arguments) {
  constexpr std::size_t shown_max = 1000;
  service::Topics topics(context_of(client));
  LS_ASSIGN_OR_RETURN(
      const std::vector<service::DeadMessage> letters,
      finish(client, topics.dead(arguments.topic, arguments.group, shown_max, client.options())));
  Report report;
  Table& table = report.table("messages", {"partition", "offset", "attempts", "reason", "key", "payload"});
  for (const service::DeadMessage& one : letters)
    table.rows.push_back({one.partition, one.offset, one.attempts, one.reason, Bytes{one.message.key},
                          Bytes{one.message.payload}});
  session.print(report);
  return {};
}

Status redrive(Session& session, Client& client, const TopicArguments& arguments) {
  service::Topics topics(context_of(client));
  LS_RETURN_IF_ERROR(
      finish(client, topics.redrive(arguments.topic, arguments.group, {arguments.partition, arguments.offset},
                                    client.options())));
  return done(session, "redriven",
              std::to_string(arguments.partition) + "/" + std::to_string(arguments.offset));
}

using Verb = Status (*)(Session&, Client&, const TopicArguments&);

CLI::App& add(Commands& commands, CLI::App& topic, std::string_view name, std::string_view help,
              std::string_view examples, const std::shared_ptr<TopicArguments>& arguments, Verb verb) {
  CLI::App& command =
      commands.command(topic, name, help, examples, [arguments, verb](Session& session) -> Status {
        LS_ASSIGN_OR_RETURN(Client * client, session.client());
        return verb(session, *client, *arguments);
      });
  command.add_option("topic", arguments->topic, "its name")->type_name("TOPIC")->required();
  return command;
}

void add_group(CLI::App& command, TopicArguments& arguments) {
  command.add_option("group", arguments.group, "of consumers: each is delivered everything")
      ->type_name("GROUP")
      ->required();
}

void add_making(Commands& commands, CLI::App& topic) {
  auto created = std::make_shared<TopicArguments>();
  CLI::App& creating =
      add(commands, topic, "create", "make a topic",
          "  lockstep topic create orders\n  lockstep topic create orders --partitions 4 --retention 24h\n",
          created, create);
  creating.add_option("--partitions", created->partitions, "worked on side by side; stays")
      ->capture_default_str();
  creating.add_option("--retention", created->retention, "older messages go; 0s: they stay")
      ->capture_default_str();
  add(commands, topic, "rm", "remove a topic with everything in it",
      "  lockstep topic rm orders\n  lockstep topic rm orders -o json\n", std::make_shared<TopicArguments>(),
      remove);
  add(commands, topic, "show", "what a topic holds, and how far its groups are",
      "  lockstep topic show orders\n  lockstep topic show orders -o json\n",
      std::make_shared<TopicArguments>(), show);
  commands.command(topic, "ls", "topics", "  lockstep topic ls\n  lockstep topic ls -o json\n",
                   [](Session& session) -> Status {
                     LS_ASSIGN_OR_RETURN(Client * client, session.client());
                     return list(session, *client);
                   });
  auto published = std::make_shared<TopicArguments>();
  CLI::App& publishing =
      add(commands, topic, "publish", "publish messages",
          "  lockstep topic publish orders --key o1 placed\n  lockstep topic publish orders a b c\n",
          published, publish);
  publishing.add_option("--key", published->key, "messages of one key keep their order");
  publishing.add_option("payload", published->payloads, "one message each")->type_name("PAYLOAD")->required();
}

void add_working(Commands& commands, CLI::App& topic) {
  auto consumed = std::make_shared<TopicArguments>();
  CLI::App& consuming =
      add(commands, topic, "consume", "take messages and acknowledge them; exit status 3 if there are none",
          "  lockstep topic consume orders billing --max 10 --wait 30s\n"
          "  lockstep topic consume orders billing --keep -o json      # acknowledged by `topic ack`\n",
          consumed, consume);
  add_group(consuming, *consumed);
  consuming.add_option("--max", consumed->max, "so many at once")->capture_default_str();
  consuming.add_option("--wait", consumed->wait, "for a message")->capture_default_str();
  consuming.add_option("--visibility", consumed->visibility, "delivered again if it is not settled by then")
      ->capture_default_str();
  consuming
      .add_option("--attempts-max", consumed->attempts_max, "deliveries before a message is a dead letter")
      ->capture_default_str();
  consuming.add_flag("--keep", consumed->keep, "do not acknowledge: tell the claim");
  for (const bool back : {false, true}) {
    auto arguments = std::make_shared<TopicArguments>();
    CLI::App& command =
        add(commands, topic, back ? "retry" : "ack",
            back ? "give a claim's messages back: they are delivered again" : "a claim's messages are done",
            back ? "  lockstep topic retry orders billing CLAIM --delay 5s --reason 'no such customer'\n"
                   "  lockstep topic retry orders billing CLAIM --reject\n"
                 : "  lockstep topic ack orders billing CLAIM\n  lockstep topic ack orders billing CLAIM -o "
                   "json\n",
            arguments, back ? give_back : acknowledge);
    add_group(command, *arguments);
    command.add_option("claim", arguments->claim, "as consume --keep told it")
        ->type_name("CLAIM")
        ->required();
    if (!back) continue;
    command.add_option("--delay", arguments->delay, "not before so long")->capture_default_str();
    command.add_option("--reason", arguments->reason, "for people");
    command.add_flag("--reject", arguments->reject, "the first is a dead letter at once");
  }
}

void add_looking(Commands& commands, CLI::App& topic) {
  auto reads = std::make_shared<TopicArguments>();
  reads->max = 100;
  CLI::App& reading = add(
      commands, topic, "read", "messages of a partition, for nobody in particular",
      "  lockstep topic read orders\n  lockstep topic read orders --partition 3 --from 100\n", reads, read);
  reading.add_option("--partition", reads->partition, "of the topic")->capture_default_str();
  reading.add_option("--from", reads->from, "this offset on")->capture_default_str();
  reading.add_option("--max", reads->max, "so many")->capture_default_str();
  auto seeks = std::make_shared<TopicArguments>();
  CLI::App& seeking =
      add(commands, topic, "seek", "where a group goes on; claims under way are lost",
          "  lockstep topic seek orders billing --to first\n"
          "  lockstep topic seek orders billing --to 1790000000000      # milliseconds since 1970\n",
          seeks, seek);
  add_group(seeking, *seeks);
  seeking.add_option("--to", seeks->to, "first, end, or a time in milliseconds since 1970")
      ->capture_default_str();
  auto letters = std::make_shared<TopicArguments>();
  add_group(add(commands, topic, "dead", "what a group was delivered too often, or rejected",
                "  lockstep topic dead orders billing\n  lockstep topic dead orders billing -o json\n",
                letters, dead),
            *letters);
  auto driven = std::make_shared<TopicArguments>();
  CLI::App& driving = add(
      commands, topic, "redrive", "deliver a dead letter to its group again",
      "  lockstep topic redrive orders billing 0 17\n  lockstep topic redrive orders billing 3 4 -o json\n",
      driven, redrive);
  add_group(driving, *driven);
  driving.add_option("partition", driven->partition, "of the letter")->type_name("PARTITION")->required();
  driving.add_option("offset", driven->offset, "of the letter")->type_name("OFFSET")->required();
}

}  // namespace

void add_topic_commands(Commands& commands) {
  CLI::App& topic = commands.group("topic", "messages that stay, for groups of consumers");
  add_making(commands, topic);
  add_working(commands, topic);
  add_looking(commands, topic);
}

}  // namespace lockstep::cli
