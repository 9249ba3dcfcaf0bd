#include "service/topic/topics.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "service/contenders.h"
#include "service/names.h"
#include "service/repeat.h"
#include "service/store_requests.h"
#include "service/topic/core.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr std::size_t list_max = 1000;
constexpr std::int64_t groups_shown_max = 1000;
constexpr std::size_t names_known_max = 4096;

std::string unsegmented(std::string_view segment) {
  std::string name;
  for (std::size_t i = 0; i < segment.size(); ++i) {
    const std::string_view three = segment.substr(i, 3);
    const bool escaped = three == "%2F" || three == "%25";
    name += !escaped ? segment[i] : three == "%2F" ? '/' : '%';
    if (escaped) i += 2;
  }
  return name;
}

}  // namespace

namespace errors {
Status topic_not_found() {
  return {Code::not_found, "topic: there is no such topic: create it first"};
}
Status topic_exists() {
  return {Code::already_exists, "topic: it exists with another configuration"};
}
Status no_such_partition() {
  return {Code::invalid_argument, "topic: it has no such partition"};
}
Status too_many_messages() {
  return {Code::invalid_argument, "topic: 1 to 1024 messages at once"};
}
Status too_much_waiting() {
  return {Code::resource_exhausted, "topic: too much waits in this server: try again later"};
}
Status message_claim_wrong() {
  return {Code::invalid_argument, "topic: max, visibility, wait or attempts_max is out of bounds"};
}
Status settlement_wrong() {
  return {Code::invalid_argument, "topic: the claim has no such message"};
}
Status claim_lost() {
  return {Code::failed_precondition, "topic: the claim is over: its time has passed, or it was settled"};
}
Status dead_letter_not_found() {
  return {Code::not_found, "topic: there is no such dead letter"};
}
Status partition_full() {
  return {Code::out_of_range, "topic: the partition has no numbers left"};
}
Status publish_too_contended() {
  return {Code::unavailable, "topic: others published there again and again: nothing was published"};
}
Status publish_outcome_unknown() {
  return {Code::unknown_outcome, "topic: nobody knows whether all of it was published"};
}
Status topic_outcome_unknown() {
  return {Code::unknown_outcome, "topic: nobody knows whether it was done"};
}
Status topics_closed() {
  return {Code::cancelled, "topic: this server stops"};
}
}  // namespace errors

store::RangeRequest under(std::string prefix) {
  store::RangeRequest request;
  request.range_end = prefix_end(prefix);
  request.key = std::move(prefix);
  return request;
}

store::CallOptions plain(const store::CallOptions& options) {
  store::CallOptions call = options;
  call.request_id = {};
  return call;
}

void Topics::Core::close() {
  closed_ = true;
  const std::map<std::uint64_t, Signal> waiting = waiting_claims;
  for (const auto& [id, signal] : waiting) signal.set();
}

Task<Result<Topics::Core::KnownTopic>> Topics::Core::topic(std::shared_ptr<Core> core, std::string name,
                                                           store::CallOptions options) {
  const auto known = core->topics_.find(name);
  if (known != core->topics_.end()) co_return known->second;
  const Result<store::RangeResponse> read = co_await store::awaitable::range(
      core->context_.store, one_key(TopicKeys(name).config()), std::move(options));
  if (!read.ok()) co_return read.status();
  if (read->kvs.empty()) co_return errors::topic_not_found();
  Result<TopicConfig> config = parse_topic_config(read->kvs[0].value);
  if (!config.ok()) co_return config.status();
  if (core->topics_.size() >= names_known_max) core->topics_.clear();
  const KnownTopic found{*config, read->kvs[0].mod_revision};
  core->topics_[name] = found;
  co_return found;
}

Topics::Topics(const Context& context) : core_(std::make_shared<Core>(context)) {}

Topics::~Topics() {
  core_->close();
}

store::Compare Topics::held(const std::string& topic, const std::string& group, const ClaimToken& token) {
  return modified_at(TopicKeys(topic).owner(group, token.partition), token.revision);
}

