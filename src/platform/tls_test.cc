// TLS over real sockets: what passes, what is refused (rows P1 to P8 of the table of bad inputs, and H54),
// and that a healthy client is served meanwhile.
#include <fstream>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "platform/network_test_support.h"
#include "platform/tcp_streams.h"
#include "platform/testing_certificates.h"
#include "platform/tls_streams.h"

namespace lockstep::platform {
namespace {

using testing::HasSubstr;

// Answers every byte with itself, on any kind of stream. Lives on the strand.
class Echo : public std::enable_shared_from_this<Echo> {
 public:
  explicit Echo(std::unique_ptr<env::Stream> stream) : stream_(std::move(stream)), buffer_(100'000) {}
  void start() {
    stream_->async_read_some(buffer_, [self = shared_from_this()](std::error_code error, std::size_t bytes) {
      if (error) return self->stream_->close();
      self->rest_ = {self->buffer_.data(), bytes};
      self->write();
    });
  }

  void close() { stream_->close(); }

 private:
  void write() {
    stream_->async_write_some({&rest_, 1},
                              [self = shared_from_this()](std::error_code error, std::size_t bytes) {
                                if (error) return self->stream_->close();
                                self->rest_.remove_prefix(bytes);
                                self->rest_.empty() ? self->start() : self->write();
                              });
  }
  std::unique_ptr<env::Stream> stream_;
  std::vector<char> buffer_;
  std::string_view rest_;
};

// Sends and collects. Lives on the strand.
class Talker : public std::enable_shared_from_this<Talker> {
 public:
  Talker(std::unique_ptr<env::Stream> stream, std::string to_send)
      : stream_(std::move(stream)), to_send_(std::move(to_send)), rest_(to_send_), buffer_(10'000) {}
  void start() {
    write();
    read();
  }
  void close() { stream_->close(); }
  [[nodiscard]] const std::string& received() const { return received_; }
  [[nodiscard]] bool lost() const { return lost_; }
  void send(std::string bytes) {
    to_send_ = std::move(bytes);
    rest_ = to_send_;
    received_.clear();
    write();
  }

 private:
  void write() {
    stream_->async_write_some({&rest_, 1},
                              [self = shared_from_this()](std::error_code error, std::size_t bytes) {
                                if (error) return;
                                self->rest_.remove_prefix(bytes);
                                if (!self->rest_.empty()) self->write();
                              });
  }
  void read() {
    stream_->async_read_some(buffer_, [self = shared_from_this()](std::error_code error, std::size_t bytes) {
      if (error) {
        self->lost_ = true;
        return self->stream_->close();
      }
      self->received_.append(self->buffer_.data(), bytes);
      self->read();
    });
  }
  std::unique_ptr<env::Stream> stream_;
  std::string to_send_;
  std::string_view rest_;
  std::vector<char> buffer_;
  std::string received_;
  bool lost_ = false;
};

class TlsTest : public testing::Test {
 protected:
  ~TlsTest() override {
    strand.on([&] {
      listener.reset();
      server.reset();
      clients.clear();
      connecting.clear();
      for (const auto& echo : echoes) echo->close();
      for (const auto& talker : talkers) talker->close();
    });
    strand.on([] {});  // what was cancelled is told so
  }
  TlsOptions server_options() {
    TlsOptions options;
    options.certificate_file = server_files.certificate;
    options.key_file = server_files.key;
    return options;
  }
  TlsOptions trusting() {
    TlsOptions options;
    options.ca_file = authority.file();
    return options;
  }
  TlsOptions showing(const CertificateFiles& files) {
    TlsOptions options = trusting();
    options.certificate_file = files.certificate;
    options.key_file = files.key;
    return options;
  }
  std::unique_ptr<TlsStreams> make(const TlsOptions& options) {
    auto made = TlsStreams::create(strand.executor, strand.clock, tcp, options);
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    return *std::move(made);
  }
  void serve(const TlsOptions& options) {
    strand.on([&] {
      listener.reset();
      server = make(options);
      auto listening = server->listen("127.0.0.1:0", [this](std::unique_ptr<env::Stream> stream) {
        common_names.push_back(stream->peer_common_name());
        echoes.push_back(std::make_shared<Echo>(std::move(stream)));
        echoes.back()->start();
      });
      ASSERT_TRUE(listening.ok()) << listening.status().to_string();
      listener = *std::move(listening);
    });
  }
  std::uint16_t port() {
    return strand.on([&] { return listener->port(); });
  }

