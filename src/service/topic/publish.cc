// Publishing: what comes meanwhile goes together into the next transaction of its partition.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/planted.h"
#include "service/names.h"
#include "service/record/record.h"
#include "service/repeat.h"
#include "service/store_requests.h"
#include "service/topic/core.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr Duration trim_every = 10s;
constexpr int lost_races_max = 64;

constexpr Duration publish_time_max = 60s;
constexpr Duration send_pause = 100ms;
constexpr int sends_max = 12;

std::int64_t partition_of(const TopicMessage& message, std::int64_t partitions, std::uint64_t& turn) {
  const std::uint64_t number = message.key.empty() ? turn++ : crc32c(message.key);
  return static_cast<std::int64_t>(number % static_cast<std::uint64_t>(partitions));
}

// Head and config as they are, and the block that stands where ours would: what an answer of "no" means.
store::TxnRequest block_txn(const TopicKeys& keys, std::int64_t partition, Revision config,
                            const PublishLane& lane, const TopicBlock& block,
                            const std::vector<std::shared_ptr<PublishPart>>& parts) {
  TopicHead head = lane.head;
  head.next += static_cast<std::int64_t>(block.messages.size());
  const std::string at = keys.block(partition, lane.head.next);
  store::TxnRequest txn;
  if (!LS_PLANTED(topic_offset_reused))
    txn.compare.push_back(modified_at(keys.head(partition), lane.head_revision));
  txn.compare.push_back(modified_at(keys.config(), config));
  txn.success.push_back(operation(put_of(keys.head(partition), encode(head), LeaseId())));
  txn.success.push_back(operation(put_of(at, encode(block), LeaseId())));
  for (const std::shared_ptr<PublishPart>& part : parts) {
    if (part->dead_letter.empty()) continue;
    txn.compare.push_back(modified_at(part->dead_letter, part->dead_letter_revision));
    txn.success.push_back(operation(removal_of(part->dead_letter)));
    txn.failure.push_back(operation(one_key(part->dead_letter)));
  }
  txn.failure.insert(txn.failure.begin(), {operation(one_key(keys.head(partition))), operation(one_key(at)),
                                           operation(one_key(keys.config()))});
  return txn;
}

// What one call gives to one block: the messages, and where they stood in the call.
struct Share {
  std::int64_t partition = 0;
  std::vector<std::size_t> indexes;
  std::shared_ptr<PublishPart> part;
};

std::vector<Share> shares_of(const Context& context, std::vector<TopicMessage>& messages,
                             std::int64_t partitions, std::uint64_t& turn) {
  std::vector<Share> shares;
  std::map<std::int64_t, std::size_t> open;  // by partition: the share that may take more
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::int64_t partition = partition_of(messages[i], partitions, turn);
    const std::size_t bytes = bytes_of(messages[i]);
    const auto found = open.find(partition);
    const bool fits = found != open.end() && shares[found->second].indexes.size() < messages_per_block_max &&
                      shares[found->second].part->bytes + bytes <= block_bytes_max;
    if (!fits) {
      open[partition] = shares.size();
      shares.push_back({partition, {}, std::make_shared<PublishPart>(context)});
    }
    Share& share = shares[open[partition]];
    share.indexes.push_back(i);
    share.part->bytes += bytes;
    share.part->messages.push_back(std::move(messages[i]));
  }
  return shares;
}

}  // namespace

Task<Result<std::vector<MessagePosition>>> Topics::Publishing::publish(std::shared_ptr<Core> core,
                                                                       std::string topic,
                                                                       std::vector<TopicMessage> messages,
                                                                       store::CallOptions options) {
  if (Status named = check_name(topic); !named.ok()) co_return named;
  if (messages.empty() || messages.size() > messages_per_publish_max) co_return errors::too_many_messages();
  for (const TopicMessage& message : messages) {
    if (Status good = check(message); !good.ok()) co_return good;
  }
  if (core->messages_waiting + messages.size() > publishes_waiting_max) co_return errors::too_much_waiting();
  const Result<Core::KnownTopic> known = co_await Core::topic(core, topic, plain(options));
  if (!known.ok()) co_return known.status();
  const std::vector<Share> shares =
      shares_of(core->context(), messages, known->config.partitions, core->turn);
  // All of them stand in their lanes before the first is waited for.
  for (const Share& share : shares) enqueue(core, {options.principal, topic, share.partition}, share.part);
  std::vector<MessagePosition> positions(messages.size());
  Status failure;
  bool some_done = false;
  for (const Share& share : shares) {
    const Result<std::int64_t> first = co_await outcome_of(share.part, options);
    if (!first.ok()) {
      if (failure.ok() || is_unknown(first.status())) failure = first.status();
      continue;
    }
    some_done = true;
    std::int64_t offset = *first;
    for (const std::size_t index : share.indexes) positions[index] = {share.partition, offset++};
  }
  if (failure.ok()) co_return positions;
  co_return some_done ? errors::publish_outcome_unknown() : failure;
}

