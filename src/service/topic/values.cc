#include "service/topic/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "service/names.h"
#include "service/record/record.h"

namespace lockstep::service {
namespace {

constexpr std::size_t partition_digits = 4;
constexpr std::size_t offset_digits = 16;
constexpr std::size_t reason_bytes_max = 512;
constexpr std::int64_t attempts_counted_max = INT32_MAX;
constexpr std::int64_t retention_ms_max = 3'650LL * 24 * 3'600'000;

Status damaged(std::string_view what) {
  return {Code::failed_precondition, "topic: the key does not hold " + std::string(what)};
}

Status wrong(std::string_view what) {
  return {Code::invalid_argument, "topic: " + std::string(what)};
}

std::string digits_of(std::int64_t partition) {
  LS_MUST(partition >= 0 && partition < partitions_max);
  std::string digits = std::to_string(partition);
  return std::string(partition_digits - digits.size(), '0') + digits;
}

bool is_within(std::int64_t number, std::int64_t most) {
  return number >= 0 && number <= most;
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

bool is_header_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::string encode(const Headers& headers) {
  std::string text;
  for (const auto& [name, value] : headers) text += name + ":" + value + "\n";
  return text;
}

Result<Headers> parse_headers(std::string_view text) {
  Headers headers;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::size_t colon = text.find(':');
    if (end == std::string_view::npos || colon >= end || headers.size() > message_headers_max)
      return damaged("headers");
    const std::string_view name = text.substr(0, colon);
    const std::string_view value = text.substr(colon + 1, end - colon - 1);
    if (!is_header_name(name) || !is_printable(value)) return damaged("headers");
    headers.emplace_back(name, value);
    text.remove_prefix(end + 1);
  }
  return headers;
}

// Takes `size` bytes off `rest`; nothing if there are fewer.
std::optional<std::string_view> take(std::string_view& rest, std::int64_t size) {
  if (size < 0 || static_cast<std::uint64_t>(size) > rest.size()) return std::nullopt;
  const std::string_view taken = rest.substr(0, static_cast<std::size_t>(size));
  rest.remove_prefix(taken.size());
  return taken;
}

Result<TopicMessage> take_message(std::string_view& rest, std::int64_t key, std::int64_t headers,
                                  std::int64_t payload) {
  const auto key_bytes = take(rest, key);
  const auto header_bytes = key_bytes.has_value() ? take(rest, headers) : std::nullopt;
  const auto payload_bytes = header_bytes.has_value() ? take(rest, payload) : std::nullopt;
  if (!payload_bytes.has_value()) return damaged("messages");
  TopicMessage message;
  message.key = *key_bytes;
  LS_ASSIGN_OR_RETURN(message.headers, parse_headers(*header_bytes));
  message.payload = *payload_bytes;
  return message;
}

std::optional<std::int64_t> take_number(std::string_view& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    if (text.empty()) return std::nullopt;
  }
  return number;
}

}  // namespace

TopicKeys::TopicKeys(std::string_view topic) : base("lockstep/topics/" + key_segment(topic) + "/") {}

std::string TopicKeys::head(std::int64_t partition) const {
  return heads() + digits_of(partition);
}
std::string TopicKeys::block(std::int64_t partition, std::int64_t offset) const {
  LS_MUST(is_within(offset, offset_max));
  return base + "m/" + digits_of(partition) + "/" + to_hexadecimal(static_cast<std::uint64_t>(offset));
}
std::string TopicKeys::group(std::string_view group) const {
  return groups() + key_segment(group) + "/";
}
std::string TopicKeys::cursor(std::string_view of, std::int64_t partition) const {
  return cursors(of) + digits_of(partition);
}
std::string TopicKeys::owner(std::string_view of, std::int64_t partition) const {
  return owners(of) + digits_of(partition);
}
std::string TopicKeys::all_dead(std::string_view of) const {
  return base + "d/" + key_segment(of) + "/";
}
std::string TopicKeys::dead(std::string_view of, std::int64_t partition, std::int64_t offset) const {
  LS_MUST(is_within(offset, offset_max));
  return all_dead(of) + digits_of(partition) + "/" + to_hexadecimal(static_cast<std::uint64_t>(offset));
}

std::int64_t partition_of_key(std::string_view key) {
  if (key.size() < partition_digits) return -1;
  std::int64_t partition = 0;
  for (const char digit : key.substr(key.size() - partition_digits)) {
    if (digit < '0' || digit > '9') return -1;
    partition = partition * 10 + (digit - '0');
  }
  return partition < partitions_max ? partition : -1;
}