  // Null: refused by us. A connection that the server refused is lost when it talks.
  std::shared_ptr<Talker> connect(const TlsOptions& options, std::string say = "hello",
                                  const std::string& host = "127.0.0.1") {
    std::promise<std::shared_ptr<Talker>> promise;
    strand.on([&] {
      clients.push_back(make(options));
      connecting.push_back(clients.back()->connect(
          host + ":" + std::to_string(listener->port()),
          [this, &promise, say = std::move(say)](std::error_code error, std::unique_ptr<env::Stream> stream) {
            if (error) return promise.set_value(nullptr);
            auto talker = std::make_shared<Talker>(std::move(stream), say);
            talker->start();
            talkers.push_back(talker);
            promise.set_value(talker);
          }));
    });
    return promise.get_future().get();
  }
  bool echoed(const std::shared_ptr<Talker>& talker, const std::string& said) {
    return talker != nullptr && eventually([&] {
             return strand.on([&] { return talker->lost() || talker->received().size() >= said.size(); });
           }) &&
           strand.on([&] { return talker->received() == said; });
  }
  bool refused(const std::shared_ptr<Talker>& talker) {
    if (talker == nullptr) return true;
    return eventually([&] { return strand.on([&] { return talker->lost(); }); }) &&
           strand.on([&] { return talker->received().empty(); });
  }
  void expect_failed(const std::string& reason) {
    EXPECT_TRUE(eventually([&] {
      const TlsMetrics metrics = strand.on([&] { return server->metrics(); });
      return std::ranges::any_of(metrics.failed, [&](const auto& one) { return one.first.contains(reason); });
    })) << reason;
    EXPECT_EQ(strand.on([&] { return server->metrics().failed.size(); }), 1u)
        << testing::PrintToString(strand.on([&] { return server->metrics().failed; }));
  }

