#include "lockstep/topic.h"

#include <algorithm>

#include "call.h"
#include "convert.h"
#include "handle.h"
#include "lockstep/client.h"
#include "recipes.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::ClaimedMessages;
using detail::make_operation;
using detail::Runtime;
using detail::Waits;

namespace detail {
namespace {

// So long rests what a claim's destructor gives back.
constexpr Duration first_pause = 1s;
constexpr std::int64_t doublings_max = 5;

struct WhichGroup {
  std::string topic;
  std::string group;
};

// On the strand. Its end gives back what was not settled.
class ClaimOnStrand {
 public:
  ClaimOnStrand(std::weak_ptr<Runtime> runtime, WhichGroup which, const service::ClaimToken& token)
      : runtime_(std::move(runtime)), which_(std::move(which)), token_(token) {}
  ClaimOnStrand(const ClaimOnStrand&) = delete;
  ClaimOnStrand& operator=(const ClaimOnStrand&) = delete;
  ~ClaimOnStrand();
  void over() { over_ = true; }

 private:
  static ::lockstep::Task<void> give_back(std::shared_ptr<Runtime> runtime, WhichGroup which,
                                          service::ClaimToken token) {
    service::MessageSettlement settlement;
    const std::int64_t doublings = std::clamp<std::int64_t>(token.attempts - 1, 0, doublings_max);
    settlement.delay = first_pause * (std::int64_t{1} << doublings);
    runtime->release_began();
    // An error: it comes again when its visibility is over.
    static_cast<void>(
        co_await runtime->recipes().topics.settle(std::move(which.topic), std::move(which.group), token,
                                                  std::move(settlement), runtime->release_options()));
    runtime->release_ended();
  }

  std::weak_ptr<Runtime> runtime_;
  WhichGroup which_;
  service::ClaimToken token_;
  bool over_ = false;
};

ClaimOnStrand::~ClaimOnStrand() {
  const auto runtime = runtime_.lock();
  if (over_ || runtime == nullptr) return;
  give_back(runtime, std::move(which_), token_).detach();
}

}  // namespace

struct ClaimedMessages {
  WhichGroup which;
  service::ClaimToken token;
  std::vector<TopicDelivery> messages;
  Handle<ClaimOnStrand> handle;
};

}  // namespace detail