Task<Result<std::int64_t>> Topics::Publishing::outcome_of(std::shared_ptr<PublishPart> part,
                                                          store::CallOptions options) {
  if (!part->outcome.has_value()) {
    co_await part->settled.wait(options.deadline, options.cancellation);
    // It may be under way: what becomes of it, nobody learns.
    if (!part->outcome.has_value()) co_return errors::publish_outcome_unknown();
  }
  co_return *part->outcome;
}

void Topics::Publishing::enqueue(const std::shared_ptr<Core>& core, const Core::LaneName& name,
                                 std::shared_ptr<PublishPart> part) {
  core->messages_waiting += part->messages.size();
  PublishLane& lane = core->lane(name);
  lane.waiting.push_back(std::move(part));
  if (!std::exchange(lane.runs, true)) run(core, name).detach();
}

// What goes together into the next block.
std::vector<std::shared_ptr<PublishPart>> Topics::Publishing::take(Core& core, PublishLane& lane) {
  std::vector<std::shared_ptr<PublishPart>> parts;
  std::size_t messages = 0;
  std::size_t bytes = 0;
  while (!lane.waiting.empty()) {
    const std::shared_ptr<PublishPart>& next = lane.waiting.front();
    messages += next->messages.size();
    bytes += next->bytes;
    const bool alone = !next->dead_letter.empty();  // its fate is its own
    if (!parts.empty() && (messages > messages_per_block_max || bytes > block_bytes_max || alone)) break;
    core.messages_waiting -= next->messages.size();
    parts.push_back(next);
    lane.waiting.pop_front();
    if (alone) break;
  }
  return parts;
}

Task<void> Topics::Publishing::run(std::shared_ptr<Core> core, Core::LaneName name) {
  while (!core->closed() && !core->lane(name).waiting.empty()) {
    const std::vector<std::shared_ptr<PublishPart>> parts = take(*core, core->lane(name));
    TopicBlock block;
    block.at_ms = core->context().clock.wall_now() / 1ms;
    block.id = to_hexadecimal(core->context().random.next());
    for (const std::shared_ptr<PublishPart>& part : parts)
      block.messages.insert(block.messages.end(), part->messages.begin(), part->messages.end());
    const Result<std::int64_t> first = co_await commit(core, name, std::move(block), parts);
    std::int64_t offset = first.ok() ? *first : 0;
    for (const std::shared_ptr<PublishPart>& part : parts) {
      part->outcome = first.ok() ? Result<std::int64_t>(offset) : Result<std::int64_t>(first.status());
      offset += static_cast<std::int64_t>(part->messages.size());
      part->settled.set();
    }
    const TimePoint now = core->context().clock.now();
    if (!first.ok() || now - core->lane(name).trimmed_at < trim_every) continue;
    core->lane(name).trimmed_at = now;
    co_await trim(core, name);
  }
  for (const std::shared_ptr<PublishPart>& part : core->lane(name).waiting) {
    core->messages_waiting -= part->messages.size();
    part->outcome = Result<std::int64_t>(errors::topics_closed());
    part->settled.set();
  }
  core->drop_lane(name);
}

Task<Status> Topics::Publishing::learn_head(std::shared_ptr<Core> core, Core::LaneName name) {
  const auto& [principal, topic, partition] = name;
  store::CallOptions options;
  options.principal = principal;
  options.deadline = core->context().clock.now() + repeated_call_time_max;
  const Result<store::RangeResponse> read = co_await store::awaitable::range(
      core->context().store, one_key(TopicKeys(topic).head(partition)), std::move(options));
  if (!read.ok()) co_return read.status();
  co_return take_head(core->lane(name), *read);
}

Status Topics::Publishing::take_head(PublishLane& lane, const store::RangeResponse& found) {
  lane.head = {};
  lane.head_revision = {};
  lane.head_is_known = false;
  if (!found.kvs.empty()) {
    LS_ASSIGN_OR_RETURN(lane.head, parse_topic_head(found.kvs[0].value));
    lane.head_revision = found.kvs[0].mod_revision;
  }
  lane.head_is_known = true;
  return {};
}

