// Users, roles and permissions: verdicts beside a model, the bytes, the rows, the limits. How single commands
// answer is told by testdata/auth.txt.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "base/prng.h"
#include "store/auth_codec.h"
#include "store/errors.h"
#include "store/key_range_set.h"
#include "store/testing/auth_matrix.h"
#include "store/testing/machine.h"

namespace lockstep::store::testing {
namespace {

using namespace std::string_literals;

TEST(AuthMatrix, TheVerdictIsTheModels) {
  MatrixTotals totals;
  const auto difference = auth_matrix(&totals);
  EXPECT_FALSE(difference.has_value()) << *difference;
  EXPECT_GT(totals.allowed, 1000u);
  EXPECT_GT(totals.denied, 1000u);
}

TEST(KeyRangeSet, KnowsItsKeys) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    const auto letter = [&] { return std::string(1, static_cast<char>('a' + prng.below(8))); };
    KeyRangeSet set;
    std::vector<std::pair<std::string, std::string>> ranges;
    for (std::uint64_t i = prng.below(5); i > 0; --i) {
      const std::string end = prng.chance(1, 3) ? "" : prng.chance(1, 6) ? "\0"s : letter();
      ranges.emplace_back(letter(), end);
      set.add(ranges.back().first, end);
    }
    set.merge();
    for (char c = 'a'; c <= 'i'; ++c) {
      for (const std::string& key : {std::string(1, c), std::string(1, c) + "5"}) {
        const bool expected = std::ranges::any_of(ranges, [&](const auto& range) {
          if (range.second.empty()) return key == range.first;
          return key >= range.first && (range.second == "\0"s || key < range.second);
        });
        EXPECT_EQ(set.find(key) != nullptr, expected) << key;
      }
    }
  }
}

// One of each kind.
std::vector<AuthChange> changes() {
  return {AuthEnable{std::string(limits::auth_token_key_bytes, 'k')},
          AuthDisable{},
          UserAdd{"u", "hash", false},
          UserAdd{"n", "", true},
          UserDelete{"u"},
          UserChangePassword{"u", "hash"},
          UserGrantRole{"u", "r"},
          UserRevokeRole{"u", "r"},
          RoleAdd{"r"},
          RoleDelete{"r"},
          RoleGrantPermission{"r", {PermissionKind::read_write, "a", "\0"s}},
          RoleRevokePermission{"r", "a", "b"}};
}

std::string encoded(const AuthChange& change) {
  std::string out;
  Encoder encoder(&out);
  encode_auth_change(encoder, change);
  return out;
}

TEST(AuthFormat, ChangesComeBackAndCutOnesDoNot) {
  for (const AuthChange& change : changes()) {
    const std::string bytes = encoded(change);
    SCOPED_TRACE(change.index());
    Decoder decoder(bytes);
    EXPECT_EQ(encoded(decode_auth_change(decoder)), bytes);
    EXPECT_TRUE(decoder.done());
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      Decoder shorter(std::string_view(bytes).substr(0, cut));
      static_cast<void>(decode_auth_change(shorter));
      EXPECT_FALSE(shorter.ok()) << cut;
    }
  }
}

TEST(AuthFormat, APrincipalCostsNothingWhereThereIsNone) {
  const auto size_with = [](Principal principal) {
    BatchBuilder batch;
    batch.start({});
    EXPECT_TRUE(batch.put({.key = "k", .value = "v"}, {}, principal));
    return batch.bytes();
  };
  const std::size_t without = size_with({});
  EXPECT_EQ(size_with(Principal::of(CredentialId(2))), without + 1);
  EXPECT_EQ(size_with(Principal::of(CredentialId(200))), without + 2);
  EXPECT_EQ(size_with(Principal::cluster()), without + 1);
}

// Bytes that no builder makes: the flag without anybody behind it, and names that are too long.
TEST(AuthFormat, MalformedCommandsAreRefused) {
  const auto refused = [](std::string_view command) {
    BatchBuilder batch;
    batch.start({});
    const std::string payload = batch.take() + std::string(command);
    BatchReader reader(payload);
    Command read;
    EXPECT_FALSE(reader.next(&read));
    return reader.status().code() == Code::corruption;
  };
  EXPECT_TRUE(refused("\x4a\x02"s));       // nothing, by a user
  EXPECT_TRUE(refused("\x49\x00"s));       // register_client by nobody, spelled out
  EXPECT_TRUE(refused("\x0b\x0b"s));       // a change of no known kind
  EXPECT_TRUE(refused("\x0b\x00short"s));  // a token key that is too short
  std::string long_name = "\x0b\x07";
  Encoder(&long_name).bytes(std::string(limits::auth_name_bytes_max + 1, 'n'));
  EXPECT_TRUE(refused(long_name));
  EXPECT_TRUE(refused("\x0b\x02\x00\x01u\x00"s));       // a password without a hash
  EXPECT_TRUE(refused("\x0b\x02\x01\x01u\x01h"s));      // no password, and a hash
  EXPECT_TRUE(refused("\x0b\x09\x01r\x03\x01k\x00"s));  // neither read nor write
}

