// The bytes of messages: every kind there and back, the example of the format's page, and every malformed
// input.
#include "raft/wire.h"

#include <functional>

#include <gtest/gtest.h>

#include "base/codec.h"

namespace lockstep::raft {
namespace {

std::string flat(const Pieces& pieces) {
  std::string bytes;
  for (const SharedBytes& piece : pieces) bytes += piece.view();
  return bytes;
}

Message message_of(MessageKind kind) {
  Message message;
  message.kind = kind;
  message.from = NodeId(1);
  message.to = NodeId(2);
  message.term = Term(9);
  message.boot = BootId(0x1122334455667788);
  message.round = Round(300);
  message.index = LogIndex(4);
  message.log_term = Term(3);
  return message;
}

Message append_of(std::initializer_list<Entry> entries) {
  Message message = message_of(MessageKind::append);
  message.entries = entries;
  return message;
}

Message chunk_of() {
  Message message = message_of(MessageKind::snapshot_chunk);
  SnapshotChunk chunk;
  chunk.snapshot = {SnapshotId(5), LogIndex(40), Term(8), {}, 100, 0xabcdef};
  chunk.snapshot.configuration.voters = {NodeId(1), NodeId(2)};
  chunk.offset = 10;
  chunk.bytes = SharedBytes("some bytes");
  message.chunk = chunk;
  return message;
}

TEST(Wire, EveryKindGoesThereAndBack) {
  std::vector<Message> messages;
  for (std::uint8_t kind = 1; kind <= message_kind_max; ++kind) {
    Message message = message_of(static_cast<MessageKind>(kind));
    message.commit = LogIndex(77);
    message.reject = kind % 2 == 0;
    message.transfer = kind % 3 == 0;
    message.in_doubt = kind % 5 == 0;
    message.eager = kind % 7 == 0;
    message.hint_index = LogIndex(6);
    message.hint_term = Term(2);
    message.doubt_boot = BootId(3);
    message.restored_index = LogIndex(8);
    message.snapshot = SnapshotId(2);
    message.offset = 1000;
    if (message.kind == MessageKind::snapshot_chunk) message.chunk = chunk_of().chunk;
    messages.push_back(message);
  }
  messages.push_back(
      append_of({{Term(3), LogIndex(5), EntryKind::normal, SharedBytes(std::string(70000, 'x'))},
                 {Term(3), LogIndex(6), EntryKind::normal, {}},
                 {Term(9), LogIndex(7), EntryKind::empty, {}}}));
  for (const Message& message : messages) {
    const Result<Message> back = decode(SharedBytes(flat(encode(message))));
    ASSERT_TRUE(back.ok()) << to_string(message) << ": " << back.status().to_string();
    EXPECT_EQ(*back, message) << to_string(message);
  }
}

TEST(Wire, PayloadsAreSharedNotCopied) {
  const SharedBytes payload(std::string(1000, 'p'));
  const Message message = append_of({{Term(3), LogIndex(5), EntryKind::normal, payload}});
  const Pieces pieces = encode(message);
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[1].view().data(), payload.view().data());
  const SharedBytes bytes(flat(pieces));
  const Result<Message> back = decode(bytes);
  ASSERT_TRUE(back.ok());
  const char* shared = back->entries[0].payload.view().data();
  EXPECT_GE(shared, bytes.view().data());
  EXPECT_LT(shared, bytes.view().data() + bytes.size());
}

TEST(Wire, TheExampleOfTheFormatPage) {
  Message message;
  message.kind = MessageKind::heartbeat;
  message.from = NodeId(1);
  message.to = NodeId(2);
  message.term = Term(2);
  message.boot = BootId(7);
  message.round = Round(3);
  message.commit = LogIndex(5);
  const std::string expected(
      "\x01\x07\x00\x01\x02\x02"
      "\x07\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x03\x00\x00\x05\x00\x00\x00\x00\x00",
      31);
  EXPECT_EQ(flat(encode(message)), expected);
}

TEST(Wire, EveryPrefixIsRefused) {
  for (const Message& message :
       {append_of({{Term(3), LogIndex(5), EntryKind::normal, SharedBytes("abc")}}), chunk_of()}) {
    const std::string bytes = flat(encode(message));
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      EXPECT_EQ(decode(SharedBytes(bytes.substr(0, length))).status().code(), Code::corruption) << length;
    }
    EXPECT_EQ(decode(SharedBytes(bytes + "x")).status().message(), "raft message: trailing bytes");
  }
}