  TemporaryDirectory directory;
  TestAuthority authority{directory.path(), "authority"};
  TestAuthority foreign{directory.path(), "foreign"};
  CertificateFiles server_files = authority.issue("server", {});
  CertificateFiles client_files = authority.issue("alice", {.names = "", .usage = "clientAuth"});
  StrandThread strand;
  std::shared_ptr<TcpStreams> tcp = std::make_shared<TcpStreams>(strand.executor);
  std::unique_ptr<TlsStreams> server;
  std::unique_ptr<env::Listener> listener;
  std::vector<std::unique_ptr<TlsStreams>> clients;
  std::vector<std::unique_ptr<env::Connecting>> connecting;
  std::vector<std::string> common_names;
  std::vector<std::shared_ptr<Echo>> echoes;
  std::vector<std::shared_ptr<Talker>> talkers;
};

TEST_F(TlsTest, BytesPassBothWaysWhateverTheirNumber) {
  serve(server_options());
  EXPECT_TRUE(echoed(connect(trusting()), "hello"));
  std::string large;
  for (int i = 0; i < 1'000'000; ++i) large.push_back(static_cast<char>(i * 7 / 3));
  EXPECT_TRUE(echoed(connect(trusting(), large), large));
  EXPECT_TRUE(echoed(connect(trusting(), "by name", "localhost"), "by name"));
}

TEST_F(TlsTest, AClientsCertificateNamesIt) {
  TlsOptions options = server_options();
  options.ca_file = authority.file();
  serve(options);
  EXPECT_TRUE(echoed(connect(showing(client_files)), "hello"));
  EXPECT_THAT(strand.on([&] { return common_names; }), testing::ElementsAre("alice"));
}

TEST_F(TlsTest, WhoShowsNoCertificateIsRefused) {
  TlsOptions options = server_options();
  options.ca_file = authority.file();
  serve(options);
  EXPECT_TRUE(refused(connect(trusting())));
  expect_failed("peer did not return a certificate");
  EXPECT_TRUE(echoed(connect(showing(client_files)), "hello"));
}

TEST_F(TlsTest, ACertificateOfAnotherAuthorityIsRefused) {
  TlsOptions options = server_options();
  options.ca_file = authority.file();
  serve(options);
  EXPECT_TRUE(refused(connect(showing(foreign.issue("mallory", {.names = ""})))));
  expect_failed("unable to get local issuer certificate");
  EXPECT_TRUE(echoed(connect(showing(client_files)), "hello"));
}

TEST_F(TlsTest, AnExpiredCertificateIsRefused) {
  TlsOptions options = server_options();
  options.ca_file = authority.file();
  serve(options);
  EXPECT_TRUE(
      refused(connect(showing(authority.issue("old", {.valid_from_s = -7200, .valid_until_s = -3600})))));
  expect_failed("certificate has expired");
  EXPECT_TRUE(echoed(connect(showing(client_files)), "hello"));
}

TEST_F(TlsTest, AServersCertificateIsNoClients) {
  TlsOptions options = server_options();
  options.ca_file = authority.file();
  serve(options);
  EXPECT_TRUE(refused(connect(showing(authority.issue("web", {.usage = "serverAuth"})))));
  expect_failed("unsuitable certificate purpose");
}

TEST_F(TlsTest, PlainBytesAreRefused) {
  serve(server_options());
  RawSocket raw = RawSocket::connect(port());
  raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return raw.closed_by_the_other_side(); }));
  expect_failed("http request");
  EXPECT_TRUE(echoed(connect(trusting()), "hello"));
}

TEST_F(TlsTest, GarbageIsRefused) {
  serve(server_options());
  RawSocket raw = RawSocket::connect(port());
  raw.send(std::string(100, '\x80'));
  EXPECT_TRUE(eventually([&] { return raw.closed_by_the_other_side(); }));
  EXPECT_TRUE(eventually([&] { return strand.on([&] { return !server->metrics().failed.empty(); }); }));
  EXPECT_TRUE(echoed(connect(trusting()), "hello"));
}

TEST_F(TlsTest, AnUnfinishedHandshakeTimesOut) {
  TlsOptions options = server_options();
  options.handshake_timeout = 50ms;
  serve(options);
  RawSocket raw = RawSocket::connect(port());
  raw.send("\x16\x03\x01");
  EXPECT_TRUE(raw.closed_by_the_other_side());
  EXPECT_EQ(strand.on([&] { return server->metrics().timed_out; }), 1u);
}

TEST_F(TlsTest, UnfinishedHandshakesGiveWayToNewOnes) {
  TlsOptions options = server_options();
  options.handshakes_max = 3;
  serve(options);
  std::vector<RawSocket> silent;
  for (int i = 0; i < 5; ++i) silent.push_back(RawSocket::connect(port()));
  EXPECT_TRUE(echoed(connect(trusting()), "hello"));
  EXPECT_TRUE(silent[0].closed_by_the_other_side());
  EXPECT_EQ(strand.on([&] { return server->metrics().crowded_out; }), 3u);
}

TEST_F(TlsTest, AServerMustBeWhoItIsCalled) {
  const struct {
    std::string names;
    std::string host;
    bool good;
  } cases[] = {
      {"DNS:localhost", "localhost", true},
      {"DNS:localhost", "127.0.0.1", false},
      {"IP:127.0.0.1", "127.0.0.1", true},
      {"IP:127.0.0.2", "127.0.0.1", false},
      {"DNS:localhost.example", "localhost", false},
      {"DNS:local*", "localhost", false},
      {"", "localhost", false},  // the common name alone says nothing
  };
  int number = 0;
  for (const auto& one : cases) {
    const CertificateFiles files =
        authority.issue("case" + std::to_string(number++), {.common_name = "localhost", .names = one.names});
    TlsOptions options = server_options();
    options.certificate_file = files.certificate;
    options.key_file = files.key;
    serve(options);
    EXPECT_EQ(connect(trusting(), "x", one.host) != nullptr, one.good) << one.names << " as " << one.host;
  }
}

TEST_F(TlsTest, AServerOfAnotherAuthorityIsNotBelieved) {
  serve(server_options());
  TlsOptions options = trusting();
  options.ca_file = foreign.file();
  EXPECT_EQ(connect(options), nullptr);
  options.verify_server = false;
  EXPECT_TRUE(echoed(connect(options), "hello"));
}

TEST_F(TlsTest, TheProtocolIsAgreedOn) {
  serve(server_options());
  const struct {
    std::string offered;
    std::string agreed;
  } cases[] = {{"\x02h2", "h2"},
               {"\x02h2\x08http/1.1", "http/1.1"},
               {"\x08http/1.1", "http/1.1"},
               {"\x08grpc-exp\x02h2", "h2"},
               {"", ""}};
  for (const auto& one : cases) {
    RawSocket raw = RawSocket::connect(port());
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL* connection = SSL_new(context);
    SSL_set_alpn_protos(connection, reinterpret_cast<const unsigned char*>(one.offered.data()),
                        static_cast<unsigned>(one.offered.size()));
    SSL_set_fd(connection, raw.descriptor());
    EXPECT_EQ(SSL_connect(connection), 1);
    const unsigned char* agreed = nullptr;
    unsigned agreed_size = 0;
    SSL_get0_alpn_selected(connection, &agreed, &agreed_size);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(agreed), agreed_size), one.agreed);
    SSL_free(connection);
    SSL_CTX_free(context);
  }
}

