#include "platform/network.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "platform/network_test_support.h"
#include "platform/platform.h"
#include "platform/send_queue.h"

namespace lockstep::platform {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

struct NetworkTest : testing::Test {
  StrandThread strand;
};

TEST_F(NetworkTest, ThreeMembersTalkToEachOther) {
  Member one(strand, 1);
  Member two(strand, 2);
  Member three(strand, 3);
  for (Member* a : {&one, &two, &three}) {
    for (Member* b : {&one, &two, &three}) {
      if (a != b) a->knows(*b);
    }
  }
  ASSERT_TRUE(all_connected({&one, &two, &three}));
  one.send(two, "1 to 2");
  one.send(three, "1 to 3");
  three.send(one, "3 to 1");
  EXPECT_TRUE(two.eventually_receives("1 to 2"));
  EXPECT_TRUE(three.eventually_receives("1 to 3"));
  EXPECT_TRUE(one.eventually_receives("3 to 1"));
  EXPECT_EQ(one.ask([](TcpNetwork& network) { return network.incarnation_of(NodeId(2)); }),
            IncarnationId(1002));
}

TEST_F(NetworkTest, MessagesSentWhileTheFirstConnectionIsMadeArrive) {
  Member one(strand, 1);
  Member two(strand, 2);
  two.knows(one);
  one.knows(two);
  one.send(two, "early");
  EXPECT_TRUE(two.eventually_receives("early"));
}

TEST_F(NetworkTest, MessagesOfAPairKeepTheirOrderAndPiecesAreJoined) {
  StrandThread other;  // the receiver on a thread of its own
  Member one(strand, 1);
  Member two(other, 2);
  one.knows(two);
  two.knows(one);
  ASSERT_TRUE(all_connected({&one, &two}));
  constexpr int count = 3000;
  std::vector<std::string> expected;
  for (int number = 0; number < count; ++number) expected.push_back("message " + std::to_string(number));
  one.ask([&](TcpNetwork& network) {
    for (const std::string& message : expected)
      network.send(NodeId(2), {SharedBytes(message.substr(0, 7)), SharedBytes(message.substr(7))});
    return 0;
  });
  EXPECT_TRUE(eventually([&] { return two.received().size() >= count; }));
  EXPECT_EQ(two.received(), expected);
  const NetworkMetrics sent = one.metrics();
  EXPECT_EQ(sent.messages_sent, static_cast<std::uint64_t>(count));
  EXPECT_LT(sent.writes, 50u);  // one turn's messages share their writes
}

TEST_F(NetworkTest, TheLargestMessageArrivesBetweenSmallOnes) {
  StrandThread other;
  Member one(strand, 1);
  Member two(other, 2);
  one.knows(two);
  two.knows(one);
  ASSERT_TRUE(all_connected({&one, &two}));
  std::string large(limits::frame_bytes_max, 'x');
  for (std::size_t index = 0; index < large.size(); index += 997) large[index] = static_cast<char>(index);
  one.send(two, "before");
  one.send(two, large);
  one.send(two, "after");
  EXPECT_TRUE(two.eventually_receives("after"));
  EXPECT_EQ(two.received(), (std::vector<std::string>{"before", large, "after"}));
}

TEST_F(NetworkTest, ARestartedPeerIsConnectedAgainAndItsLossReportedOnce) {
  Member one(strand, 1);
  auto two = std::make_unique<Member>(strand, 2);
  const std::uint16_t port = two->port();
  one.knows(*two);
  two->knows(one);
  ASSERT_TRUE(all_connected({&one, two.get()}));
  const std::size_t lost_before = one.lost().size();  // two may have refused one before it knew it
  const std::uint64_t failed_before = one.metrics().connects_failed;
  two.reset();
  EXPECT_TRUE(
      eventually([&] { return one.metrics().connects_failed >= failed_before + 3; }));  // keeps trying
  EXPECT_EQ(one.lost().size(), lost_before + 1);
  EXPECT_EQ(one.lost().back(), NodeId(2));
  two = std::make_unique<Member>(strand, 2, port);
  two->knows(one);
  ASSERT_TRUE(all_connected({&one, two.get()}));
  one.send(*two, "again");
  EXPECT_TRUE(two->eventually_receives("again"));
}

TEST_F(NetworkTest, ARefusedConnectionIsReportedAsALostPeer) {
  Member one(strand, 1);
  std::uint16_t free_port = 0;
  {
    free_port = RawListener().port();
  }
  one.knows(NodeId(2), free_port);
  EXPECT_TRUE(eventually([&] { return !one.lost().empty(); }));
  EXPECT_THAT(one.lost(), ElementsAre(NodeId(2)));
  EXPECT_TRUE(eventually([&] { return !one.log().empty(); }));
  EXPECT_THAT(one.log().front(), HasSubstr("no connection to member 2"));
}

TEST_F(NetworkTest, WhoeverSpokeAfterItsLossWasReportedIsReportedAgain) {
  Member one(strand, 1);
  RawListener listener;
  one.knows(NodeId(2), listener.port());
  RawSocket speaks = RawSocket::connect(one.port());
  speaks.send(hello_frame(hello_between(2, 1)));
  RawSocket listens = listener.accept();
  EXPECT_FALSE(speaks.receive(welcome_frame_bytes()).empty());
  listens.close();
  EXPECT_TRUE(eventually([&] { return !one.lost().empty(); }));
  speaks.send(encode_frame(FrameKind::message, "last words"));
  EXPECT_TRUE(one.eventually_receives("last words"));
  const std::size_t lost_before = one.lost().size();
  speaks.close();
  EXPECT_TRUE(eventually([&] { return one.lost().size() > lost_before; }));
}

TEST_F(NetworkTest, APeerMovesToANewAddress) {
  Member one(strand, 1);
  auto two = std::make_unique<Member>(strand, 2);
  one.knows(*two);
  two->knows(one);
  ASSERT_TRUE(all_connected({&one, two.get()}));
  two.reset();
  Member moved(strand, 2);
  moved.knows(one);
  one.knows(moved);
  ASSERT_TRUE(all_connected({&one, &moved}));
  one.send(moved, "found you");
  EXPECT_TRUE(moved.eventually_receives("found you"));
}

TEST_F(NetworkTest, ARemovedPeerIsNeitherSentToNorListenedTo) {
  Member one(strand, 1);
  Member two(strand, 2);
  one.knows(two);
  two.knows(one);
  ASSERT_TRUE(all_connected({&one, &two}));
  one.forgets(two);
  one.send(two, "nobody there");
  EXPECT_EQ(one.metrics().dropped_unknown_peer, 1u);
  // It tries to come back and is refused each time.
  EXPECT_TRUE(eventually([&] { return one.metrics().bad(BadInput::unknown_peer) > 0; }));
  two.send(one, "let me in");
  one.knows(two);  // and when it is made known again, it is let in
  ASSERT_TRUE(all_connected({&one, &two}));
  two.send(one, "thank you");
  EXPECT_TRUE(one.eventually_receives("thank you"));
  EXPECT_THAT(one.received(), testing::Not(Contains("let me in")));
}

TEST_F(NetworkTest, AddressesAreHostAndPort) {
  Member one(strand, 1);
  for (const std::string& address :
       {std::string(""), std::string("localhost"), std::string("127.0.0.1:"), std::string(":1"),
        std::string("127.0.0.1:x"), std::string("127.0.0.1:70000"), std::string("::1:80"),
        std::string("[]:80")}) {
    SCOPED_TRACE(address);
    strand.on([&] {
      TcpNetwork network(strand.executor, *std::make_unique<RealRandom>(), [] {
        NetworkOptions options;
        options.self = NodeId(9);
        return options;
      }());
      EXPECT_EQ(network.listen(address).status().code(), Code::invalid_argument);
    });
  }
  Member two(strand, 2);
  two.knows(one);
  one.ask([&](TcpNetwork& network) {
    network.set_peer(NodeId(2), "not an address");
    network.set_peer(NodeId(2), "localhost:" + std::to_string(two.port()));  // by name
    return 0;
  });
  EXPECT_TRUE(all_connected({&one, &two}));
}

TEST_F(NetworkTest, AListeningAddressInUseIsRefused) {
  Member one(strand, 1);
  strand.on([&] {
    RealRandom random;
    NetworkOptions options;
    options.self = NodeId(2);
    TcpNetwork second(strand.executor, random, options);
    const Status status = second.listen("127.0.0.1:" + std::to_string(one.port())).status();
    EXPECT_EQ(status.code(), Code::io_error);
    EXPECT_THAT(std::string(status.message()), HasSubstr("in use"));
  });
}

// The peer admits us and then never reads: what we hold for it stays bounded, others are served.
TEST_F(NetworkTest, APeerThatDoesNotReadCostsBoundedMemory) {
  Member one(strand, 1);
  Member two(strand, 2);
  RawListener silent;
  one.knows(two);
  two.knows(one);
  one.knows(NodeId(3), silent.port());
  RawSocket accepted = silent.accept();
  ASSERT_FALSE(accepted.receive(hello_frame(hello_between(1, 3)).size()).empty());
  accepted.send(encode_frame(FrameKind::welcome, encode_hello(hello_between(3, 1))));
  ASSERT_TRUE(eventually([&] { return one.metrics().connections_made >= 2; }));
  const SharedBytes message(std::string(100'000, 'x'));
  std::size_t queued_max = 0;
  for (int number = 0; number < 1000; ++number) {
    queued_max = std::max(queued_max, one.ask([&](TcpNetwork& network) {
      network.send(NodeId(3), {message});
      return network.queued_bytes(NodeId(3));
    }));
  }
  EXPECT_LE(queued_max, send_queue_bytes_max);
  EXPECT_GT(one.metrics().dropped_queue_full, 0u);
  one.send(two, "you are fine");
  EXPECT_TRUE(two.eventually_receives("you are fine"));
  accepted.close();
  EXPECT_TRUE(eventually([&] { return std::ranges::count(one.lost(), NodeId(3)) == 1; }));
  EXPECT_EQ(one.ask([](TcpNetwork& network) { return network.queued_bytes(NodeId(3)); }), 0u);
}

TEST_F(NetworkTest, AWelcomeFromTheWrongPeerIsNotBelieved) {
  Hello other_cluster = hello_between(3, 1);
  other_cluster.cluster = ClusterId(666);
  struct Case {
    FrameKind kind;
    Hello answer;
    BadInput expected;
  };
  for (const Case& one_case : {Case{FrameKind::welcome, other_cluster, BadInput::wrong_cluster},
                               Case{FrameKind::welcome, hello_between(4, 1), BadInput::misaddressed},
                               Case{FrameKind::welcome, hello_between(3, 2), BadInput::misaddressed},
                               Case{FrameKind::welcome, hello_between(1, 1), BadInput::own_id},
                               Case{FrameKind::message, hello_between(3, 1), BadInput::unexpected_kind}}) {
    SCOPED_TRACE(to_string(one_case.expected));
    RawListener impostor;
    Member one(strand, 1);
    one.knows(NodeId(3), impostor.port());
    RawSocket accepted = impostor.accept();
    ASSERT_FALSE(accepted.receive(hello_frame(hello_between(1, 3)).size()).empty());
    accepted.send(encode_frame(one_case.kind, encode_hello(one_case.answer)));
    EXPECT_TRUE(accepted.closed_by_the_other_side());
    EXPECT_EQ(one.metrics().bad(one_case.expected), 1u);
    EXPECT_EQ(one.metrics().connections_made, 0u);
  }
}

TEST_F(NetworkTest, AnAcceptingSideThatTalksAfterItsWelcomeIsDropped) {
  RawListener talkative;
  Member one(strand, 1);
  one.knows(NodeId(3), talkative.port());
  RawSocket accepted = talkative.accept();
  ASSERT_FALSE(accepted.receive(hello_frame(hello_between(1, 3)).size()).empty());
  accepted.send(encode_frame(FrameKind::welcome, encode_hello(hello_between(3, 1))));
  accepted.send(encode_frame(FrameKind::message, "unasked"));
  EXPECT_TRUE(accepted.closed_by_the_other_side());
  EXPECT_EQ(one.metrics().bad(BadInput::unexpected_kind), 1u);
  EXPECT_TRUE(one.received().empty());
}

TEST(Platform, TwoMembersWithEverythingOfTheirOwn) {
  TemporaryDirectory directory;
  const auto open = [&](std::uint64_t id) {
    PlatformOptions options;
    options.data_directory = directory.path() + "/" + std::to_string(id);
    options.listen_address = "127.0.0.1:0";
    options.cluster = test_cluster;
    options.node = NodeId(id);
    options.log = [](std::string_view) {};
    return *Platform::open(options);
  };
  // Answers what member 1 says; member 1 keeps the first answer.
  struct Echo : env::Receiver {
    env::Network& network;
    std::promise<std::string> got;
    bool answered = false;
    explicit Echo(env::Network& to) : network(to) {}
    void on_message(NodeId from, SharedBytes message) override {
      if (from == NodeId(1)) return network.send(from, {SharedBytes("echo of "), message});
      if (!std::exchange(answered, true)) got.set_value(std::string(message.view()));
    }
    void on_peer_lost(NodeId) override {}
  };
  const auto one = open(1);
  const auto two = open(2);
  Echo echo_one(one->environment().network);
  Echo echo_two(two->environment().network);
  one->network().set_receiver(&echo_one);
  two->network().set_receiver(&echo_two);
  one->network().set_peer(NodeId(2), "127.0.0.1:" + std::to_string(two->peer_port()));
  two->network().set_peer(NodeId(1), "127.0.0.1:" + std::to_string(one->peer_port()));
  // An answer may find no connection back yet and be dropped: member 1 asks every 10 ms until one comes.
  std::function<void()> ask = [&] {
    if (echo_one.answered) return;
    one->environment().network.send(NodeId(2), {SharedBytes("hello")});
    one->environment().executor.schedule(one->environment().clock.now() + 10ms, [&] { ask(); });
  };
  one->executor().post([&] { ask(); });
  std::thread one_strand([&] { one->run(); });
  std::thread two_strand([&] { two->run(); });
  EXPECT_EQ(echo_one.got.get_future().get(), "echo of hello");
  one->stop();
  two->stop();
  one_strand.join();
  two_strand.join();
}

}  // namespace
}  // namespace lockstep::platform
