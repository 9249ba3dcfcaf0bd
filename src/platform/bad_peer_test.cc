// Rows P9–P21 of the table of bad inputs: what an outsider, a confused or a broken member may send to the
// peer port. Every case: the connection is closed, one counter moves, one line is logged, nothing reaches the
// receiver, and the healthy peer is served meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "platform/network_test_support.h"

namespace lockstep::platform {
namespace {

using testing::Contains;
using testing::HasSubstr;

// Members 1 and 2 know each other; 1 also knows 3, whom the tests impersonate.
struct BadPeerTest : testing::Test {
  void SetUp() override {
    one.knows(two);
    two.knows(one);
    one.knows(NodeId(3), nobody.port());
    ASSERT_TRUE(all_connected({&one, &two}));
  }
  void expect_refused(RawSocket& raw, BadInput reason) {
    EXPECT_TRUE(raw.closed_by_the_other_side());
    EXPECT_TRUE(eventually([&] { return one.metrics().bad(reason) > 0; }));
    const NetworkMetrics metrics = one.metrics();
    for (std::size_t other = 0; other < bad_input_count; ++other) {
      EXPECT_EQ(metrics.bad_input[other], other == static_cast<std::size_t>(reason) ? 1u : 0u)
          << to_string(static_cast<BadInput>(other));
    }
    EXPECT_THAT(one.log(), Contains(HasSubstr("closed: " + std::string(to_string(reason)))));
    expect_healthy();
  }
  void expect_healthy() {
    EXPECT_EQ(one.metrics().connections_lost, 0u);
    two.send(one, "healthy");
    EXPECT_TRUE(one.eventually_receives("healthy"));
    EXPECT_EQ(one.received().size(), 1u);
  }
  // A connection that member 1 took for member 3.
  RawSocket admitted() {
    RawSocket raw = RawSocket::connect(one.port());
    raw.send(hello_frame(hello_between(3, 1)));
    EXPECT_FALSE(raw.receive(welcome_frame_bytes()).empty());
    return raw;
  }
  static std::string sealed(std::string header_bytes) {
    const std::uint32_t checksum = crc32c(header_bytes);
    header_bytes.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
    return header_bytes;
  }
  // The first 16 bytes of a good header with some bytes replaced, and a matching checksum.
  static std::string forged(std::size_t offset, std::string_view bytes) {
    std::string header = encode_frame(FrameKind::message, "abc").substr(0, frame_header_bytes - 4);
    return sealed(header.replace(offset, bytes.size(), bytes));
  }

