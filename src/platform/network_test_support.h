// Members on loopback, and raw sockets to misbehave with.
#pragma once

#include <memory>
#include <poll.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "platform/frame.h"
#include "platform/network.h"
#include "platform/test_support.h"

namespace lockstep::platform {

inline constexpr ClusterId test_cluster{77};

// One member's network with a receiver that remembers. Lives on the strand of a StrandThread, which several
// members may share; every call here comes from the test's thread.
class Member : public env::Receiver {
 public:
  Member(StrandThread& strand, std::uint64_t id, std::uint16_t port = 0, NetworkOptions options = {})
      : strand_(strand), id_(id), port_(port) {
    strand_.on([&] {
      options.cluster = test_cluster;
      options.self = NodeId(id_);
      options.incarnation = IncarnationId(1000 + id_);
      options.log = [this](std::string_view line) { log_.emplace_back(line); };
      network_ = std::make_unique<TcpNetwork>(strand_.executor, random_, options);
      network_->set_receiver(this);
      const auto listening = network_->listen("127.0.0.1:" + std::to_string(port_));
      EXPECT_TRUE(listening.ok()) << listening.status().to_string();
      port_ = *listening;
    });
  }
  ~Member() override {
    strand_.on([&] { network_.reset(); });
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] NodeId id() const { return NodeId(id_); }
  void knows(const Member& other) { knows(other.id(), other.port()); }
  void knows(NodeId peer, std::uint16_t peer_port) {
    strand_.on([&] { network_->set_peer(peer, "127.0.0.1:" + std::to_string(peer_port)); });
  }
  void forgets(const Member& other) {
    strand_.on([&] { network_->remove_peer(other.id()); });
  }
  void send(const Member& to, std::string_view message) {
    strand_.on([&] { network_->send(to.id(), {SharedBytes(std::string(message))}); });
  }
  template <class Ask>
  auto ask(Ask question) {
    return strand_.on([&] { return question(*network_); });
  }
  [[nodiscard]] bool connected(const Member& to) {
    return ask([&](TcpNetwork& network) { return network.connected(to.id()); });
  }
  [[nodiscard]] NetworkMetrics metrics() {
    return ask([](TcpNetwork& network) { return network.metrics(); });
  }
  std::vector<std::string> received() {
    return strand_.on([&] { return received_; });
  }
  std::vector<NodeId> lost() {
    return strand_.on([&] { return lost_; });
  }
  std::vector<std::string> log() {
    return strand_.on([&] { return log_; });
  }
  bool eventually_receives(std::string_view message) {
    return eventually(
        [&] { return strand_.on([&] { return std::ranges::find(received_, message) != received_.end(); }); });
  }

  void on_message(NodeId from, SharedBytes message) override {
    EXPECT_TRUE(strand_.executor.on_strand());
    last_from_ = from;
    received_.emplace_back(message.view());
  }
  void on_peer_lost(NodeId peer) override { lost_.push_back(peer); }

 private:
  StrandThread& strand_;
  std::uint64_t id_;
  std::uint16_t port_;
  RealRandom random_;
  std::unique_ptr<TcpNetwork> network_;
  std::vector<std::string> received_;
  std::vector<NodeId> lost_;
  std::vector<std::string> log_;
  NodeId last_from_;
};

// Until both directions of every pair are up.
inline bool all_connected(const std::vector<Member*>& members) {
  return eventually([&] {
    for (Member* a : members) {
      for (Member* b : members) {
        if (a != b && !a->connected(*b)) return false;
      }
    }
    return true;
  });
}

// A blocking socket of the test's own.
class RawSocket {
 public:
  explicit RawSocket(int descriptor) : descriptor_(descriptor) {}
  RawSocket(RawSocket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  ~RawSocket() { close(); }
  static RawSocket connect(std::uint16_t port) {
    RawSocket raw(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    raw.connect_to(port);
    return raw;
  }
  void connect_to(std::uint16_t port) {
    const sockaddr_in address = loopback(port);
    EXPECT_EQ(::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  // A write to a connection that the other side closed is not this test's error.
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  // Empty: the other side closed (or reset), or patience ran out.
  std::string receive(std::size_t bytes) {
    std::string all;
    while (all.size() < bytes) {
      pollfd wait{descriptor_, POLLIN, 0};
      if (::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) != 1) return {};
      char buffer[4096];
      const ssize_t got = ::recv(descriptor_, buffer, std::min(sizeof buffer, bytes - all.size()), 0);
      if (got <= 0) return {};
      all.append(buffer, static_cast<std::size_t>(got));
    }
    return all;
  }
  bool closed_by_the_other_side() {
    pollfd wait{descriptor_, POLLIN, 0};
    if (::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) != 1) return false;
    char byte = 0;
    return ::recv(descriptor_, &byte, 1, 0) <= 0;
  }
  void end_of_data() { ::shutdown(descriptor_, SHUT_WR); }
  void close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

class RawListener {
 public:
  RawListener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = RawSocket::loopback(0);
    socklen_t length = sizeof address;
    EXPECT_EQ(::bind(socket_.descriptor(), reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(::listen(socket_.descriptor(), 16), 0);
    EXPECT_EQ(::getsockname(socket_.descriptor(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    port_ = ntohs(address.sin_port);
  }
  RawSocket accept() { return RawSocket(::accept4(socket_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC)); }
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  RawSocket socket_;
  std::uint16_t port_ = 0;
};

inline Hello hello_between(std::uint64_t from, std::uint64_t to) {
  Hello hello;
  hello.cluster = test_cluster;
  hello.from = NodeId(from);
  hello.to = NodeId(to);
  return hello;
}
inline std::string hello_frame(const Hello& hello) {
  return encode_frame(FrameKind::hello, encode_hello(hello));
}
inline std::size_t welcome_frame_bytes() {
  return encode_frame(FrameKind::welcome, encode_hello(Hello())).size();
}

}  // namespace lockstep::platform
