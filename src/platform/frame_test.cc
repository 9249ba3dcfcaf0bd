#include "platform/frame.h"

#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/prng.h"
#include "platform/frame_reader.h"
#include "platform/send_queue.h"
#include "platform/system.h"

namespace lockstep::platform {
namespace {

using testing::HasSubstr;

std::string hex(std::string_view bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (std::size_t index = 0; index < bytes.size(); ++index) {
    if (index > 0) text += ' ';
    text += digits[static_cast<std::uint8_t>(bytes[index]) >> 4];
    text += digits[static_cast<std::uint8_t>(bytes[index]) & 15];
  }
  return text;
}

Hello example_hello() {
  Hello hello;
  hello.cluster = ClusterId(0x0102030405060708);
  hello.from = NodeId(2);
  hello.to = NodeId(1);
  hello.incarnation = IncarnationId(0xabcd);
  return hello;
}

TEST(Frame, TheWorkedExamplesOfTheFormatPageAreWhatWeWrite) {
  std::ifstream file("docs/formats/peer-frame.md");
  std::ostringstream page;
  page << file.rdbuf();
  const std::string hello = encode_frame(FrameKind::hello, encode_hello(example_hello()));
  const std::string message = encode_frame(FrameKind::message, "abc");
  EXPECT_THAT(page.str(), HasSubstr(hex(hello.substr(0, frame_header_bytes))));
  EXPECT_THAT(page.str(), HasSubstr(hex(hello.substr(frame_header_bytes))));
  EXPECT_THAT(page.str(), HasSubstr(hex(message)));
}

TEST(Frame, AHeaderReadsBackAsItWasWritten) {
  const FrameHeader written{FrameKind::message, 12345, 0xdeadbeef};
  const auto bytes = encode_header(written);
  FrameHeader read;
  EXPECT_EQ(decode_header({bytes.data(), bytes.size()}, frame_body_bytes_max, &read), BadInput::none);
  EXPECT_EQ(read, written);
}

TEST(Frame, EveryFlippedBitOfAHeaderIsNoticed) {
  const auto bytes = encode_header({FrameKind::message, 12345, 0xdeadbeef});
  for (std::size_t bit = 0; bit < 8 * frame_header_bytes; ++bit) {
    auto flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    FrameHeader read;
    const BadInput bad = decode_header({flipped.data(), flipped.size()}, frame_body_bytes_max, &read);
    EXPECT_EQ(bad, bit < 32 ? BadInput::magic : BadInput::header_checksum) << "bit " << bit;
  }
}

TEST(Frame, AHelloReadsBackAndToleratesBytesOfLaterVersions) {
  Hello read;
  EXPECT_TRUE(decode_hello(encode_hello(example_hello()), &read));
  EXPECT_EQ(read, example_hello());
  EXPECT_TRUE(decode_hello(encode_hello(example_hello()) + "later", &read));
  EXPECT_EQ(read, example_hello());
  const std::string whole = encode_hello(example_hello());
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_FALSE(decode_hello(whole.substr(0, length), &read)) << length;
}

TEST(Frame, VersionsAgreeIfTheirRangesMeet) {
  Hello ours = example_hello();
  std::swap(ours.from, ours.to);
  struct Case {
    std::uint16_t low, high;
    BadInput expected;
  };
  ours.version_min = 3;
  ours.version_max = 5;
  for (const Case& one :
       {Case{1, 2, BadInput::protocol_version}, Case{1, 3, BadInput::none}, Case{4, 4, BadInput::none},
        Case{5, 9, BadInput::none}, Case{6, 9, BadInput::protocol_version}}) {
    Hello theirs = example_hello();
    theirs.version_min = one.low;
    theirs.version_max = one.high;
    EXPECT_EQ(check_hello(theirs, ours), one.expected) << one.low << ".." << one.high;
  }
}

TEST(Frame, EveryReasonHasItsOwnName) {
  std::set<std::string_view> names;
  for (std::size_t reason = 0; reason < bad_input_count; ++reason)
    names.insert(to_string(static_cast<BadInput>(reason)));
  EXPECT_EQ(names.size(), bad_input_count);
  EXPECT_FALSE(names.contains(""));
}

// Feeds bytes in the given portions; returns the bodies.
struct Fed {
  std::vector<std::string> bodies;
  BadInput bad = BadInput::none;
};
Fed feed(FrameReader& reader, std::string_view bytes, Prng* prng) {
  Fed fed;
  std::vector<Frame> frames;
  while (!bytes.empty() && fed.bad == BadInput::none) {
    const std::span<char> space = reader.space();
    std::size_t count = std::min(space.size(), bytes.size());
    if (prng != nullptr)
      count = prng->between(1, prng->chance(1, 2) ? count : std::min<std::size_t>(count, 40));
    std::memcpy(space.data(), bytes.data(), count);
    bytes.remove_prefix(count);
    fed.bad = reader.commit(count, &frames);
  }
  for (const Frame& frame : frames) fed.bodies.emplace_back(frame.body.view());
  return fed;
}

TEST(FrameReader, CutsAnyStreamInAnyPortions) {
  const std::uint64_t seed = RealRandom().next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  for (int round = 0; round < 200; ++round) {
    std::string stream;
    std::vector<std::string> expected;
    const std::uint64_t count = prng.between(1, 30);
    for (std::uint64_t number = 0; number < count; ++number) {
      const std::size_t size = prng.chance(1, 20) ? prng.between(1, 300'000) : prng.between(1, 500);
      expected.emplace_back(size, static_cast<char>('a' + number % 26));
      stream += encode_frame(FrameKind::message, expected.back());
    }
    FrameReader reader;
    reader.admit();
    const Fed fed = feed(reader, stream, &prng);
    ASSERT_EQ(fed.bad, BadInput::none);
    ASSERT_EQ(fed.bodies, expected);
    ASSERT_FALSE(reader.inside_frame());
  }
}

TEST(FrameReader, TakesMemoryForALargeFrameOnlyAfterItsHeaderHeld) {
  FrameReader reader;
  const std::size_t before = reader.memory_bytes();
  EXPECT_LT(before, 1024u);
  const FrameHeader large{FrameKind::message, static_cast<std::uint32_t>(frame_body_bytes_max), 0};
  const auto header = encode_header(large);
  EXPECT_EQ(feed(reader, {header.data(), header.size()}, nullptr).bad, BadInput::length_too_large);
  EXPECT_EQ(reader.memory_bytes(), before);

  FrameReader admitted;
  admitted.admit();
  const std::size_t normal = admitted.memory_bytes();
  EXPECT_EQ(feed(admitted, {header.data(), header.size() - 1}, nullptr).bad, BadInput::none);
  EXPECT_EQ(admitted.memory_bytes(), normal);
  EXPECT_EQ(feed(admitted, {header.data() + header.size() - 1, 1}, nullptr).bad, BadInput::none);
  EXPECT_LE(admitted.memory_bytes(), frame_header_bytes + frame_body_bytes_max + 64);
}

TEST(FrameReader, HandsOutTheGoodFramesBeforeTheBadOne) {
  for (const std::string& bad :
       {std::string(20, 'x'), encode_frame(FrameKind::message, "abc").replace(20, 1, "b")}) {
    FrameReader reader;
    const Fed fed = feed(reader, encode_frame(FrameKind::message, "first") + bad, nullptr);
    EXPECT_EQ(fed.bodies, std::vector<std::string>{"first"});
    EXPECT_NE(fed.bad, BadInput::none);
  }
}

TEST(SendQueue, WritesEveryByteInOrderThroughAnyPartialWrites) {
  const std::uint64_t seed = RealRandom().next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  for (int round = 0; round < 100; ++round) {
    SendQueue queue;
    std::string expected;
    std::string written;
    std::size_t completed = 0;
    std::size_t pushed = 0;
    while (pushed < 200 || !queue.empty()) {
      if (pushed < 200 && prng.chance(2, 3)) {
        Pieces pieces;
        std::string body;
        const std::uint64_t count = prng.between(1, 90);
        for (std::uint64_t number = 0; number < count; ++number) {
          const std::size_t size = prng.chance(1, 10) ? prng.below(3000) : prng.below(20);
          pieces.emplace_back(std::string(size, static_cast<char>('a' + prng.below(26))));
          body += pieces.back().view();
        }
        if (body.empty()) continue;
        expected += encode_frame(FrameKind::message, body);
        ASSERT_TRUE(queue.push(std::move(pieces)));
        ++pushed;
        continue;
      }
      const auto& views = queue.to_write();
      if (views.empty()) continue;
      std::string offered;
      for (const std::string_view view : views) offered += view;
      const std::size_t count = prng.chance(1, 2) ? offered.size() : prng.between(1, offered.size());
      written += offered.substr(0, count);
      completed += queue.written(count);
    }
    ASSERT_EQ(written, expected);
    ASSERT_EQ(completed, pushed);
    ASSERT_EQ(queue.bytes(), 0u);
  }
}

TEST(SendQueue, RefusesWhatExceedsItsBoundsAndRecovers) {
  SendQueue by_count;
  for (std::size_t number = 0; number < send_queue_messages_max; ++number)
    ASSERT_TRUE(by_count.push({SharedBytes("m")}));
  EXPECT_FALSE(by_count.push({SharedBytes("m")}));
  EXPECT_EQ(by_count.clear(), send_queue_messages_max);
  EXPECT_TRUE(by_count.push({SharedBytes("m")}));

  SendQueue by_bytes;
  const SharedBytes mebibyte(std::string(limits::mebibyte, 'x'));
  std::size_t accepted = 0;
  while (by_bytes.push({mebibyte})) ++accepted;
  EXPECT_EQ(accepted, send_queue_bytes_max / limits::mebibyte);
  EXPECT_EQ(by_bytes.bytes(), send_queue_bytes_max);
  std::size_t offered = 0;
  for (const std::string_view view : by_bytes.to_write()) offered += view.size();
  EXPECT_EQ(by_bytes.written(offered), 1u);
  EXPECT_TRUE(by_bytes.push({mebibyte}));
}

}  // namespace
}  // namespace lockstep::platform