Task<Result<std::int64_t>> Topics::Publishing::commit(std::shared_ptr<Core> core, Core::LaneName name,
                                                      TopicBlock block,
                                                      std::vector<std::shared_ptr<PublishPart>> parts) {
  const auto& [principal, topic, partition] = name;
  const TopicKeys keys(topic);
  store::CallOptions options;
  options.principal = principal;
  options.deadline = core->context().clock.now() + publish_time_max;
  for (int races = 0; races < lost_races_max && !core->closed(); ++races) {
    const Result<Core::KnownTopic> known = co_await Core::topic(core, topic, options);
    if (!known.ok()) co_return known.status();
    if (!core->lane(name).head_is_known) {
      if (Status learned = co_await learn_head(core, name); !learned.ok()) co_return learned;
    }
    const std::int64_t offset = core->lane(name).head.next;
    if (offset > offset_max - static_cast<std::int64_t>(block.messages.size()))
      co_return errors::partition_full();
    // The same transaction again and again until it is known what became of it: bound to the head's revision,
    // it takes effect once, or never.
    bool in_doubt = false;
    Result<store::TxnResponse> answer{Status(Code::internal, "not sent")};
    for (int sends = 0; sends < sends_max; ++sends) {
      if (sends > 0)
        (void)co_await pause_until(core->context(), core->context().clock.now() + send_pause, options);
      store::CallOptions call = options;
      call.deadline = std::min(options.deadline, core->context().clock.now() + repeated_call_time_max);
      answer = co_await store::awaitable::txn(
          core->context().store, block_txn(keys, partition, known->revision, core->lane(name), block, parts),
          std::move(call));
      if (answer.ok()) break;
      in_doubt = in_doubt || is_unknown(answer.status());
      if (!in_doubt) co_return answer.status();
    }
    PublishLane& lane = core->lane(name);
    if (!answer.ok()) {
      lane.head_is_known = false;
      co_return errors::publish_outcome_unknown();
    }
    if (answer->succeeded) {
      lane.head.next = offset + static_cast<std::int64_t>(block.messages.size());
      lane.head_revision = answer->header.revision;
      co_return offset;
    }
    const Result<bool> done = refused(*core, topic, lane, *answer, block.id, parts);
    if (!done.ok()) co_return done.status();
    if (*done) co_return offset;
  }
  co_return core->closed() ? errors::topics_closed() : errors::publish_too_contended();
}

// True: it had taken effect before. False: somebody else was faster, and it never will.
Result<bool> Topics::Publishing::refused(Core& core, const std::string& topic, PublishLane& lane,
                                         const store::TxnResponse& answer, const std::string& id,
                                         const std::vector<std::shared_ptr<PublishPart>>& parts) {
  const store::RangeResponse* head = range_at(answer, 0);
  const store::RangeResponse* there = range_at(answer, 1);
  const store::RangeResponse* config = range_at(answer, 2);
  if (head == nullptr || there == nullptr || config == nullptr) return errors::answer_of_other_shape();
  LS_RETURN_IF_ERROR(take_head(lane, *head));
  if (!there->kvs.empty()) {
    const Result<TopicBlock> found = parse_topic_block(there->kvs[0].value);
    if (found.ok() && found->id == id) return true;
  }
  core.forget(topic);
  if (config->kvs.empty()) return errors::topic_not_found();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i]->dead_letter.empty()) continue;
    const store::RangeResponse* letter = range_at(answer, 3);
    if (letter == nullptr) return errors::answer_of_other_shape();
    if (letter->kvs.empty() || letter->kvs[0].mod_revision != parts[i]->dead_letter_revision)
      return errors::dead_letter_not_found();
  }
  return false;
}

Task<void> Topics::Publishing::trim(std::shared_ptr<Core> core, Core::LaneName name) {
  const auto& [principal, topic, partition] = name;
  store::CallOptions options;
  options.principal = principal;
  options.deadline = core->context().clock.now() + repeated_call_time_max;
  const Result<Core::KnownTopic> known = co_await Core::topic(core, topic, options);
  if (!known.ok() || !core->lane(name).head_is_known) co_return;
  const TopicHead head = core->lane(name).head;
  std::int64_t keep_from = head.first;
  if (known->config.retention_messages > 0)
    keep_from = std::max(keep_from, head.next - known->config.retention_messages);
  if (known->config.retention_ms > 0) {
    const std::int64_t cutoff_ms = core->context().clock.wall_now() / 1ms - known->config.retention_ms;
    const Result<std::int64_t> younger =
        co_await offset_at_time(core->context(), topic, partition, head, cutoff_ms, options);
    if (younger.ok()) keep_from = std::max(keep_from, *younger);
  }
  if (keep_from <= head.first) co_return;
  // Whole blocks go.
  const Result<std::optional<BlockAt>> block =
      co_await block_at(core->context(), topic, partition, keep_from, options);
  if (!block.ok()) co_return;
  const std::int64_t first = block->has_value() ? std::min((*block)->offset, head.next) : keep_from;
  if (first <= head.first) co_return;
  const TopicKeys keys(topic);
  store::TxnRequest txn;
  PublishLane& lane = core->lane(name);
  txn.compare.push_back(modified_at(keys.head(partition), lane.head_revision));
  txn.success.push_back(
      operation(put_of(keys.head(partition), encode(TopicHead{head.next, first}), LeaseId())));
  store::DeleteRangeRequest old = removal_of(keys.block(partition, 0));
  old.range_end = keys.block(partition, first);
  txn.success.push_back(operation(std::move(old)));
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(core->context().store, std::move(txn), std::move(options));
  PublishLane& after = core->lane(name);
  if (answer.ok() && answer->succeeded) {
    after.head.first = first;
    after.head_revision = answer->header.revision;
  } else {
    after.head_is_known = false;
  }
}

}  // namespace lockstep::service
