// /v1/topics: messages that stay, for groups of consumers.
#include <utility>

#include "gateway/v1/coordination.h"
#include "service/names.h"

namespace lockstep::gateway::v1 {
namespace {

using service::DeliveredMessage;
using service::TopicMessage;
using std::chrono::milliseconds;

constexpr std::int64_t listed_max = 1000;
constexpr std::int64_t dead_shown_max = 100;
constexpr std::int64_t token_bytes_max = 160;
constexpr std::int64_t reason_bytes_max = 512;
constexpr std::int64_t epoch_ms_max = 9'000'000'000'000;  // the year 2255

Task<Outcome> create(Coordination* recipes, Call call) {
  const Arguments& given = call.arguments;
  service::TopicConfig config;
  config.partitions = given.integer("partitions", config.partitions);
  config.retention_ms = given.integer("retention_ms", config.retention_ms);
  config.retention_messages = given.integer("retention_messages", config.retention_messages);
  const Status done = co_await recipes->topics.create(given.text("topic"), config, std::move(call.options));
  if (!done.ok()) co_return done;
  JsonText json;
  json.bytes("topic", call.arguments.text("topic")).number("partitions", config.partitions);
  co_return std::move(json);
}

Outcome named(const Call& call, const Status& status) {
  if (!status.ok()) return status;
  JsonText json;
  return std::move(json.bytes("topic", call.arguments.text("topic")));
}

Task<Outcome> remove(Coordination* recipes, Call call) {
  co_return named(call, co_await recipes->topics.remove(call.arguments.text("topic"), call.options));
}

Task<Outcome> show(Coordination* recipes, Call call) {
  const Result<service::TopicState> state =
      co_await recipes->topics.show(call.arguments.text("topic"), std::move(call.options));
  if (!state.ok()) co_return state.status();
  JsonText json;
  json.bytes("topic", state->name).number("retention_ms", state->config.retention_ms);
  json.number("retention_messages", state->config.retention_messages);
  json.begin_list("partitions");
  for (const service::TopicHead& head : state->heads) {
    JsonText one;
    json.element(one.number("first", head.first).number("next", head.next));
  }
  json.end_list();
  json.begin_list("groups");
  for (const service::TopicState::Group& group : state->groups) {
    JsonText one;
    json.element(one.bytes("group", group.name).number("behind", group.behind));
  }
  co_return std::move(json.end_list());
}

Task<Outcome> list(Coordination* recipes, Call call) {
  const Result<std::vector<std::string>> names =
      co_await recipes->topics.list(call.arguments.text("after"), listed_max, std::move(call.options));
  if (!names.ok()) co_return names.status();
  JsonText json;
  json.begin_list("topics");
  for (const std::string& name : *names) {
    JsonText one;
    json.element(one.bytes("topic", name));
  }
  co_return std::move(json.end_list());
}

TopicMessage message_of(const Arguments& given) {
  TopicMessage message;
  message.key = given.text("key");
  message.payload = given.text("payload");
  for (const Arguments& header : given.objects("headers"))
    message.headers.emplace_back(header.text("name"), header.text("value"));
  return message;
}

Task<Outcome> publish(Coordination* recipes, Call call) {
  std::vector<TopicMessage> messages;
  for (const Arguments& one : call.arguments.objects("messages")) messages.push_back(message_of(one));
  const Result<std::vector<service::MessagePosition>> positions = co_await recipes->topics.publish(
      call.arguments.text("topic"), std::move(messages), std::move(call.options));
  if (!positions.ok()) co_return positions.status();
  JsonText json;
  json.begin_list("positions");
  for (const service::MessagePosition& at : *positions) {
    JsonText one;
    json.element(one.number("partition", at.partition).number("offset", at.offset));
  }
  co_return std::move(json.end_list());
}

JsonText to_json(const TopicMessage& message) {
  JsonText json;
  json.bytes("key", message.key).bytes("payload", message.payload);
  if (message.headers.empty()) return json;
  json.begin_list("headers");
  for (const auto& [name, value] : message.headers) {
    JsonText one;
    json.element(one.text("name", name).text("value", value));
  }
  return std::move(json.end_list());
}

void append(JsonText& json, const std::vector<DeliveredMessage>& messages) {
  json.begin_list("messages");
  for (const DeliveredMessage& one : messages) {
    JsonText element = to_json(one.message);
    json.element(element.number("offset", one.offset).number("at_ms", one.at_ms));
  }
  json.end_list();
}

Task<Outcome> claim(Coordination* recipes, Call call) {
  service::MessageClaimRequest request;
  request.max = static_cast<std::size_t>(call.arguments.integer("max", 1));
  request.visibility = milliseconds(call.arguments.integer("visibility_ms", 30'000));
  request.wait = milliseconds(call.arguments.integer("wait_ms"));
  request.attempts_max = call.arguments.integer("attempts_max", request.attempts_max);
  const Result<service::MessageClaim> claimed = co_await recipes->topics.claim(
      call.arguments.text("topic"), call.arguments.text("group"), request, std::move(call.options));
  if (!claimed.ok()) co_return claimed.status();
  JsonText json;
  append(json, claimed->messages);
  if (!claimed->messages.empty()) {
    json.text("claim", service::to_string(claimed->token)).number("partition", claimed->token.partition);
    json.number("token", claimed->token.revision.value()).number("attempt", claimed->token.attempts);
  }
  co_return std::move(json);
}

Task<Outcome> settle(Coordination* recipes, Call call) {
  const Arguments& given = call.arguments;
  const Result<service::ClaimToken> token = service::parse_claim_token(given.text("claim"));
  if (!token.ok()) co_return wrong_field("claim", token.status().message());
  service::MessageSettlement settlement;
  if (given.has("through")) settlement.acknowledged_through = given.integer("through");
  if (given.boolean("all")) settlement.acknowledged_through = token->to - 1;
  settlement.delay = milliseconds(given.integer("delay_ms"));
  settlement.reason = given.text("reason");
  settlement.reject = given.boolean("reject");
  const Status done = co_await recipes->topics.settle(given.text("topic"), given.text("group"), *token,
                                                      std::move(settlement), std::move(call.options));
  co_return named(call, done);
}

Task<Outcome> extend(Coordination* recipes, Call call) {
  const Result<service::ClaimToken> token = service::parse_claim_token(call.arguments.text("claim"));
  if (!token.ok()) co_return wrong_field("claim", token.status().message());
  const Result<Duration> left = co_await recipes->topics.extend(
      call.arguments.text("topic"), call.arguments.text("group"), *token, std::move(call.options));
  if (!left.ok()) co_return left.status();
  JsonText json;
  co_return std::move(json.number("visibility_ms", *left / 1ms));
}

Task<Outcome> read(Coordination* recipes, Call call) {
  const Arguments& given = call.arguments;
  const Result<std::vector<DeliveredMessage>> messages = co_await recipes->topics.read(
      given.text("topic"), given.integer("partition"), given.integer("from"),
      static_cast<std::size_t>(given.integer("max", 100)), std::move(call.options));
  if (!messages.ok()) co_return messages.status();
  JsonText json;
  append(json, *messages);
  co_return std::move(json);
}

Task<Outcome> seek(Coordination* recipes, Call call) {
  const Arguments& given = call.arguments;
  service::Topics::Seek seek;
  if (given.text("to") == "end") seek.to = service::Topics::Seek::To::end;
  if (given.text("to") == "time") seek.to = service::Topics::Seek::To::time;
  seek.at_ms = given.integer("at_ms");
  co_return named(
      call, co_await recipes->topics.seek(given.text("topic"), given.text("group"), seek, call.options));
}

Task<Outcome> dead(Coordination* recipes, Call call) {
  const Result<std::vector<service::DeadMessage>> letters = co_await recipes->topics.dead(
      call.arguments.text("topic"), call.arguments.text("group"), dead_shown_max, std::move(call.options));
  if (!letters.ok()) co_return letters.status();
  JsonText json;
  json.begin_list("messages");
  for (const service::DeadMessage& letter : *letters) {
    JsonText one = to_json(letter.message);
    one.number("partition", letter.partition).number("offset", letter.offset);
    json.element(one.number("attempts", letter.attempts).text("reason", letter.reason));
  }
  co_return std::move(json.end_list());
}

service::MessagePosition position_of(const Call& call) {
  return {call.arguments.integer("partition"), call.arguments.integer("offset")};
}

Task<Outcome> redrive(Coordination* recipes, Call call) {
  const Status done = co_await recipes->topics.redrive(
      call.arguments.text("topic"), call.arguments.text("group"), position_of(call), call.options);
  co_return named(call, done);
}

Task<Outcome> drop_dead(Coordination* recipes, Call call) {
  const Status done = co_await recipes->topics.drop_dead(
      call.arguments.text("topic"), call.arguments.text("group"), position_of(call), call.options);
  co_return named(call, done);
}

// ---- the table

std::int64_t most(Duration time) {
  return std::chrono::duration_cast<milliseconds>(time).count();
}
Field topic_field() {
  return name_field("the topic's name");
}
Field group_field() {
  return bytes_field("group", "of consumers: each group is delivered everything")
      .required()
      .between(1, service::name_bytes_max);
}
Field claim_field() {
  return text_field("claim", "as claim answered").required().between(1, token_bytes_max);
}
Field partition_field() {
  return integer_field("partition", "of the topic").between(0, service::partitions_max - 1).required();
}
Field offset_field() {
  return integer_field("offset", "the message's number in its partition")
      .between(0, service::offset_max)
      .required();
}
Field headers_field() {
  return object_list_field("headers", "beside the payload; for CloudEvents ce-id, ce-source and so on",
                           {text_field("name", "letters, digits and '-'").required().between(1, 64),
                            text_field("value", "printable ASCII")
                                .required()
                                .between(0, service::message_headers_bytes_max)})
      .between(0, service::message_headers_max);
}
Fields delivered_fields() {
  return {bytes_field("key", "as it was published").required(),
          bytes_field("payload", "as it was published").required(), headers_field(), offset_field(),
          integer_field("at_ms", "when it was published, by the server's clock").required()};
}
Field named_topic() {
  Field field = topic_field();
  field.name = "topic";
  return field;
}

Route create_route(Coordination& recipes) {
  Route route = post(recipes, "/v1/topics/create",
                     "Makes a topic; once more with the same configuration is fine", create);
  route.request = {
      named_topic(),
      integer_field("partitions", "worked on side by side; 8 if absent; stays")
          .between(1, service::partitions_max),
      integer_field("retention_ms", "older messages go when more come; 7 days if absent; 0: they stay")
          .between(0, 315'360'000'000),
      integer_field("retention_messages", "so many of each partition stay; 0, or absent: all")
          .between(0, service::offset_max)};
  route.answer = {named_topic(), integer_field("partitions", "that it has").required()};
  route.problems = {"topic_differs"};
  route.repeatable = true;
  return route;
}

Route publish_route(Coordination& recipes) {
  Route route =
      post(recipes, "/v1/topics/publish", "Publishes messages; those of one key keep their order", publish);
  route.request = {
      named_topic(),
      object_list_field(
          "messages", "all of them, or none where the answer is an error other than outcome_unknown",
          {bytes_field("key", "its partition is chosen by it").between(0, service::message_key_bytes_max),
           bytes_field("payload", "what is said").between(0, service::message_payload_bytes_max),
           headers_field()})
          .required()
          .between(1, service::messages_per_publish_max)};
  route.answer = {
      object_list_field("positions", "in the order of the messages", {partition_field(), offset_field()})
          .required()};
  route.problems = {"topic_not_found"};
  return route;
}

Route claim_route(Coordination& recipes) {
  Route route = post(recipes, "/v1/topics/claim",
                     "Messages of one partition for a group, and nobody else works on it meanwhile", claim);
  route.request = {
      named_topic(),
      group_field(),
      integer_field("max", "so many at once; 1 if absent").between(1, service::messages_per_claim_max),
      integer_field("visibility_ms", "how long they are yours unless settled; 30000 if absent")
          .between(1000, most(service::claim_visibility_max)),
      integer_field("attempts_max", "deliveries before a message is a dead letter; 16 if absent")
          .between(1, service::message_attempts_max),
      wait_field()};
  route.answer = {
      object_list_field("messages", "in their order; none if there was none", delivered_fields()).required(),
      text_field("claim", "names this claim"),
      integer_field("partition", "that they are of").between(0, service::partitions_max - 1),
      integer_field("token", "for what the consumer writes elsewhere: it only grows"),
      integer_field("attempt", "of the first message; 1 for the first")};
  route.problems = {"topic_not_found"};
  return route;
}

Route settle_route(Coordination& recipes) {
  Route route = post(recipes, "/v1/topics/settle",
                     "Acknowledges messages of a claim, and gives back the others", settle);
  route.request = {named_topic(),
                   group_field(),
                   claim_field(),
                   integer_field("through", "acknowledged up to this offset").between(0, service::offset_max),
                   boolean_field("all", "all of the claim are acknowledged"),
                   integer_field("delay_ms", "until the others are delivered again").between(0, 86'400'000),
                   text_field("reason", "why the others are given back").between(0, reason_bytes_max),
                   boolean_field("reject", "the first of the others is a dead letter at once")};
  route.answer = {named_topic()};
  route.problems = {"claim_lost"};
  return route;
}

Route about(Route route, Fields request, std::vector<std::string_view> problems) {
  route.request = std::move(request);
  route.answer = {named_topic()};
  route.problems = std::move(problems);
  return route;
}

Route show_route(Coordination& recipes) {
  Route route = get(recipes, "/v1/topics/show", "What a topic holds, and how far its groups are", show);
  route.request = {named_topic()};
  route.answer = {
      named_topic(), integer_field("retention_ms", "0: without end").required(),
      integer_field("retention_messages", "0: all").required(),
      object_list_field("partitions", "in their order",
                        {integer_field("first", "the first offset that is kept").required(),
                         integer_field("next", "the offset that comes next").required()})
          .required(),
      object_list_field("groups", "that have claimed",
                        {group_field(), integer_field("behind", "messages not acknowledged").required()})
          .required()};
  route.problems = {"topic_not_found"};
  return route;
}

Route dead_route(Coordination& recipes) {
  Route route =
      get(recipes, "/v1/topics/dead", "What a group was delivered too often, or rejected, up to 100", dead);
  route.request = {named_topic(), group_field()};
  Fields letter = {bytes_field("key", "as it was published").required(),
                   bytes_field("payload", "as it was published").required(),
                   headers_field(),
                   partition_field(),
                   offset_field(),
                   integer_field("attempts", "that it had").required(),
                   text_field("reason", "said by whoever gave it back last").required()};
  route.answer = {
      object_list_field("messages", "oldest first in each partition", std::move(letter)).required()};
  return route;
}

Route read_route(Coordination& recipes) {
  Route route = get(recipes, "/v1/topics/read", "Messages of a partition, for nobody in particular", read);
  route.request = {
      named_topic(), partition_field(),
      integer_field("from", "this offset on; the first that is kept if absent")
          .between(0, service::offset_max),
      integer_field("max", "so many; 100 if absent").between(1, service::messages_per_claim_max)};
  route.answer = {object_list_field("messages", "in their order", delivered_fields()).required()};
  route.problems = {"topic_not_found"};
  return route;
}

}  // namespace

Routes topic_routes(Coordination& recipes) {
  Route listing = get(recipes, "/v1/topics/list", "Names of topics, up to 1000", list);
  listing.request = {
      bytes_field("after", "the last name of the page before").between(0, service::name_bytes_max)};
  listing.answer = {object_list_field("topics", "in the order of their names", {named_topic()}).required()};
  Route extending = post(recipes, "/v1/topics/extend", "A claim's time begins anew", extend);
  extending.request = {named_topic(), group_field(), claim_field()};
  extending.answer = {integer_field("visibility_ms", "from now on").required()};
  extending.problems = {"claim_lost"};
  const Fields letter = {named_topic(), group_field(), partition_field(), offset_field()};
  return {create_route(recipes),
          show_route(recipes),
          std::move(listing),
          about(post(recipes, "/v1/topics/remove", "Removes a topic with everything in it", remove),
                {named_topic()}, {"topic_not_found"}),
          publish_route(recipes),
          claim_route(recipes),
          settle_route(recipes),
          std::move(extending),
          read_route(recipes),
          about(post(recipes, "/v1/topics/seek", "Where a group goes on; claims under way are lost", seek),
                {named_topic(), group_field(),
                 text_field("to", "the first message kept, the end, or a time")
                     .required()
                     .one_of({"first", "end", "time"}),
                 integer_field("at_ms", "of time: the first message published then or later")
                     .between(0, epoch_ms_max)},
                {"topic_not_found"}),
          dead_route(recipes),
          about(post(recipes, "/v1/topics/redrive", "Delivers a dead letter to its group again", redrive),
                letter, {"dead_letter_not_found", "topic_not_found"}),
          about(post(recipes, "/v1/topics/drop-dead", "Removes a dead letter", drop_dead), letter,
                {"dead_letter_not_found"})};
}

}  // namespace lockstep::gateway::v1
