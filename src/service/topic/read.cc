// Reading blocks.
#include <algorithm>
#include <utility>

#include "service/store_requests.h"
#include "service/topic/core.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr std::int64_t block_span = messages_per_block_max;
constexpr std::int64_t blocks_per_read = 4;  // of up to block_bytes_max each

// The offset of the first key that can be the block which holds `offset`.
std::int64_t earliest(std::int64_t offset) {
  return std::max<std::int64_t>(0, offset - block_span + 1);
}

// -1: it is no block's, but somebody else's key among them.
std::int64_t block_offset(const TopicKeys& keys, std::int64_t partition, const std::string& key) {
  const std::int64_t offset = offset_of_key(key);
  return offset >= 0 && key == keys.block(partition, offset) ? offset : -1;
}

// The newest block that begins at `offset` or before, if it may hold it.
Task<Result<std::optional<store::KeyValue>>> stored_at(Context context, std::string topic,
                                                       std::int64_t partition, std::int64_t offset,
                                                       store::CallOptions options) {
  const TopicKeys keys(topic);
  store::RangeRequest request = one_key(keys.block(partition, earliest(offset)));
  request.range_end = keys.block(partition, offset + 1);
  request.sort_order = store::SortOrder::descend;
  request.limit = 1;
  while (true) {
    Result<store::RangeResponse> read = co_await store::awaitable::range(context.store, request, options);
    if (!read.ok()) co_return read.status();
    if (read->kvs.empty()) co_return std::optional<store::KeyValue>();
    store::KeyValue& found = read->kvs[0];
    if (block_offset(keys, partition, found.key) >= 0) co_return std::optional(std::move(found));
    request.range_end = std::move(found.key);
  }
}

// Where the first block from `offset` on begins; at most `end`.
Task<Result<std::int64_t>> next_block(Context context, std::string topic, std::int64_t partition,
                                      std::int64_t offset, std::int64_t end, store::CallOptions options) {
  if (offset >= end) co_return end;
  const TopicKeys keys(topic);
  store::RangeRequest next = one_key(keys.block(partition, offset));
  next.range_end = keys.block(partition, end);
  next.limit = 1;
  next.keys_only = true;
  while (true) {
    const Result<store::RangeResponse> behind =
        co_await store::awaitable::range(context.store, next, options);
    if (!behind.ok()) co_return behind.status();
    if (behind->kvs.empty()) co_return end;
    const std::string& found = behind->kvs[0].key;
    if (const std::int64_t at = block_offset(keys, partition, found); at >= 0) co_return at;
    next.key = found + '\0';
  }
}

}  // namespace

Task<Result<std::optional<BlockAt>>> block_at(Context context, std::string topic, std::int64_t partition,
                                              std::int64_t offset, store::CallOptions options) {
  const Result<std::optional<store::KeyValue>> stored =
      co_await stored_at(context, std::move(topic), partition, offset, std::move(options));
  if (!stored.ok()) co_return stored.status();
  if (!stored->has_value()) co_return std::optional<BlockAt>();
  BlockAt found;
  found.offset = offset_of_key((*stored)->key);
  Result<TopicBlock> block = parse_topic_block((*stored)->value);
  if (!block.ok() || found.offset + static_cast<std::int64_t>(block->messages.size()) <= offset)
    co_return std::optional<BlockAt>();
  found.block = *std::move(block);
  co_return std::optional<BlockAt>(std::move(found));
}

