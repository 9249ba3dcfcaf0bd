#include "platform/secrets.h"

#include <string>

#include <gtest/gtest.h>

namespace lockstep::platform {
namespace {

using namespace std::string_literals;

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += digits[static_cast<unsigned char>(byte) >> 4];
    out += digits[static_cast<unsigned char>(byte) & 15];
  }
  return out;
}

const std::string salt = "0123456789abcdef";

TEST(Secrets, APasswordIsKnownAgain) {
  const OpenSslSecrets secrets(4);
  const std::string hash = secrets.hash_password("secret", salt);
  EXPECT_EQ(hash.find("secret"), std::string::npos);
  EXPECT_TRUE(secrets.verify_password("secret", hash));
  EXPECT_FALSE(secrets.verify_password("Secret", hash));
  EXPECT_FALSE(secrets.verify_password("", hash));
  EXPECT_NE(secrets.hash_password("secret", "another 16 bytes"), hash);
  // What it cost when it was made stands in it.
  EXPECT_TRUE(OpenSslSecrets(6).verify_password("secret", hash));
  EXPECT_TRUE(secrets.verify_password("", secrets.hash_password("", salt)));
  EXPECT_TRUE(secrets.verify_password("nul\0inside"s, secrets.hash_password("nul\0inside"s, salt)));
  EXPECT_FALSE(secrets.verify_password("nul", secrets.hash_password("nul\0inside"s, salt)));
}

TEST(Secrets, WhatIsNoHashIsRefusedWithoutWork) {
  const OpenSslSecrets secrets(4);
  const std::string hash = secrets.hash_password("secret", salt);
  for (std::size_t cut = 0; cut < hash.size(); ++cut) {
    EXPECT_FALSE(secrets.verify_password("secret", hash.substr(0, cut)));
  }
  EXPECT_FALSE(secrets.verify_password("secret", hash + "x"));
  for (const char cost : {'\x00', '\x12', '\x20', '\xff'}) {
    std::string costly = hash;
    costly[1] = cost;
    EXPECT_FALSE(secrets.verify_password("secret", costly));
  }
  std::string newer = hash;
  newer[0] = 2;
  EXPECT_FALSE(secrets.verify_password("secret", newer));
}

// RFC 4231, case 2.
TEST(Secrets, CodesAreHmacSha256) {
  EXPECT_EQ(hex(OpenSslSecrets().message_code("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Secrets, Equality) {
  EXPECT_TRUE(env::Secrets::equal("", ""));
  EXPECT_TRUE(env::Secrets::equal("ab", "ab"));
  EXPECT_FALSE(env::Secrets::equal("ab", "aB"));
  EXPECT_FALSE(env::Secrets::equal("ab", "abc"));
}

}  // namespace
}  // namespace lockstep::platform