Task<Status> Topics::create(std::string topic, TopicConfig config, store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status named = check_name(topic); !named.ok()) co_return named;
  if (Status good = check(config); !good.ok()) co_return good;
  const std::string key = TopicKeys(topic).config();
  store::TxnRequest txn;
  txn.compare.push_back(created_at(key, Revision()));
  txn.success.push_back(operation(put_of(key, encode(config), LeaseId())));
  txn.failure.push_back(operation(one_key(key)));
  Repetition sends(core->context(), plain(options));
  while (co_await sends.next()) {
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(core->context().store, txn, sends.call());
    if (!answer.ok()) {
      sends.failed(answer.status());
      continue;
    }
    if (answer->succeeded) co_return Status();
    const store::RangeResponse* there = range_at(*answer, 0);
    if (there == nullptr || there->kvs.empty()) co_return errors::answer_of_other_shape();
    const Result<TopicConfig> found = parse_topic_config(there->kvs[0].value);
    if (!found.ok()) co_return found.status();
    co_return *found == config ? Status() : errors::topic_exists();
  }
  co_return sends.in_doubt() ? errors::topic_outcome_unknown() : sends.last_failure();
}

Task<Status> Topics::remove(std::string topic, store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status named = check_name(topic); !named.ok()) co_return named;
  const TopicKeys keys(topic);
  store::DeleteRangeRequest all = removal_of(keys.base);
  all.range_end = prefix_end(keys.base);
  Repetition sends(core->context(), plain(options));
  while (co_await sends.next()) {
    const Result<store::DeleteRangeResponse> removed =
        co_await store::awaitable::delete_range(core->context().store, all, sends.call());
    if (!removed.ok()) {
      sends.failed(removed.status());
      continue;
    }
    core->forget(topic);
    co_return removed->deleted > 0 || sends.in_doubt() ? Status() : errors::topic_not_found();
  }
  co_return sends.in_doubt() ? errors::topic_outcome_unknown() : sends.last_failure();
}

namespace {

// Cursors by group, in the order of the groups' names.
Result<std::map<std::string, std::vector<std::pair<std::int64_t, GroupCursor>>>> cursors_of(
    const TopicKeys& keys, const std::vector<store::KeyValue>& kvs) {
  std::map<std::string, std::vector<std::pair<std::int64_t, GroupCursor>>> groups;
  for (const store::KeyValue& kv : kvs) {
    const std::string_view rest = std::string_view(kv.key).substr(keys.groups().size());
    const std::size_t slash = rest.find('/');
    if (slash == std::string_view::npos || !rest.substr(slash).starts_with("/c/")) continue;
    LS_ASSIGN_OR_RETURN(GroupCursor cursor, parse_group_cursor(kv.value));
    groups[unsegmented(rest.substr(0, slash))].emplace_back(partition_of_key(kv.key), std::move(cursor));
  }
  return groups;
}

}  // namespace

Task<Result<TopicState>> Topics::show(std::string topic, store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status named = check_name(topic); !named.ok()) co_return named;
  const TopicKeys keys(topic);
  store::TxnRequest txn;
  store::RangeRequest groups = under(keys.groups());
  groups.limit = groups_shown_max * partitions_max * 2;
  txn.success = {operation(one_key(keys.config())), operation(under(keys.heads())),
                 operation(std::move(groups))};
  const Result<store::TxnResponse> read =
      co_await store::awaitable::txn(core->context().store, std::move(txn), plain(options));
  if (!read.ok()) co_return read.status();
  const store::RangeResponse* config = range_at(*read, 0);
  const store::RangeResponse* heads = range_at(*read, 1);
  const store::RangeResponse* cursors = range_at(*read, 2);
  if (config == nullptr || heads == nullptr || cursors == nullptr) co_return errors::answer_of_other_shape();
  if (config->kvs.empty()) co_return errors::topic_not_found();
  TopicState state;
  state.name = topic;
  Result<TopicConfig> parsed = parse_topic_config(config->kvs[0].value);
  if (!parsed.ok()) co_return parsed.status();
  state.config = *parsed;
  const auto partitions = static_cast<std::size_t>(state.config.partitions);
  state.heads.resize(partitions);
  for (const store::KeyValue& kv : heads->kvs) {
    const std::int64_t partition = partition_of_key(kv.key);
    const Result<TopicHead> head = parse_topic_head(kv.value);
    if (!head.ok()) co_return head.status();
    if (partition >= 0 && partition < state.config.partitions)
      state.heads[static_cast<std::size_t>(partition)] = *head;
  }
  const auto by_group = cursors_of(keys, cursors->kvs);
  if (!by_group.ok()) co_return by_group.status();
  for (const auto& [name, positions] : *by_group) {
    TopicState::Group& group = state.groups.emplace_back();
    group.name = name;
    group.cursors.resize(partitions);
    for (const auto& [partition, cursor] : positions) {
      if (partition >= 0 && partition < state.config.partitions)
        group.cursors[static_cast<std::size_t>(partition)] = cursor;
    }
    for (std::size_t i = 0; i < partitions; ++i)
      group.behind += state.heads[i].next - std::max(group.cursors[i].next, state.heads[i].first);
  }
  co_return state;
}