TEST(Wire, MalformedBytes) {
  const std::string good = flat(encode(message_of(MessageKind::heartbeat)));
  const auto with = [&](std::size_t place, char value) {
    std::string bytes = good;
    bytes[place] = value;
    return decode(SharedBytes(bytes)).status().to_string();
  };
  EXPECT_EQ(with(0, 2), "corruption: raft message: unknown format version");
  EXPECT_EQ(with(1, 0), "corruption: raft message: unknown kind");
  EXPECT_EQ(with(1, message_kind_max + 1), "corruption: raft message: unknown kind");
  EXPECT_EQ(with(2, 16), "corruption: raft message: unknown flag");
  EXPECT_EQ(decode(SharedBytes(std::string(limits::frame_bytes_max + 1, 1))).status().to_string(),
            "corruption: raft message: too large");

  // A count and a length that lie must not take memory.
  std::string header = flat(encode(append_of({})));
  header.pop_back();
  std::string lie = header;
  Encoder(&lie).varint(UINT64_MAX);
  EXPECT_EQ(decode(SharedBytes(lie)).status().to_string(),
            "corruption: raft message: more entries than bytes");
  lie = header;
  Encoder(&lie).varint(message_entries_max + 1);
  lie += std::string(3 * (message_entries_max + 1), '\x09');
  EXPECT_EQ(decode(SharedBytes(lie)).status().to_string(), "corruption: raft message: too many entries");
  lie = header + std::string("\x01\x09\x07\x00", 4);
  EXPECT_EQ(decode(SharedBytes(lie)).status().to_string(), "corruption: raft message: unknown kind of entry");
  lie = header + std::string("\x01\x09\x00\xff\xff\x01", 6);
  EXPECT_EQ(decode(SharedBytes(lie)).status().to_string(), "corruption: raft message: truncated entry");
}

struct Row {
  const char* error;
  std::function<void(Message&)> spoil;
};

void expect_invalid(const Message& good, const std::vector<Row>& rows) {
  ASSERT_TRUE(validate(good).ok()) << validate(good).to_string();
  for (const Row& row : rows) {
    Message message = good;
    row.spoil(message);
    EXPECT_EQ(validate(message).to_string(), "invalid_argument: " + std::string(row.error));
  }
}

TEST(Validate, EveryMessage) {
  using M = Message;
  expect_invalid(message_of(MessageKind::append_response),
                 {{"raft message: no sender", [](M& m) { m.from = NodeId{}; }},
                  {"raft message: no receiver", [](M& m) { m.to = NodeId{}; }},
                  {"raft message: from its receiver", [](M& m) { m.to = m.from; }},
                  {"raft message: term zero", [](M& m) { m.term = Term{}; }},
                  {"raft message: term out of range", [](M& m) { m.term = term_max.next(); }},
                  {"raft message: term out of range", [](M& m) { m.term = Term::max(); }},
                  {"raft message: no boot", [](M& m) { m.boot = BootId{}; }},
                  {"raft message: index out of range", [](M& m) { m.index = LogIndex::max(); }},
                  {"raft message: index out of range", [](M& m) { m.commit = index_max.next(); }},
                  {"raft message: index out of range", [](M& m) { m.hint_index = LogIndex::max(); }},
                  {"raft message: index out of range", [](M& m) { m.restored_index = LogIndex::max(); }},
                  {"raft message: hint term above the message's", [](M& m) { m.hint_term = Term(10); }},
                  {"raft message: unknown kind", [](M& m) { m.kind = static_cast<MessageKind>(0); }},
                  {"raft message: unknown kind", [](M& m) { m.kind = static_cast<MessageKind>(99); }},
                  {"raft message: entries in a message that has none",
                   [](M& m) { m.entries.push_back({Term(3), LogIndex(5), EntryKind::empty, {}}); }},
                  {"raft message: snapshot chunk in a message that has none",
                   [](M& m) { m.chunk = chunk_of().chunk; }}});
}