std::int64_t offset_of_key(std::string_view key) {
  if (key.size() < offset_digits) return -1;
  const std::optional<std::uint64_t> offset = number_of_hexadecimal(key.substr(key.size() - offset_digits));
  if (!offset.has_value() || *offset > static_cast<std::uint64_t>(offset_max)) return -1;
  return static_cast<std::int64_t>(*offset);
}

std::string encode(const TopicConfig& config) {
  return RecordWriter()
      .number("partitions", config.partitions)
      .number("retention_ms", config.retention_ms)
      .number("retention_messages", config.retention_messages)
      .finish();
}

Result<TopicConfig> parse_topic_config(std::string_view text) {
  LS_ASSIGN_OR_RETURN(const Record line, Record::parse("topic", text));
  TopicConfig config;
  LS_ASSIGN_OR_RETURN(config.partitions, line.number("partitions"));
  config.retention_ms = line.optional_number("retention_ms").value_or(0);
  config.retention_messages = line.optional_number("retention_messages").value_or(0);
  return check(config).ok() ? Result<TopicConfig>(config) : damaged("a topic");
}

std::string encode(const TopicHead& head) {
  return RecordWriter().number("next", head.next).number("first", head.first).finish();
}

Result<TopicHead> parse_topic_head(std::string_view text) {
  LS_ASSIGN_OR_RETURN(const Record line, Record::parse("topic", text));
  TopicHead head;
  LS_ASSIGN_OR_RETURN(head.next, line.number("next"));
  LS_ASSIGN_OR_RETURN(head.first, line.number("first"));
  if (!is_within(head.next, offset_max) || !is_within(head.first, head.next)) return damaged("a head");
  return head;
}

std::string encode(const GroupCursor& cursor) {
  RecordWriter line;
  line.number("next", cursor.next).number("attempts", cursor.attempts);
  if (!cursor.reason.empty()) line.text("reason", cursor.reason);
  return line.finish();
}

Result<GroupCursor> parse_group_cursor(std::string_view text) {
  LS_ASSIGN_OR_RETURN(const Record line, Record::parse("topic", text));
  GroupCursor cursor;
  LS_ASSIGN_OR_RETURN(cursor.next, line.number("next"));
  cursor.attempts = line.optional_number("attempts").value_or(0);
  cursor.reason = printable(line.optional_text("reason").value_or(""), reason_bytes_max);
  if (!is_within(cursor.next, offset_max) || !is_within(cursor.attempts, attempts_counted_max))
    return damaged("a cursor");
  return cursor;
}

std::string encode(const TopicBlock& block) {
  LS_MUST(!block.messages.empty() && block.messages.size() <= messages_per_block_max);
  std::vector<std::int64_t> keys;
  std::vector<std::int64_t> headers;
  std::vector<std::int64_t> payloads;
  std::string bytes;
  for (const TopicMessage& message : block.messages) {
    const std::string header_bytes = encode(message.headers);
    bytes += message.key + header_bytes + message.payload;
    keys.push_back(static_cast<std::int64_t>(message.key.size()));
    headers.push_back(static_cast<std::int64_t>(header_bytes.size()));
    payloads.push_back(static_cast<std::int64_t>(message.payload.size()));
  }
  return RecordWriter()
      .number("at_ms", block.at_ms)
      .text("id", block.id)
      .numbers("keys", keys)
      .numbers("headers", headers)
      .numbers("payloads", payloads)
      .finish(bytes);
}

Result<TopicBlock> parse_topic_block(std::string_view text) {
  LS_ASSIGN_OR_RETURN(const Record line, Record::parse("topic", text));
  TopicBlock block;
  LS_ASSIGN_OR_RETURN(block.at_ms, line.number("at_ms"));
  LS_ASSIGN_OR_RETURN(block.id, line.text("id"));
  LS_ASSIGN_OR_RETURN(const std::vector<std::int64_t> keys, line.numbers("keys"));
  LS_ASSIGN_OR_RETURN(const std::vector<std::int64_t> headers, line.numbers("headers"));
  LS_ASSIGN_OR_RETURN(const std::vector<std::int64_t> payloads, line.numbers("payloads"));
  if (keys.empty() || keys.size() > messages_per_block_max || headers.size() != keys.size() ||
      payloads.size() != keys.size())
    return damaged("messages");
  std::string_view rest = line.bytes();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    LS_ASSIGN_OR_RETURN(TopicMessage message, take_message(rest, keys[i], headers[i], payloads[i]));
    block.messages.push_back(std::move(message));
  }
  if (!rest.empty()) return damaged("messages");
  return block;
}