Task<Result<std::vector<std::string>>> Topics::list(std::string after, std::size_t limit,
                                                    store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (limit < 1 || limit > list_max || after.size() > name_bytes_max) co_return errors::message_claim_wrong();
  const std::string prefix = "lockstep/topics/";
  std::vector<std::string> names;
  // From one topic over all that is in it to the next.
  std::string from = after.empty() ? prefix : prefix_end(TopicKeys(after).base);
  while (names.size() < limit) {
    store::RangeRequest request = one_key(from);
    request.range_end = prefix_end(prefix);
    request.limit = 1;
    request.keys_only = true;
    const Result<store::RangeResponse> found =
        co_await store::awaitable::range(core->context().store, std::move(request), plain(options));
    if (!found.ok()) co_return found.status();
    if (found->kvs.empty()) break;
    const std::string_view rest = std::string_view(found->kvs[0].key).substr(prefix.size());
    const std::string_view segment = rest.substr(0, rest.find('/'));
    names.push_back(unsegmented(segment));
    from = prefix_end(prefix + std::string(segment) + "/");
  }
  co_return names;
}

Task<Result<std::vector<MessagePosition>>> Topics::publish(std::string topic,
                                                           std::vector<TopicMessage> messages,
                                                           store::CallOptions options) {
  return Publishing::publish(core_, std::move(topic), std::move(messages), std::move(options));
}

Task<Result<MessageClaim>> Topics::claim(std::string topic, std::string group, MessageClaimRequest request,
                                         store::CallOptions options) {
  return Claiming::claim(core_, std::move(topic), std::move(group), request, std::move(options));
}

Task<Status> Topics::settle(std::string topic, std::string group, ClaimToken token,
                            MessageSettlement settlement, store::CallOptions options) {
  return Claiming::settle(core_, std::move(topic), std::move(group), token, std::move(settlement),
                          std::move(options));
}

Task<Result<Duration>> Topics::extend(std::string topic, std::string group, ClaimToken token,
                                      store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status named = check_name(topic); !named.ok()) co_return named;
  if (Status named = check_name(group); !named.ok()) co_return named;
  // Only the claim's own lease.
  const Result<store::RangeResponse> held = co_await store::awaitable::range(
      core->context().store, one_key(TopicKeys(topic).owner(group, token.partition)), plain(options));
  if (!held.ok()) co_return held.status();
  const bool own =
      !held->kvs.empty() && held->kvs[0].mod_revision == token.revision && held->kvs[0].lease == token.lease;
  if (!own) co_return errors::claim_lost();
  const Result<store::LeaseKeepAliveResponse> renewed = co_await store::awaitable::lease_keep_alive(
      core->context().store, store::LeaseKeepAliveRequest{token.lease}, plain(options));
  if (!renewed.ok()) co_return renewed.status();
  if (renewed->ttl == Duration{}) co_return errors::claim_lost();
  co_return renewed->ttl;
}