namespace {

// Takes what is asked for out of a block that begins at `at`.
void take(MessagesRead& found, std::size_t& bytes, std::int64_t at, TopicBlock block, std::int64_t end,
          std::size_t max) {
  if (at > found.next) found.next = std::min(at, end);  // a hole: what stood there was let go
  for (TopicMessage& message : block.messages) {
    if (at >= found.next && at < end && found.messages.size() < max && bytes < claim_bytes_max) {
      bytes += bytes_of(message);
      found.messages.push_back({at, block.at_ms, std::move(message)});
      found.next = at + 1;
    }
    ++at;
  }
}

// False: it cannot be read. If there is no message before it that is said, else it comes first the next time.
bool take_stored(MessagesRead& found, std::size_t& bytes, store::KeyValue stored, std::int64_t end,
                 std::size_t max) {
  const std::int64_t at = offset_of_key(stored.key);
  Result<TopicBlock> block = parse_topic_block(stored.value);
  if (block.ok()) {
    take(found, bytes, at, *std::move(block), end, max);
    return true;
  }
  found.next = std::min(std::max(found.next, at), end);
  if (!found.messages.empty()) return false;
  stored.value.resize(std::min(stored.value.size(), message_payload_bytes_max));
  found.damage = {found.next, std::move(stored.value)};
  return false;
}

}  // namespace

Task<Result<MessagesRead>> read_messages(Context context, std::string topic, std::int64_t partition,
                                         std::int64_t offset, std::int64_t end, std::size_t max,
                                         store::CallOptions options) {
  const TopicKeys keys(topic);
  MessagesRead found;
  found.next = offset;
  if (offset >= end) co_return found;
  std::size_t bytes = 0;
  Result<std::optional<store::KeyValue>> first =
      co_await stored_at(context, topic, partition, offset, options);
  if (!first.ok()) co_return first.status();
  bool good = !first->has_value() || take_stored(found, bytes, **std::move(first), end, max);
  std::string from;
  while (good && found.next < end && found.messages.size() < max && bytes < claim_bytes_max) {
    from = std::max(from, keys.block(partition, found.next));
    store::RangeRequest request = one_key(from);
    request.range_end = keys.block(partition, std::min(end, found.next + blocks_per_read * block_span));
    request.limit = blocks_per_read;
    Result<store::RangeResponse> read =
        co_await store::awaitable::range(context.store, std::move(request), options);
    if (!read.ok()) co_return read.status();
    for (store::KeyValue& kv : read->kvs) {
      // What stands behind the last one that is taken is not looked at: it is no hole.
      if (found.messages.size() >= max || bytes >= claim_bytes_max) break;
      from = kv.key + '\0';
      if (block_offset(keys, partition, kv.key) < 0) continue;
      good = take_stored(found, bytes, std::move(kv), end, max);
      if (!good) break;
    }
    if (!read->kvs.empty()) continue;
    // A hole: to the next block there is, in one step. None begins here, or it would have been read.
    const Result<std::int64_t> behind =
        co_await next_block(context, topic, partition, found.next + 1, end, options);
    if (!behind.ok()) co_return behind.status();
    found.next = *behind;
  }
  if (!found.damage.has_value()) co_return found;
  const Result<std::int64_t> behind =
      co_await next_block(context, topic, partition, found.next + 1, end, options);
  if (!behind.ok()) co_return behind.status();
  found.next = *behind;
  co_return found;
}

Task<Result<std::int64_t>> offset_at_time(Context context, std::string topic, std::int64_t partition,
                                          TopicHead head, std::int64_t at_ms, store::CallOptions options) {
  std::int64_t low = head.first;
  std::int64_t high = head.next;
  bool first = true;
  while (low < high) {
    // The first one to begin with: mostly nothing is old.
    const std::int64_t middle = std::exchange(first, false) ? low : low + (high - low) / 2;
    const Result<std::optional<BlockAt>> block =
        co_await block_at(context, topic, partition, middle, options);
    if (!block.ok()) co_return block.status();
    if (!block->has_value()) {
      low = middle + 1;
    } else if ((*block)->block.at_ms >= at_ms) {
      high = std::max(low, (*block)->offset);
    } else {
      low = (*block)->offset + static_cast<std::int64_t>((*block)->block.messages.size());
    }
  }
  co_return low;
}

}  // namespace lockstep::service
