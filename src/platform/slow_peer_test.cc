// Peers that are too slow, and a process that has no descriptors left.
// inputs.
#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "platform/network_test_support.h"

namespace lockstep::platform {
namespace {

NetworkOptions with_stall_interval(Duration interval) {
  NetworkOptions options;
  options.stall_interval = interval;
  return options;
}
NetworkOptions with_hello_deadline(Duration deadline) {
  NetworkOptions options;
  options.hello_deadline = deadline;
  return options;
}

RawSocket admitted(Member& member) {
  RawSocket raw = RawSocket::connect(member.port());
  raw.send(hello_frame(hello_between(3, member.id().value())));
  EXPECT_FALSE(raw.receive(welcome_frame_bytes()).empty());
  return raw;
}

TEST(SlowPeer, ADribbledFrameEndsTheConnection) {
  StrandThread strand;
  RawListener nobody;
  Member one(strand, 1, 0, with_stall_interval(20ms));
  one.knows(NodeId(3), nobody.port());
  RawSocket raw = admitted(one);
  // A byte now and then keeps the socket alive, not the frame.
  const std::string frame = encode_frame(FrameKind::message, std::string(100'000, 'x'));
  std::size_t sent = 0;
  EXPECT_TRUE(eventually([&] {
    raw.send(frame.substr(std::min(sent++, frame.size() - 2), 1));
    return one.metrics().bad(BadInput::too_slow) == 1;
  }));
  EXPECT_LT(sent, frame.size()) << "it was never whole";
  EXPECT_TRUE(raw.closed_by_the_other_side());
  EXPECT_TRUE(one.received().empty());
}

TEST(SlowPeer, APeerWithNothingToSayStays) {
  StrandThread strand;
  RawListener nobody;
  Member one(strand, 1, 0, with_stall_interval(5ms));
  one.knows(NodeId(3), nobody.port());
  RawSocket raw = admitted(one);
  const auto looks = [&] { return strand.on([&] { return strand.executor.metrics().timers_fired; }); };
  const std::uint64_t before = looks();
  ASSERT_TRUE(eventually([&] { return looks() >= before + 10; }));
  raw.send(encode_frame(FrameKind::message, "still here"));
  EXPECT_TRUE(one.eventually_receives("still here"));
  EXPECT_EQ(one.metrics().bad(BadInput::too_slow), 0u);
}

TEST(SlowPeer, WhoDoesNotSayHelloIsNotAPeer) {
  StrandThread strand;
  Member one(strand, 1, 0, with_hello_deadline(20ms));
  RawSocket silent = RawSocket::connect(one.port());
  EXPECT_TRUE(silent.closed_by_the_other_side());
  EXPECT_EQ(one.metrics().bad(BadInput::too_slow), 1u);
  EXPECT_EQ(one.ask([](TcpNetwork& network) { return network.unknown_connections(); }), 0u);
}

// No file can be opened and no connection accepted while this lives.
class NoDescriptorsLeft {
 public:
  NoDescriptorsLeft() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const int lowest_free = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
    EXPECT_GE(lowest_free, 0);
    ::close(lowest_free);
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(lowest_free);
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoDescriptorsLeft() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }

 private:
  rlimit before_{};
};

TEST(Descriptors, WithoutAnyLeftAcceptingPausesAndGoesOnLater) {
  StrandThread strand;
  RawListener nobody;
  Member one(strand, 1);
  Member two(strand, 2);
  one.knows(two);
  two.knows(one);
  one.knows(NodeId(3), nobody.port());
  ASSERT_TRUE(all_connected({&one, &two}));
  RawSocket waiting(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto handlers = [&] { return strand.on([&] { return strand.executor.metrics().io_handlers; }); };
  const auto is_served = [&](std::string_view message) {
    two.send(one, message);
    return one.eventually_receives(message);
  };
  // All that runs below has run before: UBSan opens a pipe to look at an object of a type that it has not
  // seen.
  ASSERT_TRUE(is_served("before"));
  std::uint64_t before = handlers();
  std::uint64_t after = 0;
  {
    NoDescriptorsLeft none;
    // The kernel completes the connection; nobody can take it.
    waiting.connect_to(one.port());
    const auto begin = std::chrono::steady_clock::now();
    before = handlers();
    ASSERT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > begin + 300ms; }));
    after = handlers();
    EXPECT_TRUE(is_served("healthy")) << "who is connected is served";
  }
  EXPECT_GT(after, before) << "it was refused, and tried again";
  EXPECT_LT(after, before + 100) << "but not all the time";
  waiting.send(hello_frame(hello_between(3, 1)));
  EXPECT_FALSE(waiting.receive(welcome_frame_bytes()).empty()) << "accepted once there is a descriptor";
}

}  // namespace
}  // namespace lockstep::platform