namespace {

// A claim waits in pieces, so that its end is its deadline or its cancellation.
constexpr Duration claim_wait = 20s;

service::TopicMessage to_service(const TopicMessage& message) {
  return {message.key(), message.payload(), message.headers()};
}

TopicMessage to_public(service::TopicMessage message) {
  TopicMessage out(std::move(message.key), std::move(message.payload));
  for (auto& [name, value] : message.headers) out.header(std::move(name), std::move(value));
  return out;
}

TopicDelivery to_delivery(service::DeliveredMessage each, std::int64_t partition) {
  return {
      to_public(std::move(each.message)), {partition, each.offset}, std::chrono::milliseconds(each.at_ms)};
}

::lockstep::Task<Outcome<void>> create_body(CallContext context, std::string topic,
                                            service::TopicConfig config) {
  co_return detail::to_outcome(
      co_await context.recipes().topics.create(std::move(topic), config, context.options));
}

::lockstep::Task<Outcome<void>> remove_body(CallContext context, std::string topic) {
  co_return detail::to_outcome(co_await context.recipes().topics.remove(std::move(topic), context.options));
}

::lockstep::Task<Outcome<std::vector<TopicPosition>>> publish_body(
    CallContext context, std::string topic, std::vector<service::TopicMessage> messages) {
  LS_SDK_ASSIGN(
      const std::vector<service::MessagePosition> positions,
      co_await context.recipes().topics.publish(std::move(topic), std::move(messages), context.options));
  std::vector<TopicPosition> out;
  for (const service::MessagePosition& each : positions) out.push_back({each.partition, each.offset});
  co_return out;
}

::lockstep::Task<Outcome<TopicPosition>> publish_one_body(CallContext context, std::string topic,
                                                          std::vector<service::TopicMessage> message) {
  Outcome<std::vector<TopicPosition>> published =
      co_await publish_body(std::move(context), std::move(topic), std::move(message));
  if (!published) co_return published.error();
  co_return published->front();
}

::lockstep::Task<Outcome<std::vector<TopicDelivery>>> read_body(CallContext context, std::string topic,
                                                                TopicPosition from, std::size_t max) {
  LS_SDK_ASSIGN(std::vector<service::DeliveredMessage> found,
                co_await context.recipes().topics.read(std::move(topic), from.partition, from.offset, max,
                                                       context.options));
  std::vector<TopicDelivery> out;
  for (service::DeliveredMessage& each : found) out.push_back(to_delivery(std::move(each), from.partition));
  co_return out;
}

::lockstep::Task<Outcome<TopicClaim>> claim_body(CallContext context, detail::WhichGroup which,
                                                 service::MessageClaimRequest request) {
  while (true) {
    const TimePoint now = context.runtime->world().clock().now();
    if (context.options.cancellation.stop_requested()) co_return Error(Code::cancelled, "given up");
    if (now >= context.options.deadline) co_return Error(Code::deadline_exceeded, "no message came in time");
    request.wait = claim_wait;
    // The rest of the time belongs to the answer.
    if (context.options.deadline != no_deadline)
      request.wait = std::min(request.wait, context.options.deadline - now);
    LS_SDK_ASSIGN(service::MessageClaim claim, co_await context.recipes().topics.claim(
                                                   which.topic, which.group, request, context.options));
    if (claim.messages.empty()) continue;
    std::vector<TopicDelivery> messages;
    for (service::DeliveredMessage& each : claim.messages)
      messages.push_back(to_delivery(std::move(each), claim.token.partition));
    const auto thing = std::make_shared<detail::ClaimOnStrand>(context.runtime, which, claim.token);
    detail::Handle<detail::ClaimOnStrand> handle(context.runtime, thing);
    auto claimed = std::make_shared<ClaimedMessages>(std::move(which), claim.token, std::move(messages),
                                                     std::move(handle));
    co_return TopicClaim(std::move(claimed));
  }
}

::lockstep::Task<Outcome<void>> settle_body(CallContext context, std::shared_ptr<ClaimedMessages> claimed,
                                            service::MessageSettlement settlement) {
  const Status status = co_await context.recipes().topics.settle(
      claimed->which.topic, claimed->which.group, claimed->token, std::move(settlement), context.options);
  // Settled, lost, or perhaps settled: there is nothing to give back.
  const bool over =
      status.ok() || is_unknown(status) || status.code() == ::lockstep::Code::failed_precondition;
  const auto thing = claimed->handle.here();
  if (over && thing != nullptr) thing->over();
  co_return detail::to_outcome(status);
}

::lockstep::Task<Outcome<void>> extend_body(CallContext context, std::shared_ptr<ClaimedMessages> claimed) {
  co_return detail::to_outcome(
      (co_await context.recipes().topics.extend(claimed->which.topic, claimed->which.group, claimed->token,
                                                context.options))
          .status());
}

::lockstep::Task<Outcome<void>> seek_body(CallContext context, detail::WhichGroup which,
                                          service::Topics::Seek to) {
  co_return detail::to_outcome(co_await context.recipes().topics.seek(
      std::move(which.topic), std::move(which.group), to, context.options));
}

::lockstep::Task<Outcome<std::vector<TopicDeadLetter>>> dead_body(CallContext context,
                                                                  detail::WhichGroup which,
                                                                  std::size_t limit) {
  LS_SDK_ASSIGN(std::vector<service::DeadMessage> dead,
                co_await context.recipes().topics.dead(std::move(which.topic), std::move(which.group), limit,
                                                       context.options));
  std::vector<TopicDeadLetter> out;
  for (service::DeadMessage& each : dead) {
    out.push_back({TopicDelivery(to_public(std::move(each.message)), {each.partition, each.offset},
                                 std::chrono::milliseconds(each.at_ms)),
                   each.attempts, std::move(each.reason)});
  }
  co_return out;
}

::lockstep::Task<Outcome<void>> redrive_body(CallContext context, detail::WhichGroup which,
                                             TopicPosition position) {
  co_return detail::to_outcome(co_await context.recipes().topics.redrive(
      std::move(which.topic), std::move(which.group),
      service::MessagePosition{position.partition, position.offset}, context.options));
}

::lockstep::Task<Outcome<void>> drop_body(CallContext context, detail::WhichGroup which,
                                          TopicPosition position) {
  co_return detail::to_outcome(co_await context.recipes().topics.drop_dead(
      std::move(which.topic), std::move(which.group),
      service::MessagePosition{position.partition, position.offset}, context.options));
}

// The first `acknowledged` messages of the claim are done. One more than there are is nobody's offset.
service::MessageSettlement settlement_of(const ClaimedMessages& claimed, std::size_t acknowledged) {
  service::MessageSettlement settlement;
  if (acknowledged > claimed.messages.size()) {
    settlement.acknowledged_through = claimed.token.to;
  } else if (acknowledged > 0) {
    settlement.acknowledged_through = claimed.messages[acknowledged - 1].position().offset;
  }
  return settlement;
}

Operation<void> settle(const std::shared_ptr<ClaimedMessages>& claimed, service::MessageSettlement settlement,
                       CallOptions options) {
  return make_operation(claimed->handle.runtime(), std::move(options), Waits::no, &settle_body, claimed,
                        std::move(settlement));
}

}  // namespace

// ---- messages

std::string TopicMessage::header(std::string_view name) const {
  for (const auto& [known, value] : headers_) {
    if (known == name) return value;
  }
  return {};
}

std::string TopicDelivery::identity() const {
  const std::string source = header("ce-source");
  const std::string id = header("ce-id");
  if (!source.empty() && !id.empty()) return source + " " + id;
  return std::to_string(position_.partition) + "/" + std::to_string(position_.offset);
}

// ---- claims