TEST_F(TlsTest, OldVersionsAreRefused) {
  serve(server_options());
  RawSocket raw = RawSocket::connect(port());
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
  SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
  SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0");
  SSL* connection = SSL_new(context);
  SSL_set_fd(connection, raw.descriptor());
  EXPECT_NE(SSL_connect(connection), 1);
  SSL_free(connection);
  SSL_CTX_free(context);
  expect_failed("unsupported protocol");
}

TEST_F(TlsTest, ReloadingChangesEverythingForNewConnections) {
  TlsOptions options = server_options();
  options.ca_file = authority.file();
  serve(options);
  const auto before = connect(showing(client_files));
  EXPECT_TRUE(echoed(before, "hello"));
  // The files now hold another authority and its certificates.
  const CertificateFiles new_server = foreign.issue("new-server", {});
  const CertificateFiles new_client = foreign.issue("new-client", {.names = "", .usage = "clientAuth"});
  const auto replace = [](const std::string& file, const std::string& with) {
    std::filesystem::copy_file(with, file, std::filesystem::copy_options::overwrite_existing);
  };
  std::ofstream(server_files.key) << "damaged";
  EXPECT_EQ(strand.on([&] { return server->reload(); }).code(), Code::invalid_argument);
  EXPECT_TRUE(echoed(connect(showing(client_files)), "hello")) << "a failed reload changes nothing";

  const std::string old_authority = directory.path() + "/old.crt";
  replace(old_authority, authority.file());
  replace(server_files.certificate, new_server.certificate);
  replace(server_files.key, new_server.key);
  replace(authority.file(), foreign.file());
  EXPECT_TRUE(strand.on([&] { return server->reload(); }).ok());
  TlsOptions old_client = showing(client_files);
  old_client.ca_file = old_authority;
  EXPECT_EQ(connect(old_client), nullptr);
  EXPECT_TRUE(refused(connect(showing(client_files)))) << "its certificate is of the old authority";
  EXPECT_TRUE(echoed(connect(showing(new_client)), "hello"));
  strand.on([&] { before->send("again"); });
  EXPECT_TRUE(echoed(before, "again")) << "connections that live go on";
}

TEST_F(TlsTest, FilesThatAreWrongAreNamed) {
  const auto status_of = [&](const TlsOptions& options) {
    return strand.on(
        [&] { return TlsStreams::create(strand.executor, strand.clock, tcp, options).status(); });
  };
  TlsOptions options = server_options();
  options.certificate_file = directory.path() + "/absent.crt";
  EXPECT_THAT(status_of(options).message(), HasSubstr("absent.crt"));
  options = server_options();
  options.key_file = client_files.key;
  EXPECT_THAT(status_of(options).message(), HasSubstr("key values mismatch"));
  options = server_options();
  options.ca_file = server_files.key;
  EXPECT_THAT(status_of(options).message(), HasSubstr("CA"));
  options = server_options();
  options.members = true;
  EXPECT_THAT(status_of(options).message(), HasSubstr("a CA is needed"));
}

}  // namespace
}  // namespace lockstep::platform
