// What topics keep in the store, and where. TOPIC and GROUP are segments of keys (names.h), PPPP is a
// partition, four decimal digits, OFFSET a message's number in its partition, 16 hexadecimal digits.
//
//   lockstep/topics/TOPIC/config             what the topic was made with
//   lockstep/topics/TOPIC/h/PPPP             the head: the offset that comes next, and the first one still
//   kept lockstep/topics/TOPIC/m/PPPP/OFFSET      a block: messages that were published together; OFFSET is
//   the first one's lockstep/topics/TOPIC/g/GROUP/c/PPPP     the cursor of a group: what it has not
//   acknowledged begins there lockstep/topics/TOPIC/g/GROUP/o/PPPP     somebody works on the partition for
//   the group, or it rests; with a lease lockstep/topics/TOPIC/d/GROUP/PPPP/OFFSET  a dead letter: why, and
//   the message
//
// Pure functions. Errors of parsers: failed_precondition, saying what is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"

namespace lockstep::service {

inline constexpr std::int64_t partitions_max = 64;
inline constexpr std::size_t messages_per_block_max = 256;
inline constexpr std::size_t block_bytes_max = 512 * 1024;
inline constexpr std::size_t message_payload_bytes_max = 256 * 1024;
inline constexpr std::size_t message_key_bytes_max = 1024;
inline constexpr std::size_t message_headers_bytes_max = 4096;
inline constexpr std::size_t message_headers_max = 32;
inline constexpr std::int64_t offset_max = INT64_MAX / 4;
static_assert(message_payload_bytes_max + message_key_bytes_max + message_headers_bytes_max < block_bytes_max,
              "any message fits into a block");

using Headers = std::vector<std::pair<std::string, std::string>>;

struct TopicMessage {
  std::string key;  // messages of one key keep their order; empty: any partition
  std::string payload;
  Headers headers;  // names of letters, digits and "-"; values of printable ASCII
  friend bool operator==(const TopicMessage&, const TopicMessage&) = default;
};

// Delivered to that group only: what was redriven for it. It comes on top of message_headers_max.
inline constexpr std::string_view only_group_header = "lockstep-group";

struct TopicKeys {
  explicit TopicKeys(std::string_view topic);
  std::string base;
  [[nodiscard]] std::string config() const { return base + "config"; }
  [[nodiscard]] std::string heads() const { return base + "h/"; }
  [[nodiscard]] std::string head(std::int64_t partition) const;
  [[nodiscard]] std::string block(std::int64_t partition, std::int64_t offset) const;
  [[nodiscard]] std::string groups() const { return base + "g/"; }
  [[nodiscard]] std::string group(std::string_view group) const;
  [[nodiscard]] std::string cursors(std::string_view of) const { return group(of) + "c/"; }
  [[nodiscard]] std::string cursor(std::string_view of, std::int64_t partition) const;
  [[nodiscard]] std::string owners(std::string_view of) const { return group(of) + "o/"; }
  [[nodiscard]] std::string owner(std::string_view of, std::int64_t partition) const;
  [[nodiscard]] std::string all_dead(std::string_view of) const;
  [[nodiscard]] std::string dead(std::string_view of, std::int64_t partition, std::int64_t offset) const;
};
// The partition at the end of a key of heads, cursors or owners; negative: it is none.
std::int64_t partition_of_key(std::string_view key);
// The offset at the end of a key of blocks; negative: it is none.
std::int64_t offset_of_key(std::string_view key);

struct TopicConfig {
  std::int64_t partitions = 8;
  std::int64_t retention_ms = 7 * 24 * 3'600'000LL;  // messages may go when they are older; 0: never
  std::int64_t retention_messages = 0;               // of each partition the newest so many stay; 0: all
  friend bool operator==(const TopicConfig&, const TopicConfig&) = default;
};
std::string encode(const TopicConfig& config);
Result<TopicConfig> parse_topic_config(std::string_view text);

struct TopicHead {
  std::int64_t next = 0;
  std::int64_t first = 0;
  friend bool operator==(const TopicHead&, const TopicHead&) = default;
};
std::string encode(const TopicHead& head);
Result<TopicHead> parse_topic_head(std::string_view text);

struct GroupCursor {
  std::int64_t next = 0;
  std::int64_t attempts = 0;  // deliveries of the message at `next`
  std::string reason;         // why it was given back the last time; printable ASCII
  friend bool operator==(const GroupCursor&, const GroupCursor&) = default;
};
std::string encode(const GroupCursor& cursor);
Result<GroupCursor> parse_group_cursor(std::string_view text);

struct TopicBlock {
  std::int64_t at_ms = 0;  // by the publisher's wall clock
  std::string id;          // 16 hexadecimal digits drawn by the publisher: by them it knows its own block
  std::vector<TopicMessage> messages;
  friend bool operator==(const TopicBlock&, const TopicBlock&) = default;
};
std::string encode(const TopicBlock& block);
Result<TopicBlock> parse_topic_block(std::string_view text);
// What it takes in a block, about.
std::size_t bytes_of(const TopicMessage& message);

struct DeadMessage {
  std::int64_t partition = 0;
  std::int64_t offset = 0;
  std::int64_t attempts = 0;
  std::int64_t at_ms = 0;  // when it was published
  std::string reason;
  TopicMessage message;
  friend bool operator==(const DeadMessage&, const DeadMessage&) = default;
};
std::string encode(const DeadMessage& dead);
Result<DeadMessage> parse_dead_message(std::string_view text);

// What names a claim: these numbers, with dots between them.
struct ClaimToken {
  std::int64_t partition = 0;
  Revision revision;  // of the owner's key: it only grows, so it fences what the consumer writes elsewhere
  LeaseId lease;
  std::int64_t from = 0;  // the cursor when it was claimed
  std::int64_t to = 0;    // the offset after the last message that was delivered
  std::int64_t attempts = 0;
  friend bool operator==(const ClaimToken&, const ClaimToken&) = default;
};
std::string to_string(const ClaimToken& token);
Result<ClaimToken> parse_claim_token(std::string_view text);

// ok, or what is wrong with it.
Status check(const TopicMessage& message);
Status check(const TopicConfig& config);
// Text as it may stand in a record: other bytes become "?".
std::string printable(std::string_view text, std::size_t bytes_max);

}  // namespace lockstep::service