  StrandThread strand;
  RawListener nobody;  // where member 3 would listen
  Member one{strand, 1};
  Member two{strand, 2};
};

struct Bytes {
  std::string name;
  std::string bytes;
  BadInput expected;
};
class BadBytes : public BadPeerTest, public testing::WithParamInterface<Bytes> {
 public:
  static std::vector<Bytes> before_hello() {
    Hello cluster = hello_between(3, 1);
    cluster.cluster = ClusterId(78);
    Hello versions = hello_between(3, 1);
    versions.version_min = 900;
    versions.version_max = 901;
    Hello contradiction = hello_between(3, 1);
    contradiction.version_min = 2;
    contradiction.version_max = 1;
    std::string flipped = hello_frame(hello_between(3, 1));
    flipped.back() ^= 1;
    return {
        {"P9_http", "GET / HTTP/1.1\r\nHost: member\r\n\r\n", BadInput::magic},
        {"P9_tls_hello",
         std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + std::string(60, 'r'),
         BadInput::magic},
        {"P9_zeros", std::string(64, '\0'), BadInput::magic},
        {"P10_layout", forged(4, "\x09"), BadInput::layout},
        {"P10_version", hello_frame(versions), BadInput::protocol_version},
        {"P11_length_zero", forged(8, std::string_view("\0\0\0\0", 4)), BadInput::length_zero},
        {"P12_huge_before_hello", forged(8, std::string_view("\0\0\x10\0", 4)), BadInput::length_too_large},
        {"P12_four_gibibytes", forged(8, "\xff\xff\xff\xff"), BadInput::length_too_large},
        {"P14_header_checksum", encode_frame(FrameKind::hello, "x").replace(9, 1, "y"),
         BadInput::header_checksum},
        {"P14_body_checksum", flipped, BadInput::body_checksum},
        {"P16_wrong_cluster", hello_frame(cluster), BadInput::wrong_cluster},
        {"P17_unknown_peer", hello_frame(hello_between(4, 1)), BadInput::unknown_peer},
        {"P19_own_id", hello_frame(hello_between(1, 1)), BadInput::own_id},
        {"P20_misaddressed", hello_frame(hello_between(3, 2)), BadInput::misaddressed},
        {"kind_zero", forged(5, std::string_view("\0", 1)), BadInput::kind},
        {"kind_unknown", forged(5, "\x04"), BadInput::kind},
        {"flags", forged(6, "\x01"), BadInput::kind},
        {"message_before_hello", encode_frame(FrameKind::message, "abc"), BadInput::unexpected_kind},
        {"welcome_instead_of_hello", encode_frame(FrameKind::welcome, encode_hello(hello_between(3, 1))),
         BadInput::unexpected_kind},
        {"hello_too_short", encode_frame(FrameKind::hello, "abc"), BadInput::hello_malformed},
        {"hello_contradicts_itself", hello_frame(contradiction), BadInput::hello_malformed},
        {"hello_from_nobody", hello_frame(hello_between(0, 1)), BadInput::hello_malformed},
    };
  }
  static std::vector<Bytes> after_hello() {
    std::string flipped = encode_frame(FrameKind::message, "abcdef");
    flipped.back() ^= 0x40;
    // A length that lies: shorter than the body, and longer, so that the next frame is swallowed.
    std::string body = "a body of some length";
    std::string shorter = encode_frame(FrameKind::message, body);
    std::string header = shorter.substr(0, frame_header_bytes - 4);
    header[8] = static_cast<char>(body.size() - 5);
    shorter = sealed(header) + body;
    header[8] = static_cast<char>(body.size() + frame_header_bytes);
    const std::string longer = sealed(header) + body + encode_frame(FrameKind::message, body);
    const std::uint32_t above = frame_body_bytes_max + 1;
    return {
        {"P12_above_the_limit", forged(8, {reinterpret_cast<const char*>(&above), 4}),
         BadInput::length_too_large},
        {"P13_lying_short", shorter, BadInput::body_checksum},
        {"P13_lying_long", longer, BadInput::body_checksum},
        {"P14_body_checksum", flipped, BadInput::body_checksum},
        {"P14_header_checksum", encode_frame(FrameKind::message, "x").replace(19, 1, "?"),
         BadInput::header_checksum},
        {"second_hello", hello_frame(hello_between(3, 1)), BadInput::unexpected_kind},
        {"length_zero", forged(8, std::string_view("\0\0\0\0", 4)), BadInput::length_zero},
    };
  }
};

class BeforeHello : public BadBytes {};
TEST_P(BeforeHello, AreRefused) {
  RawSocket raw = RawSocket::connect(one.port());
  raw.send(GetParam().bytes);
  expect_refused(raw, GetParam().expected);
}

const auto name_of = [](const testing::TestParamInfo<Bytes>& info) { return info.param.name; };
INSTANTIATE_TEST_SUITE_P(Peer, BeforeHello, testing::ValuesIn(BadBytes::before_hello()), name_of);

class AfterHello : public BadBytes {};
TEST_P(AfterHello, AreRefused) {
  RawSocket raw = admitted();
  raw.send(GetParam().bytes);
  expect_refused(raw, GetParam().expected);
}
INSTANTIATE_TEST_SUITE_P(Peer, AfterHello, testing::ValuesIn(BadBytes::after_hello()), name_of);

TEST_F(BadPeerTest, P15TruncatedHello) {
  RawSocket raw = RawSocket::connect(one.port());
  raw.send(hello_frame(hello_between(3, 1)).substr(0, 30));
  raw.end_of_data();
  expect_refused(raw, BadInput::truncated);
}

TEST_F(BadPeerTest, P15TruncatedMessage) {
  RawSocket raw = admitted();
  raw.send(encode_frame(FrameKind::message, std::string(200'000, 'x')).substr(0, 150'000));
  raw.end_of_data();
  expect_refused(raw, BadInput::truncated);
}

TEST_F(BadPeerTest, P18ARemovedPeerIsAnUnknownOne) {
  RawSocket before = admitted();
  strand.on([] {});
  one.ask([](TcpNetwork& network) {
    network.remove_peer(NodeId(3));
    return 0;
  });
  EXPECT_TRUE(before.closed_by_the_other_side());
  RawSocket after = RawSocket::connect(one.port());
  after.send(hello_frame(hello_between(3, 1)));
  expect_refused(after, BadInput::unknown_peer);
}

TEST_F(BadPeerTest, P21AFloodOfSilentConnectionsKeepsNobodyOut) {
  std::vector<RawSocket> flood;
  std::size_t unknown_max = 0;
  for (int number = 0; number < 300; ++number) {
    flood.push_back(RawSocket::connect(one.port()));
    unknown_max =
        std::max(unknown_max, one.ask([](TcpNetwork& network) { return network.unknown_connections(); }));
  }
  EXPECT_LE(unknown_max, 64u);
  ASSERT_TRUE(eventually([&] { return one.metrics().bad(BadInput::flood) >= 300 - 64; }));
  RawSocket late = admitted();
  late.send(encode_frame(FrameKind::message, "through the crowd"));
  EXPECT_TRUE(one.eventually_receives("through the crowd"));
  EXPECT_EQ(one.metrics().connections_lost, 0u);
  two.send(one, "healthy");
  EXPECT_TRUE(one.eventually_receives("healthy"));
  EXPECT_LE(one.log().size(), 10u);  // not a line each
  // Who never says hello is asked to leave.
  EXPECT_TRUE(eventually(
      [&] { return one.ask([](TcpNetwork& network) { return network.unknown_connections(); }) == 0; }));
  EXPECT_GT(one.metrics().bad(BadInput::too_slow), 0u);
}

TEST_F(BadPeerTest, ASecondConnectionOfAPeerReplacesTheFirst) {
  RawSocket first = admitted();
  RawSocket second = admitted();
  EXPECT_TRUE(first.closed_by_the_other_side());
  second.send(encode_frame(FrameKind::message, "the new one"));
  EXPECT_TRUE(one.eventually_receives("the new one"));
}

TEST_F(BadPeerTest, AHelloInSingleBytesIsStillAHello) {
  RawSocket raw = RawSocket::connect(one.port());
  for (const char byte : hello_frame(hello_between(3, 1))) raw.send({&byte, 1});
  EXPECT_FALSE(raw.receive(welcome_frame_bytes()).empty());
}

}  // namespace
}  // namespace lockstep::platform