Task<Result<std::vector<DeliveredMessage>>> Topics::read(std::string topic, std::int64_t partition,
                                                         std::int64_t from, std::size_t max,
                                                         store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status named = check_name(topic); !named.ok()) co_return named;
  if (max < 1 || max > messages_per_claim_max || from < 0 || from > offset_max)
    co_return errors::message_claim_wrong();
  const Result<Core::KnownTopic> known = co_await Core::topic(core, topic, plain(options));
  if (!known.ok()) co_return known.status();
  if (partition < 0 || partition >= known->config.partitions) co_return errors::no_such_partition();
  const Result<store::RangeResponse> read = co_await store::awaitable::range(
      core->context().store, one_key(TopicKeys(topic).head(partition)), plain(options));
  if (!read.ok()) co_return read.status();
  if (read->kvs.empty()) co_return std::vector<DeliveredMessage>();
  const Result<TopicHead> head = parse_topic_head(read->kvs[0].value);
  if (!head.ok()) co_return head.status();
  for (std::int64_t at = std::max(from, head->first);;) {
    Result<MessagesRead> found =
        co_await read_messages(core->context(), topic, partition, at, head->next, max, plain(options));
    if (!found.ok()) co_return found.status();
    // What cannot be read is stepped over.
    if (!found->damage.has_value()) co_return std::move(found->messages);
    at = found->next;
  }
}

Task<Status> Topics::seek(std::string topic, std::string group, Seek to, store::CallOptions options) {
  return Claiming::seek(core_, std::move(topic), std::move(group), to, std::move(options));
}

Task<Result<std::vector<DeadMessage>>> Topics::dead(std::string topic, std::string group, std::size_t limit,
                                                    store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status named = check_name(topic); !named.ok()) co_return named;
  if (Status named = check_name(group); !named.ok()) co_return named;
  if (limit < 1 || limit > list_max) co_return errors::message_claim_wrong();
  store::RangeRequest request = under(TopicKeys(topic).all_dead(group));
  request.limit = static_cast<std::int64_t>(limit);
  const Result<store::RangeResponse> found =
      co_await store::awaitable::range(core->context().store, std::move(request), plain(options));
  if (!found.ok()) co_return found.status();
  std::vector<DeadMessage> letters;
  for (const store::KeyValue& kv : found->kvs) {
    Result<DeadMessage> letter = parse_dead_message(kv.value);
    if (!letter.ok()) co_return letter.status();
    letters.push_back(*std::move(letter));
  }
  co_return letters;
}

Task<Status> Topics::redrive(std::string topic, std::string group, MessagePosition which,
                             store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status named = check_name(topic); !named.ok()) co_return named;
  if (Status named = check_name(group); !named.ok()) co_return named;
  if (which.partition < 0 || which.partition >= partitions_max || which.offset < 0 ||
      which.offset > offset_max)
    co_return errors::dead_letter_not_found();
  const auto part = std::make_shared<PublishPart>(core->context());
  part->dead_letter = TopicKeys(topic).dead(group, which.partition, which.offset);
  const Result<store::RangeResponse> read =
      co_await store::awaitable::range(core->context().store, one_key(part->dead_letter), plain(options));
  if (!read.ok()) co_return read.status();
  if (read->kvs.empty()) co_return errors::dead_letter_not_found();
  Result<DeadMessage> letter = parse_dead_message(read->kvs[0].value);
  if (!letter.ok()) co_return letter.status();
  part->dead_letter_revision = read->kvs[0].mod_revision;
  TopicMessage message = std::move(letter->message);
  std::erase_if(message.headers, [](const auto& header) { return header.first == only_group_header; });
  message.headers.emplace_back(only_group_header, printable(group, name_bytes_max));
  part->bytes = bytes_of(message);
  part->messages.push_back(std::move(message));
  if (core->messages_waiting >= publishes_waiting_max) co_return errors::too_much_waiting();
  Publishing::enqueue(core, {options.principal, topic, which.partition}, part);
  const Result<std::int64_t> done = co_await Publishing::outcome_of(part, plain(options));
  co_return done.status();
}

Task<Status> Topics::drop_dead(std::string topic, std::string group, MessagePosition which,
                               store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (which.partition < 0 || which.partition >= partitions_max || which.offset < 0 ||
      which.offset > offset_max)
    co_return errors::dead_letter_not_found();
  const Result<store::DeleteRangeResponse> removed = co_await store::awaitable::delete_range(
      core->context().store, removal_of(TopicKeys(topic).dead(group, which.partition, which.offset)),
      plain(options));
  if (!removed.ok()) co_return removed.status();
  co_return removed->deleted == 0 ? errors::dead_letter_not_found() : Status();
}

}  // namespace lockstep::service