TopicClaim::TopicClaim(std::shared_ptr<ClaimedMessages> claimed) : claimed_(std::move(claimed)) {}

const std::vector<TopicDelivery>& TopicClaim::messages() const {
  return claimed_->messages;
}
std::int64_t TopicClaim::attempt() const {
  return claimed_->token.attempts;
}
std::int64_t TopicClaim::token() const {
  return claimed_->token.revision.value();
}
Operation<void> TopicClaim::ack(CallOptions options) {
  service::MessageSettlement settlement;
  settlement.acknowledged_through = claimed_->token.to - 1;  // also behind what is other groups'
  return settle(claimed_, std::move(settlement), std::move(options));
}
Operation<void> TopicClaim::give_back(std::size_t acknowledged, std::chrono::nanoseconds pause,
                                      std::string reason, CallOptions options) {
  service::MessageSettlement settlement = settlement_of(*claimed_, acknowledged);
  settlement.delay = pause;
  settlement.reason = std::move(reason);
  return settle(claimed_, std::move(settlement), std::move(options));
}
Operation<void> TopicClaim::reject(std::size_t acknowledged, std::string reason, CallOptions options) {
  service::MessageSettlement settlement = settlement_of(*claimed_, acknowledged);
  settlement.reason = std::move(reason);
  settlement.reject = true;
  return settle(claimed_, std::move(settlement), std::move(options));
}
Operation<void> TopicClaim::extend(CallOptions options) {
  return make_operation(claimed_->handle.runtime(), std::move(options), Waits::no, &extend_body, claimed_);
}
Txn& TopicClaim::held(Txn& txn) const {
  detail::parts_of(txn).request.compare.push_back(
      service::Topics::held(claimed_->which.topic, claimed_->which.group, claimed_->token));
  return txn;
}

// ---- groups

Operation<TopicClaim> TopicGroup::claim(CallOptions options) const {
  return claim(TopicClaimOptions(), std::move(options));
}
Operation<TopicClaim> TopicGroup::claim(const TopicClaimOptions& claim, CallOptions options) const {
  service::MessageClaimRequest request;
  request.max = claim.max();
  request.visibility = claim.visibility();
  request.attempts_max = claim.attempts_max();
  return make_operation(runtime_, std::move(options), Waits::yes, &claim_body,
                        detail::WhichGroup{topic_, group_}, request);
}
Operation<void> TopicGroup::seek_to_first(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &seek_body,
                        detail::WhichGroup{topic_, group_}, service::Topics::Seek{});
}
Operation<void> TopicGroup::seek_to_end(CallOptions options) const {
  service::Topics::Seek to;
  to.to = service::Topics::Seek::To::end;
  return make_operation(runtime_, std::move(options), Waits::no, &seek_body,
                        detail::WhichGroup{topic_, group_}, to);
}
Operation<void> TopicGroup::seek_to(std::chrono::system_clock::time_point moment, CallOptions options) const {
  service::Topics::Seek to;
  to.to = service::Topics::Seek::To::time;
  to.at_ms = std::chrono::ceil<std::chrono::milliseconds>(moment.time_since_epoch()).count();
  return make_operation(runtime_, std::move(options), Waits::no, &seek_body,
                        detail::WhichGroup{topic_, group_}, to);
}
Operation<std::vector<TopicDeadLetter>> TopicGroup::dead(std::size_t limit, CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &dead_body,
                        detail::WhichGroup{topic_, group_}, limit);
}
Operation<void> TopicGroup::redrive(TopicPosition which, CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &redrive_body,
                        detail::WhichGroup{topic_, group_}, which);
}
Operation<void> TopicGroup::drop(TopicPosition which, CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &drop_body,
                        detail::WhichGroup{topic_, group_}, which);
}

// ---- topics

Operation<void> Topic::create(TopicOptions topic, CallOptions options) const {
  service::TopicConfig config;
  config.partitions = topic.partitions();
  config.retention_ms = topic.retention().count();
  config.retention_messages = topic.retention_messages();
  return make_operation(runtime_, std::move(options), Waits::no, &create_body, name_, config);
}
Operation<void> Topic::remove(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &remove_body, name_);
}
Operation<TopicPosition> Topic::publish(const TopicMessage& message, CallOptions options) const {
  std::vector<service::TopicMessage> messages(1, to_service(message));
  return make_operation(runtime_, std::move(options), Waits::no, &publish_one_body, name_,
                        std::move(messages));
}
Operation<std::vector<TopicPosition>> Topic::publish(const std::vector<TopicMessage>& messages,
                                                     CallOptions options) const {
  std::vector<service::TopicMessage> all;
  all.reserve(messages.size());
  for (const TopicMessage& each : messages) all.push_back(to_service(each));
  return make_operation(runtime_, std::move(options), Waits::no, &publish_body, name_, std::move(all));
}
Operation<std::vector<TopicDelivery>> Topic::read(TopicPosition from, std::size_t max,
                                                  CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &read_body, name_, from, max);
}

Topic Client::topic(std::string name) {
  return Topic(runtime_, std::move(name));
}

}  // namespace lockstep::v1