TEST(Validate, RemovalsInRefusedPreVotes) {
  using M = Message;
  Message good = message_of(MessageKind::pre_vote_response);
  good.reject = true;
  good.index = LogIndex(5);
  good.log_term = Term(3);
  expect_invalid(good, {{"raft message: position without term", [](M& m) { m.log_term = Term{}; }},
                        {"raft message: position without term", [](M& m) { m.index = LogIndex{}; }},
                        {"raft message: removed, and granted a pre-vote", [](M& m) { m.reject = false; }}});
}

TEST(Validate, Appends) {
  using M = Message;
  const Message good = append_of({{Term(3), LogIndex(5), EntryKind::normal, SharedBytes("a")},
                                  {Term(4), LogIndex(6), EntryKind::normal, SharedBytes("b")}});
  expect_invalid(
      good,
      {{"raft message: gap between entries", [](M& m) { m.entries[0].index = LogIndex(6); }},
       {"raft message: gap between entries", [](M& m) { m.entries[1].index = LogIndex(5); }},
       {"raft message: terms of entries fall", [](M& m) { m.entries[0].term = Term(2); }},
       {"raft message: terms of entries fall", [](M& m) { m.entries[1].term = Term(2); }},
       {"raft message: term of an entry above the message's", [](M& m) { m.entries[1].term = Term(10); }},
       {"raft message: position without term", [](M& m) { m.log_term = Term{}; }},
       {"raft message: position without term", [](M& m) { m.index = LogIndex{}; }},
       {"raft message: log term above the message's", [](M& m) { m.log_term = Term(10); }},
       {"raft message: entry too large",
        [](M& m) { m.entries[0].payload = SharedBytes(std::string(limits::entry_bytes_max + 1, 'x')); }},
       {"raft message: empty entry with a payload", [](M& m) { m.entries[0].kind = EntryKind::empty; }}});
  Message configuration = good;
  configuration.entries[0].kind = EntryKind::configuration;
  EXPECT_EQ(validate(configuration).code(), Code::corruption) << "a payload that is no configuration";
}

TEST(Validate, SnapshotChunks) {
  using M = Message;
  expect_invalid(
      chunk_of(),
      {{"raft message: snapshot chunk missing", [](M& m) { m.chunk.reset(); }},
       {"raft message: snapshot without id", [](M& m) { m.chunk->snapshot.id = SnapshotId{}; }},
       {"raft message: snapshot index out of range", [](M& m) { m.chunk->snapshot.index = LogIndex{}; }},
       {"raft message: snapshot index out of range", [](M& m) { m.chunk->snapshot.index = LogIndex::max(); }},
       {"raft message: snapshot term zero", [](M& m) { m.chunk->snapshot.term = Term{}; }},
       {"raft message: snapshot term above the message's", [](M& m) { m.chunk->snapshot.term = Term(10); }},
       {"configuration: no voter is left", [](M& m) { m.chunk->snapshot.configuration.voters.clear(); }},
       {"raft message: snapshot chunk beyond its end", [](M& m) { m.chunk->offset = 101; }},
       {"raft message: snapshot chunk beyond its end", [](M& m) { m.chunk->offset = 91; }},
       {"raft message: snapshot chunk beyond its end", [](M& m) { m.chunk->offset = UINT64_MAX; }},
       {"raft message: empty snapshot chunk", [](M& m) { m.chunk->bytes = {}; }},
       {"raft message: snapshot chunk too large", [](M& m) {
          m.chunk->snapshot.total_bytes = UINT64_MAX;
          m.chunk->bytes = SharedBytes(std::string(limits::snapshot_chunk_bytes_max + 1, 'x'));
        }}});
}

}  // namespace
}  // namespace lockstep::raft