class AuthRows : public ::testing::Test {
 protected:
  AuthRows() {
    apply(RoleAdd{"r"});
    apply(RoleGrantPermission{"r", {PermissionKind::read, "a", "b"}});
    apply(UserAdd{"root", "hash", false});
    apply(UserGrantRole{"root", "root"});
    apply(UserAdd{"u", "", true});
    apply(UserGrantRole{"u", "r"});
    apply(AuthEnable{std::string(limits::auth_token_key_bytes, 'k')});
  }
  void apply(const AuthChange& change) {
    const CommandResult result =
        machine_.one([&](BatchBuilder& batch) { return batch.auth(change, {}, Principal::cluster()); });
    ASSERT_TRUE(result.ok()) << result.status().to_string();
  }
  // After a change of the row under `key`.
  Status restore_with(std::string_view key, const std::string& row) {
    Rows rows = dump(*machine_);
    for (auto& [at, value] : rows.meta) {
      if (at == key) value = row;
    }
    StateMachine other;
    return restore(rows, &other);
  }
  [[nodiscard]] User user(std::string_view name) { return *machine_->auth().find_user(name); }

  Machine machine_;
};

TEST_F(AuthRows, ComeBackAfterARestart) {
  const AuthState::Users users = machine_->auth().users();
  const Rows before = dump(*machine_);
  machine_.restart();
  EXPECT_EQ(machine_->auth().users(), users);
  EXPECT_EQ(machine_->auth().roles().at("r").permissions.size(), 1u);
  EXPECT_EQ(machine_->auth().token_key(), std::string(limits::auth_token_key_bytes, 'k'));
  EXPECT_TRUE(machine_->auth().enabled());
  EXPECT_EQ(dump(*machine_).meta, before.meta);
  EXPECT_TRUE(std::ranges::is_sorted(before.meta));
  EXPECT_TRUE(machine_->authoriser(Principal::of(user("u").credential)).check_read("a", "b").ok());
}

TEST_F(AuthRows, ThatCannotBeAreRefused) {
  EXPECT_TRUE(restore_with("iuu", encode_user(user("u"))).ok());
  User wrong = user("u");
  wrong.roles = {"unknown"};
  EXPECT_EQ(restore_with("iuu", encode_user(wrong)).code(), Code::corruption);
  wrong = user("u");
  wrong.credential = user("root").credential;
  EXPECT_EQ(restore_with("iuu", encode_user(wrong)).code(), Code::corruption);
  wrong = user("u");
  wrong.credential = CredentialId(100);
  EXPECT_EQ(restore_with("iuu", encode_user(wrong)).code(), Code::corruption);
  wrong = user("root");
  wrong.roles = {};
  EXPECT_EQ(restore_with("iuroot", encode_user(wrong)).code(), Code::corruption);
  EXPECT_EQ(restore_with("irr", "\x01").code(), Code::corruption);
  EXPECT_EQ(restore_with("ia", "\x01\x01\x08\x00"s).code(), Code::corruption);
}

TEST_F(AuthRows, ARoleHasARowOfLimitedSize) {
  const auto grant = [&](std::string key) {
    return machine_
        .one([&](BatchBuilder& batch) {
          return batch.auth(RoleGrantPermission{"r", {PermissionKind::read, key, "z"}}, {},
                            Principal::cluster());
        })
        .status();
  };
  EXPECT_TRUE(grant(std::string(limits::key_bytes_max, 'q')).ok());
  EXPECT_TRUE(grant(std::string(limits::key_bytes_max, 'r')).ok());
  EXPECT_EQ(grant(std::string(limits::key_bytes_max, 's')), errors::too_many_users_and_roles());
  machine_.restart();
  EXPECT_EQ(machine_->auth().roles().at("r").permissions.size(), 3u);
}

TEST_F(AuthRows, AllTogetherAreOfLimitedSize) {
  std::size_t count = 0;
  Status status;
  while (status.ok()) {
    const std::string role = "big " + std::to_string(count);
    apply(RoleAdd{role});
    const Permission permission{PermissionKind::write, std::string(limits::key_bytes_max, 'k'), "z"};
    status = machine_
                 .one([&](BatchBuilder& batch) {
                   return batch.auth(RoleGrantPermission{role, permission}, {}, Principal::cluster());
                 })
                 .status();
    ++count;
  }
  EXPECT_EQ(status, errors::too_many_users_and_roles());
  EXPECT_EQ(count, limits::auth_bytes_max / limits::key_bytes_max);
  // What goes makes room.
  apply(RoleDelete{"big 0"});
  apply(RoleAdd{"another"});
}

}  // namespace
}  // namespace lockstep::store::testing
