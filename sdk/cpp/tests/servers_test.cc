// Who may talk to real servers: certificates, passwords, permissions.
#include <chrono>
#include <string>

#include <gtest/gtest.h>
#include <lockstep/lockstep.h>

#include "testing_world.h"

namespace {

using namespace std::chrono_literals;
using lockstep::CallOptions;
using lockstep::Client;
using lockstep::ClientOptions;
using lockstep::Code;
using lockstep::Keys;
using lockstep::sdk_test::Capability;
using lockstep::sdk_test::World;

class SdkServers : public testing::Test {
 protected:
  // Whoever reaches nobody tries until its time is over.
  static bool reaches_nobody(const ClientOptions& options) {
    const Code code = Client(options).get("a", CallOptions().timeout(World::in_vain(3s))).wait().code();
    return code == Code::unavailable || code == Code::deadline_exceeded;
  }
  World world_;
};

TEST_F(SdkServers, OneWithoutACertificateReachesNobody) {
  LOCKSTEP_NEEDS(Capability::certificates, Capability::login);
  const ClientOptions& good = World::options();
  ClientOptions no_certificate(good.endpoints());
  no_certificate.user(good.user(), good.password()).tls(good.ca_file());
  EXPECT_TRUE(reaches_nobody(no_certificate));
  ClientOptions no_tls(good.endpoints());
  no_tls.user(good.user(), good.password());
  EXPECT_TRUE(reaches_nobody(no_tls));
  ClientOptions trusts_others = good;
  trusts_others.tls();
  EXPECT_TRUE(reaches_nobody(trusts_others)) << "nobody's CA signed the server";
}

TEST_F(SdkServers, FilesThatAreNoneAreNamedAtOnce) {
  ClientOptions options(World::options().endpoints());
  options.certificate("/no/such/file.crt", "/no/such/file.key");
  const auto made = Client::make(options);
  EXPECT_EQ(made.code(), Code::invalid_argument);
  EXPECT_NE(made.error().to_string().find("/no/such/file.crt"), std::string::npos)
      << made.error().to_string();
}

TEST_F(SdkServers, AWrongPasswordIsRefused) {
  LOCKSTEP_NEEDS(Capability::login);
  const auto read = [](const std::string& user, const std::string& password) {
    return Client(ClientOptions(World::options()).user(user, password)).get("a").wait().code();
  };
  EXPECT_EQ(read(World::options().user(), World::options().password()), Code::ok);
  EXPECT_EQ(read(World::options().user(), World::options().password() + "x"), Code::unauthenticated);
  EXPECT_EQ(read("nobody", World::options().password()), Code::unauthenticated);
  EXPECT_EQ(read("", ""), Code::unauthenticated);
}

TEST_F(SdkServers, AUserReachesWhatItMay) {
  LOCKSTEP_NEEDS(Capability::login);
  Client client(
      ClientOptions(World::options()).user(World::user_of_one_prefix(), World::options().password()));
  EXPECT_TRUE(client.put("allowed/a", "1").wait().is_done());
  EXPECT_TRUE(client.list(Keys::prefix("allowed/")).wait().is_done());
  EXPECT_EQ(client.put("other", "1").wait().code(), Code::permission_denied);
  EXPECT_EQ(client.list(Keys::all()).wait().code(), Code::permission_denied);
  const auto held = client.lock("allowed/lock").acquire().wait();
  EXPECT_TRUE(held.is_done()) << held.error().to_string();
  EXPECT_EQ(client.lock("other/lock").acquire().wait().code(), Code::permission_denied);
  EXPECT_EQ(client.counter("n").add().wait().code(), Code::permission_denied) << "counters have keys, too";
}

}  // namespace