std::size_t bytes_of(const TopicMessage& message) {
  constexpr std::size_t lengths = 24;
  std::size_t bytes = lengths + message.key.size() + message.payload.size();
  for (const auto& [name, value] : message.headers) bytes += name.size() + value.size() + 2;
  return bytes;
}

std::string encode(const DeadMessage& dead) {
  const std::string headers = encode(dead.message.headers);
  return RecordWriter()
      .number("partition", dead.partition)
      .number("offset", dead.offset)
      .number("attempts", dead.attempts)
      .number("at_ms", dead.at_ms)
      .text("reason", printable(dead.reason, reason_bytes_max))
      .number("key", static_cast<std::int64_t>(dead.message.key.size()))
      .number("headers", static_cast<std::int64_t>(headers.size()))
      .finish(dead.message.key + headers + dead.message.payload);
}

Result<DeadMessage> parse_dead_message(std::string_view text) {
  LS_ASSIGN_OR_RETURN(const Record line, Record::parse("topic", text));
  DeadMessage dead;
  LS_ASSIGN_OR_RETURN(dead.partition, line.number("partition"));
  LS_ASSIGN_OR_RETURN(dead.offset, line.number("offset"));
  LS_ASSIGN_OR_RETURN(dead.attempts, line.number("attempts"));
  dead.at_ms = line.optional_number("at_ms").value_or(0);
  dead.reason = printable(line.optional_text("reason").value_or(""), reason_bytes_max);
  LS_ASSIGN_OR_RETURN(const std::int64_t key, line.number("key"));
  LS_ASSIGN_OR_RETURN(const std::int64_t headers, line.number("headers"));
  const auto all = static_cast<std::int64_t>(line.bytes().size());
  if (!is_within(dead.partition, partitions_max - 1) || !is_within(dead.offset, offset_max) ||
      !is_within(key, all) || !is_within(headers, all - key))
    return damaged("a dead letter");
  std::string_view rest = line.bytes();
  LS_ASSIGN_OR_RETURN(dead.message, take_message(rest, key, headers, all - key - headers));
  return dead;
}

std::string to_string(const ClaimToken& token) {
  return std::to_string(token.partition) + "." + std::to_string(token.revision.value()) + "." +
         std::to_string(token.lease.value()) + "." + std::to_string(token.from) + "." +
         std::to_string(token.to) + "." + std::to_string(token.attempts);
}

Result<ClaimToken> parse_claim_token(std::string_view text) {
  const Status bad = wrong("this is no token of a claim");
  std::array<std::int64_t, 6> numbers{};
  for (std::int64_t& number : numbers) {
    const std::optional<std::int64_t> taken = take_number(text);
    if (!taken.has_value()) return bad;
    number = *taken;
  }
  ClaimToken token{numbers[0], Revision(numbers[1]), LeaseId(numbers[2]), numbers[3], numbers[4], numbers[5]};
  const bool good = text.empty() && is_within(token.partition, partitions_max - 1) && numbers[1] > 0 &&
                    is_within(token.to, offset_max) && is_within(token.from, token.to) &&
                    is_within(token.attempts, attempts_counted_max);
  return good ? Result<ClaimToken>(token) : bad;
}

Status check(const TopicMessage& message) {
  if (message.key.size() > message_key_bytes_max) return wrong("a message's key is longer than 1024 bytes");
  if (message.payload.size() > message_payload_bytes_max) return wrong("a message is larger than 256 KiB");
  if (message.headers.size() > message_headers_max) return wrong("a message has more than 32 headers");
  std::size_t bytes = 0;
  for (const auto& [name, value] : message.headers) {
    if (!is_header_name(name)) return wrong("a header's name is 1 to 64 letters, digits and '-'");
    if (!is_printable(value)) return wrong("a header's value is printable ASCII");
    bytes += name.size() + value.size() + 2;
  }
  return bytes > message_headers_bytes_max ? wrong("a message's headers are larger than 4 KiB") : Status();
}

Status check(const TopicConfig& config) {
  if (config.partitions < 1 || config.partitions > partitions_max) return wrong("partitions are 1 to 64");
  if (!is_within(config.retention_ms, retention_ms_max)) return wrong("retention_ms is 0 to ten years");
  if (!is_within(config.retention_messages, offset_max)) return wrong("retention_messages is 0 or more");
  return {};
}

std::string printable(std::string_view text, std::size_t bytes_max) {
  std::string printable(text.substr(0, bytes_max));
  std::ranges::replace_if(printable, [](char c) { return c < ' ' || c > '~'; }, '?');
  return printable;
}

}  // namespace lockstep::service
