// Members that prove who they are: rows P1 to P8 of the table of bad inputs, and that the healthy ones talk
// on.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "platform/network_test_support.h"
#include "platform/tcp_streams.h"
#include "platform/testing_certificates.h"
#include "platform/tls_streams.h"

namespace lockstep::platform {
namespace {

class TlsMember : public env::Receiver {
 public:
  TlsMember(StrandThread& strand, std::uint64_t id, const CertificateFiles& files, const std::string& ca_file)
      : strand_(strand), id_(id) {
    strand_.on([&] {
      TlsOptions tls;
      tls.certificate_file = files.certificate;
      tls.key_file = files.key;
      tls.ca_file = ca_file;
      tls.members = true;
      auto streams = TlsStreams::create(strand_.executor, strand_.clock,
                                        std::make_shared<TcpStreams>(strand_.executor), tls);
      EXPECT_TRUE(streams.ok()) << streams.status().to_string();
      streams_ = std::shared_ptr<TlsStreams>(*std::move(streams));
      NetworkOptions options;
      options.cluster = test_cluster;
      options.self = NodeId(id);
      options.log = [](std::string_view) {};
      network_ = std::make_unique<TcpNetwork>(strand_.executor, random_, options, streams_);
      network_->set_receiver(this);
      port_ = *network_->listen("127.0.0.1:0");
    });
  }
  ~TlsMember() override {
    strand_.on([&] { network_.reset(); });
  }
  void knows(const TlsMember& other) {
    strand_.on([&] { network_->set_peer(NodeId(other.id_), "127.0.0.1:" + std::to_string(other.port_)); });
  }
  void on_message(NodeId from, SharedBytes message) override {
    received_.push_back(std::to_string(from.value()) + " " + std::string(message.view()));
  }
  void on_peer_lost(NodeId /*peer*/) override {}
  template <class Ask>
  auto ask(Ask question) {
    return strand_.on([&] { return question(*network_); });
  }
  bool connected(const TlsMember& other) {
    return ask([&](TcpNetwork& network) { return network.connected(NodeId(other.id_)); });
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  TlsMetrics tls() {
    return strand_.on([&] { return streams_->metrics(); });
  }
  bool eventually_receives(const std::string& message) {
    return eventually(
        [&] { return strand_.on([&] { return std::ranges::find(received_, message) != received_.end(); }); });
  }

 private:
  StrandThread& strand_;
  std::uint64_t id_;
  RealRandom random_;
  std::shared_ptr<TlsStreams> streams_;
  std::unique_ptr<TcpNetwork> network_;
  std::uint16_t port_ = 0;
  std::vector<std::string> received_;
};

class TlsPeerTest : public testing::Test {
 protected:
  TemporaryDirectory directory;
  TestAuthority authority{directory.path(), "authority"};
  TestAuthority foreign{directory.path(), "foreign"};
  StrandThread strand;
};

TEST_F(TlsPeerTest, MembersTalk) {
  TlsMember one(strand, 1, authority.issue("one", {}), authority.file());
  TlsMember two(strand, 2, authority.issue("two", {}), authority.file());
  one.knows(two);
  two.knows(one);
  ASSERT_TRUE(eventually([&] { return one.connected(two) && two.connected(one); }));
  one.ask([](TcpNetwork& network) { network.send(NodeId(2), {SharedBytes(std::string("in secret"))}); });
  EXPECT_TRUE(two.eventually_receives("1 in secret"));
}

// Member 3 misbehaves in one way or another; 1 and 2 talk on.
struct Impostor {
  std::string name;
  CertificateOptions options;
  bool of_foreign_authority = false;
  std::string reason;  // of the handshake; empty: it succeeds, and the hello is refused
};

class TlsImpostor : public TlsPeerTest, public testing::WithParamInterface<Impostor> {};

TEST_P(TlsImpostor, IsRefused) {
  TlsMember one(strand, 1, authority.issue("one", {}), authority.file());
  TlsMember two(strand, 2, authority.issue("two", {}), authority.file());
  TestAuthority& issuer = GetParam().of_foreign_authority ? foreign : authority;
  TlsMember three(strand, 3, issuer.issue("three", GetParam().options), authority.file());
  for (auto [a, b] : {std::pair{&one, &two}, {&two, &one}, {&one, &three}, {&three, &one}}) a->knows(*b);
  ASSERT_TRUE(eventually([&] { return one.connected(two) && two.connected(one); }));
  if (GetParam().reason.empty()) {
    EXPECT_TRUE(eventually([&] {
      return one.ask(
                 [](TcpNetwork& network) { return network.metrics().bad(BadInput::wrong_certificate); }) != 0;
    }));
  } else {
    EXPECT_TRUE(eventually([&] { return one.tls().failed.contains(GetParam().reason); }))
        << testing::PrintToString(one.tls().failed);
  }
  EXPECT_FALSE(one.connected(three));
  EXPECT_EQ(one.ask([](TcpNetwork& network) { return network.metrics().connections_lost; }), 0u);
  two.ask([](TcpNetwork& network) { network.send(NodeId(1), {SharedBytes(std::string("healthy"))}); });
  EXPECT_TRUE(one.eventually_receives("2 healthy"));
}

INSTANTIATE_TEST_SUITE_P(
    Rows, TlsImpostor,
    testing::Values(
        Impostor{"P3_foreign_authority", {}, true, "unable to get local issuer certificate"},
        Impostor{
            "P4_expired", {.valid_from_s = -7200, .valid_until_s = -3600}, false, "certificate has expired"},
        Impostor{"P5_no_alternative_name", {.common_name = "127.0.0.1", .names = ""}, false, ""},
        Impostor{"P6_client_role", {.usage = "clientAuth"}, false, "unsuitable certificate purpose"},
        Impostor{"P7_reachable_elsewhere", {.names = "DNS:localhost,IP:127.0.0.2"}, false, ""},
        Impostor{"P8_partial_identity", {.names = "DNS:127.0.0.*,DNS:127.0.0.1.example"}, false, ""}),
    [](const auto& info) { return info.param.name; });

TEST_F(TlsPeerTest, P1AndP2PlaintextAndNoCertificateDoNotReachThePeerPort) {
  TlsMember one(strand, 1, authority.issue("one", {}), authority.file());
  TlsMember two(strand, 2, authority.issue("two", {}), authority.file());
  one.knows(two);
  two.knows(one);
  ASSERT_TRUE(eventually([&] { return one.connected(two) && two.connected(one); }));
  const std::uint16_t peer_port = one.port();
  RawSocket plain = RawSocket::connect(peer_port);
  plain.send(hello_frame(hello_between(2, 1)));
  EXPECT_TRUE(eventually([&] { return plain.closed_by_the_other_side(); }));
  EXPECT_TRUE(eventually([&] { return one.tls().failed.size() == 1; }));
  RawSocket anonymous = RawSocket::connect(peer_port);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL* connection = SSL_new(context);
  SSL_set_fd(connection, anonymous.descriptor());
  SSL_connect(connection);
  EXPECT_TRUE(eventually([&] { return one.tls().failed.contains("peer did not return a certificate"); }));
  SSL_free(connection);
  SSL_CTX_free(context);
  EXPECT_TRUE(one.connected(two));
}

}  // namespace
}  // namespace lockstep::platform
