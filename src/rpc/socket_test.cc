// Client and server on real sockets, each on a thread of its own: plain and with TLS.
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "platform/tcp_streams.h"
#include "platform/test_support.h"
#include "platform/testing_certificates.h"
#include "platform/tls_streams.h"
#include "rpc/channel.h"
#include "rpc/server.h"

namespace lockstep::rpc {
namespace {

using platform::StrandThread;
using platform::TcpStreams;
using platform::TlsOptions;
using platform::TlsStreams;

// Serves echo on its own strand.
class EchoServer {
 public:
  using MakeStreams = std::function<std::unique_ptr<env::Streams>(StrandThread& strand)>;
  explicit EchoServer(const MakeStreams& make_streams) {
    strand_.on([&] {
      streams_ = make_streams(strand_);
      server_ = std::make_unique<Server>(strand_.executor, strand_.clock);
      server_->unary("/test.Echo/Say", [](const ServerCallPtr& call, std::string_view request) {
        call->respond(std::string(call->peer_common_name()) + ":" + std::string(request));
      });
      server_->unary("/test.Echo/Never",
                     [this](const ServerCallPtr& call, std::string_view) { kept_.push_back(call); });
      auto listening = streams_->listen(
          "127.0.0.1:0", [this](std::unique_ptr<env::Stream> stream) { server_->accept(std::move(stream)); });
      EXPECT_TRUE(listening.ok()) << listening.status().to_string();
      listener_ = *std::move(listening);
    });
  }
  ~EchoServer() {
    strand_.on([&] {
      listener_.reset();
      server_.reset();
      kept_.clear();
    });
    strand_.on([] {});
  }
  [[nodiscard]] std::string address() {
    return "127.0.0.1:" + std::to_string(strand_.on([&] { return listener_->port(); }));
  }
  ServerMetrics metrics() {
    return strand_.on([&] { return server_->metrics(); });
  }
  void drain() {
    std::promise<void> drained;
    strand_.on([&] { server_->drain(strand_.clock.now() + 60s, [&] { drained.set_value(); }); });
    drained.get_future().wait();
  }

 private:
  StrandThread strand_;
  std::unique_ptr<env::Streams> streams_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<env::Listener> listener_;
  std::vector<ServerCallPtr> kept_;
};

class Client {
 public:
  Client(const EchoServer::MakeStreams& make_streams, const std::string& address) {
    strand_.on([&] {
      streams_ = make_streams(strand_);
      channel_ =
          std::make_unique<Channel>(strand_.executor, strand_.clock, *streams_, address, ChannelOptions{});
    });
  }
  ~Client() {
    strand_.on([&] { channel_.reset(); });
    strand_.on([] {});
  }
  // The answers of so many calls at once, each after the one before it in its lane.
  std::vector<std::string> ask(int lanes, int rounds, const std::string& message) {
    lanes_ = lanes;
    answers_.clear();
    done_ = std::promise<void>();
    strand_.on([&] {
      for (int i = 0; i < lanes; ++i) ask_again(rounds, message);
    });
    done_.get_future().wait();
    return strand_.on([&] { return answers_; });
  }
  CallResult ask_once(std::string_view path, Duration timeout) {
    std::promise<CallResult> promise;
    strand_.on([&] {
      channel_->unary(path, "", {}, strand_.clock.now() + timeout, [&](const CallResult& result) {
        CallResult copy = result;
        copy.message = {};
        promise.set_value(copy);
      });
    });
    return promise.get_future().get();
  }

 private:
  void ask_again(int rounds, const std::string& message) {
    channel_->unary(
        "/test.Echo/Say", message, {}, no_deadline, [this, rounds, message](const CallResult& result) {
          answers_.push_back(result.status.ok() ? std::string(result.message) : result.status.message);
          if (rounds > 1) return ask_again(rounds - 1, message);
          if (--lanes_ == 0) done_.set_value();
        });
  }
  StrandThread strand_;
  std::unique_ptr<env::Streams> streams_;
  std::unique_ptr<Channel> channel_;
  std::vector<std::string> answers_;
  int lanes_ = 0;
  std::promise<void> done_;
};

std::unique_ptr<env::Streams> plain(StrandThread& strand) {
  return std::make_unique<TcpStreams>(strand.executor);
}

void expect_all(const std::vector<std::string>& answers, std::size_t count, const std::string& expected) {
  EXPECT_EQ(answers.size(), count);
  for (const std::string& answer : answers) EXPECT_EQ(answer, expected);
}

TEST(SocketTest, ManyCallsOverPlainTcp) {
  EchoServer server(plain);
  Client client(plain, server.address());
  expect_all(client.ask(50, 40, "hello"), 2000, ":hello");
  const std::string large(1'000'000, 'x');
  expect_all(client.ask(3, 2, large), 6, ":" + large);
  EXPECT_EQ(server.metrics().calls_open, 0);
}

TEST(SocketTest, ManyCallsOverTlsWithCertificatesOnBothSides) {
  platform::TemporaryDirectory directory;
  platform::TestAuthority authority(directory.path(), "authority");
  const auto streams = [&](const std::string& name, const std::string& usage) {
    const platform::CertificateFiles files = authority.issue(name, {.usage = usage});
    return [&authority, files](StrandThread& strand) -> std::unique_ptr<env::Streams> {
      TlsOptions options;
      options.certificate_file = files.certificate;
      options.key_file = files.key;
      options.ca_file = authority.file();
      auto made = TlsStreams::create(strand.executor, strand.clock,
                                     std::make_shared<TcpStreams>(strand.executor), options);
      EXPECT_TRUE(made.ok()) << made.status().to_string();
      return *std::move(made);
    };
  };
  EchoServer server(streams("server", "serverAuth"));
  Client client(streams("alice", "clientAuth"), server.address());
  expect_all(client.ask(50, 40, "hello"), 2000, "alice:hello");
  const std::string large(1'000'000, 'x');
  expect_all(client.ask(3, 2, large), 6, "alice:" + large);
}

TEST(SocketTest, ADeadlineEndsACallThatNobodyAnswers) {
  EchoServer server(plain);
  Client client(plain, server.address());
  const CallResult result = client.ask_once("/test.Echo/Never", 50ms);
  EXPECT_EQ(result.status.code, GrpcCode::deadline_exceeded);
  expect_all(client.ask(1, 1, "still here"), 1, ":still here");
}

TEST(SocketTest, DrainEndsWithTheConnections) {
  EchoServer server(plain);
  Client client(plain, server.address());
  expect_all(client.ask(1, 1, "x"), 1, ":x");
  server.drain();
  EXPECT_EQ(server.metrics().connections_open, 0);
  const CallResult result = client.ask_once("/test.Echo/Say", 10s);
  EXPECT_EQ(result.status.code, GrpcCode::unavailable);
  EXPECT_TRUE(result.not_processed);
}

TEST(SocketTest, ACallToNobodyWasNotProcessed) {
  std::string address;
  {
    EchoServer server(plain);
    address = server.address();
  }
  Client client(plain, address);
  const CallResult result = client.ask_once("/test.Echo/Say", 10s);
  EXPECT_EQ(result.status.code, GrpcCode::unavailable);
  EXPECT_TRUE(result.not_processed);
}

}  // namespace
}  // namespace lockstep::rpc
