// Users on a member: logins, tokens, what they may do, and what becomes of watches when they may no longer.
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "replica/testing_member.h"
#include "replica/token.h"
#include "store/errors.h"

namespace lockstep::replica {
namespace {

using namespace std::chrono_literals;
namespace errors = store::errors;

const NodeId self{1};

class SecurityTest : public ::testing::Test {
 protected:
  void SetUp() override { member_.start(); }

  store::Security& security() { return member_.replica().security(); }
  store::Store& store() { return member_.replica(); }
  static store::CallOptions as(store::Principal who) {
    store::CallOptions options;
    options.principal = who;
    return options;
  }
  // What a call came to, once it did.
  template <class Response, class Call>
  Result<Response> outcome(Call call) {
    auto result = std::make_shared<std::optional<Result<Response>>>();
    call([result](Result<Response> answer) { *result = std::move(answer); });
    member_.settle();
    EXPECT_TRUE(result->has_value()) << "no answer";
    return result->has_value() ? **std::move(result) : Status(Code::internal, "no answer");
  }
  Status change(const store::AuthChange& what, store::Principal who = {}) {
    return outcome<store::AuthResponse>([&](auto done) { security().change(what, as(who), std::move(done)); })
        .status();
  }
  Status add_user(const std::string& name, const std::optional<std::string>& password,
                  store::Principal who = {}) {
    return outcome<store::AuthResponse>(
               [&](auto done) { security().add_user(name, password, as(who), std::move(done)); })
        .status();
  }
  Status change_password(const std::string& name, const std::string& password, store::Principal who) {
    return outcome<store::AuthResponse>(
               [&](auto done) { security().change_password(name, password, as(who), std::move(done)); })
        .status();
  }
  Status enable() {
    return outcome<store::AuthResponse>([&](auto done) { security().enable({}, std::move(done)); }).status();
  }
  Result<std::string> login(const std::string& name, const std::string& password) {
    auto answer = outcome<store::AuthenticateResponse>(
        [&](auto done) { security().authenticate(name, password, {}, std::move(done)); });
    if (!answer.ok()) return answer.status();
    return answer->token;
  }
  // Logs in and shows the token, as a client would.
  store::Principal principal(const std::string& name, const std::string& password) {
    const Result<std::string> token = login(name, password);
    EXPECT_TRUE(token.ok()) << token.status().to_string();
    const Result<store::Principal> who = security().check_token(*token);
    EXPECT_TRUE(who.ok());
    return *who;
  }
  Status put(const std::string& key, store::Principal who) {
    return outcome<store::PutResponse>(
               [&](auto done) { store().put({.key = key, .value = "v"}, as(who), std::move(done)); })
        .status();
  }
  Status get(const std::string& key, store::Principal who, bool serializable = false) {
    return outcome<store::RangeResponse>([&](auto done) {
             store().range({.key = key, .serializable = serializable}, as(who), std::move(done));
           })
        .status();
  }
  // root, and u who may read and write from "b" to "d".
  void populate() {
    EXPECT_TRUE(add_user("root", "root's").ok());
    EXPECT_TRUE(change(store::UserGrantRole{"root", "root"}).ok());
    EXPECT_TRUE(add_user("u", "u's").ok());
    EXPECT_TRUE(change(store::RoleAdd{"r"}).ok());
    EXPECT_TRUE(change(store::RoleGrantPermission{"r", {store::PermissionKind::read_write, "b", "d"}}).ok());
    EXPECT_TRUE(change(store::UserGrantRole{"u", "r"}).ok());
    EXPECT_TRUE(enable().ok());
    root_ = principal("root", "root's");
    u_ = principal("u", "u's");
  }
  LogIndex applied() { return member_.replica().status().applied; }

  TestMember member_{self, {self}};
  store::Principal root_;
  store::Principal u_;
};

TEST_F(SecurityTest, ThereIsNothingToLogInToWhileItIsOff) {
  EXPECT_EQ(login("root", "x").status(), errors::authentication_not_enabled());
  EXPECT_EQ(enable(), errors::root_user_missing());
  EXPECT_EQ(security().check_token("anything")->number(), 0u);
  EXPECT_TRUE(put("k", {}).ok());
}

TEST_F(SecurityTest, APasswordOpensWhatTheRoleAllows) {
  populate();
  EXPECT_EQ(security().name_of(u_), "u");
  EXPECT_TRUE(put("b", u_).ok());
  EXPECT_TRUE(get("b", u_).ok());
  EXPECT_EQ(put("a", u_), errors::permission_denied());
  EXPECT_EQ(get("a", u_), errors::permission_denied());
  EXPECT_EQ(get("a", u_, true), errors::permission_denied());
  EXPECT_EQ(put("b", {}), errors::user_name_empty());
  EXPECT_EQ(get("b", {}, true), errors::user_name_empty());
  EXPECT_TRUE(put("a", root_).ok());
  EXPECT_EQ(change(store::RoleAdd{"s"}, u_), errors::permission_denied());
  EXPECT_EQ(add_user("v", "v's", u_), errors::permission_denied());
  EXPECT_EQ(add_user("v", std::nullopt, {}), errors::user_name_empty());
}

TEST_F(SecurityTest, WhoIsRefusedLearnsNothingMore) {
  populate();
  EXPECT_TRUE(add_user("nameless", std::nullopt, root_).ok());
  for (const auto& [name, password] :
       {std::pair("u", "wrong"), std::pair("u", ""), std::pair("nobody", "u's"), std::pair("nameless", ""),
        std::pair("", "")}) {
    EXPECT_EQ(login(name, password).status(), errors::authentication_failed()) << name;
  }
  const std::string long_password(limits::auth_password_bytes_max + 1, 'p');
  EXPECT_EQ(login("u", long_password).status(), errors::authentication_failed());
  EXPECT_EQ(add_user("v", long_password, root_), errors::password_too_large());
  // One proven otherwise may still be it.
  EXPECT_TRUE(security().check_name("nameless").ok());
  EXPECT_EQ(security().check_name("nobody").status(), errors::user_not_found());
}

TEST_F(SecurityTest, ATokenIsGoodForItsTimeAndNotForged) {
  populate();
  const std::string token = *login("u", "u's");
  EXPECT_EQ(*security().check_token(token), u_);
  EXPECT_EQ(*security().check_token(token), u_);
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string forged = token;
    forged[i] = forged[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(security().check_token(forged).ok()) << i;
  }
  for (const std::string& other :
       {std::string(), std::string("!"), token + "A", token.substr(1), std::string(1000, 'A')}) {
    EXPECT_EQ(security().check_token(other).status(), errors::invalid_auth_token());
  }
  member_.pass(299s);
  EXPECT_TRUE(security().check_token(token).ok());
  member_.pass(2s);
  EXPECT_EQ(security().check_token(token).status(), errors::invalid_auth_token());
  EXPECT_EQ(security().check_token(token).status(), errors::invalid_auth_token());
}

TEST_F(SecurityTest, ATokenOutlivesARestartAndNoNewPassword) {
  populate();
  const std::string token = *login("u", "u's");
  member_.stop();
  member_.start();
  EXPECT_EQ(*security().check_token(token), u_);
  EXPECT_TRUE(change(store::RoleAdd{"other"}, root_).ok());
  EXPECT_TRUE(security().check_token(token).ok()) << "other changes leave logins alone";
  EXPECT_TRUE(change_password("u", "new", root_).ok());
  EXPECT_EQ(security().check_token(token).status(), errors::invalid_auth_token());
  EXPECT_EQ(put("b", u_), errors::auth_revision_old());
  EXPECT_EQ(login("u", "u's").status(), errors::authentication_failed());
  EXPECT_TRUE(put("b", principal("u", "new")).ok());
}

TEST_F(SecurityTest, SwitchingOffAndOnEndsAllLogins) {
  populate();
  const std::string token = *login("u", "u's");
  EXPECT_TRUE(change(store::AuthDisable{}, root_).ok());
  EXPECT_TRUE(put("z", {}).ok());
  EXPECT_TRUE(put("z", u_).ok());
  EXPECT_TRUE(enable().ok());
  EXPECT_EQ(security().check_token(token).status(), errors::invalid_auth_token());
}

// It is put aside until the state is surely current, then refused; nothing reaches the log.
TEST_F(SecurityTest, ADenialCostsTheLogNothing) {
  populate();
  const LogIndex before = applied();
  EXPECT_EQ(put("a", u_), errors::permission_denied());
  EXPECT_EQ(put("b", {}), errors::user_name_empty());
  EXPECT_EQ(change(store::RoleAdd{"s"}, u_), errors::permission_denied());
  const auto renewed = outcome<store::LeaseKeepAliveResponse>(
      [&](auto done) { store().lease_keep_alive({LeaseId(7)}, {}, std::move(done)); });
  EXPECT_EQ(renewed.status(), errors::user_name_empty());
  EXPECT_EQ(applied(), before);
}

// Of a turn: one command for each user, each judged for itself.
TEST_F(SecurityTest, RenewalsOfManyUsersKeepTheirAnswers) {
  populate();
  EXPECT_TRUE(outcome<store::LeaseGrantResponse>([&](auto done) {
                store().lease_grant({1h, LeaseId(7)}, as(u_), std::move(done));
              }).ok());
  std::vector<std::string> answers(4);
  const std::vector<std::pair<std::int64_t, store::Principal>> asked = {
      {7, u_}, {8, root_}, {9, u_}, {7, root_}};
  for (std::size_t i = 0; i < asked.size(); ++i) {
    store().lease_keep_alive({LeaseId(asked[i].first)}, as(asked[i].second),
                             [&answers, i](const Result<store::LeaseKeepAliveResponse>& result) {
                               answers[i] = result.ok() ? std::to_string(result->id.value()) +
                                                              (result->ttl > 0s ? " lives" : " is gone")
                                                        : result.status().to_string();
                             });
  }
  member_.settle();
  EXPECT_EQ(answers, (std::vector<std::string>{"7 lives", "8 is gone", "9 is gone", "7 lives"}));
}

TEST_F(SecurityTest, LeasesShowTheirKeysToWhoMayReadThem) {
  populate();
  const auto ask = [&](bool keys, store::Principal who) {
    return outcome<store::LeaseTimeToLiveResponse>(
               [&](auto done) { store().lease_time_to_live({LeaseId(7), keys}, as(who), std::move(done)); })
        .status();
  };
  EXPECT_TRUE(outcome<store::LeaseGrantResponse>([&](auto done) {
                store().lease_grant({1h, LeaseId(7)}, as(root_), std::move(done));
              }).ok());
  EXPECT_TRUE(outcome<store::PutResponse>([&](auto done) {
                store().put({.key = "z", .lease = LeaseId(7)}, as(root_), std::move(done));
              }).ok());
  EXPECT_EQ(ask(true, u_), errors::permission_denied());
  EXPECT_TRUE(ask(false, u_).ok());
  EXPECT_TRUE(ask(true, root_).ok());
  EXPECT_EQ(ask(false, {}), errors::user_name_empty());
  const auto list = [&](store::Principal who) {
    return outcome<store::LeaseLeasesResponse>(
               [&](auto done) { store().lease_leases(as(who), std::move(done)); })
        .status();
  };
  EXPECT_TRUE(list(u_).ok());
  EXPECT_EQ(list({}), errors::user_name_empty());
}

TEST_F(SecurityTest, UsersMayLookAtThemselves) {
  populate();
  const auto roles_of = [&](const std::string& user, store::Principal who) {
    return outcome<store::NamesResponse>(
        [&](auto done) { security().roles_of_user(user, as(who), std::move(done)); });
  };
  const auto permissions = [&](const std::string& role, store::Principal who) {
    return outcome<store::PermissionsResponse>(
        [&](auto done) { security().permissions_of_role(role, as(who), std::move(done)); });
  };
  EXPECT_EQ(roles_of("u", u_)->names, std::vector<std::string>{"r"});
  EXPECT_EQ(roles_of("root", u_).status(), errors::permission_denied());
  EXPECT_EQ(roles_of("nobody", u_).status(), errors::permission_denied());
  EXPECT_EQ(roles_of("nobody", root_).status(), errors::user_not_found());
  EXPECT_EQ(roles_of("u", {}).status(), errors::user_name_empty());
  EXPECT_EQ(permissions("r", u_)->permissions.size(), 1u);
  EXPECT_EQ(permissions("root", u_).status(), errors::permission_denied());
  EXPECT_EQ(permissions("root", root_).status(), errors::role_not_found());
  const auto users =
      outcome<store::NamesResponse>([&](auto done) { security().users(as(root_), std::move(done)); });
  EXPECT_EQ(users->names, (std::vector<std::string>{"root", "u"}));
  const auto refused =
      outcome<store::NamesResponse>([&](auto done) { security().roles(as(u_), std::move(done)); });
  EXPECT_EQ(refused.status(), errors::permission_denied());
  const auto status = outcome<store::AuthStatusResponse>(
      [&](auto done) { security().auth_status(as(root_), std::move(done)); });
  EXPECT_TRUE(status->enabled);
  EXPECT_EQ(status->revision, store::AuthRevision(7));
}

// While passwords are hashed the strand goes on, and the queue is bounded.
TEST_F(SecurityTest, LoginsWaitBesideTheStrand) {
  populate();
  member_.worker_stands_still = true;
  std::size_t refused = 0;
  std::size_t answered = 0;
  const std::size_t asked = member_.options.security.hashing_max + 10;
  for (std::size_t i = 0; i < asked; ++i) {
    security().authenticate("u", "u's", {}, [&](const Result<store::AuthenticateResponse>& result) {
      ++(result.ok() ? answered : refused);
    });
  }
  member_.settle();
  EXPECT_EQ(refused, 10u);
  EXPECT_EQ(answered, 0u);
  EXPECT_EQ(get("b", u_, true).code(), Code::ok);
  member_.worker_stands_still = false;
  member_.settle();
  EXPECT_EQ(answered, member_.options.security.hashing_max);
}

// ---- watches

TEST_F(SecurityTest, AWatchNeedsPermission) {
  populate();
  EXPECT_EQ(store().watch({.key = "a"}, as(u_)).status(), errors::permission_denied());
  EXPECT_EQ(store().watch({.key = "b"}, {}).status(), errors::user_name_empty());
  EXPECT_EQ(store().watch({.key = "b", .range_end = "e"}, as(u_)).status(), errors::permission_denied());
  EXPECT_TRUE(store().watch({.key = "b", .range_end = "d"}, as(u_)).ok());
}

TEST_F(SecurityTest, AWatchEndsWithThePermission) {
  populate();
  auto watch = *store().watch({.key = "b", .range_end = "d"}, as(u_));
  EXPECT_TRUE(put("b", root_).ok());
  auto answer = watch->next(1000);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->events.size(), 1u);
  EXPECT_FALSE(watch->next(1000).has_value());
  bool ready = false;
  watch->notify_when_ready([&] { ready = true; });

  EXPECT_TRUE(change(store::RoleAdd{"other"}, root_).ok());
  EXPECT_FALSE(ready) << "what does not concern it leaves it alone";
  EXPECT_TRUE(change(store::UserRevokeRole{"u", "r"}, root_).ok());
  EXPECT_TRUE(ready);
  EXPECT_TRUE(put("b", root_).ok());
  answer = watch->next(1000);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->canceled);
  EXPECT_EQ(answer->cancel_reason, errors::permission_denied().message());
  EXPECT_TRUE(answer->events.empty()) << "nothing from after the revocation";
  EXPECT_FALSE(watch->next(1000).has_value());
}

// Also what happened before, if it was not taken yet.
TEST_F(SecurityTest, ARevokedWatchDeliversNothingMore) {
  populate();
  auto watch = *store().watch({.key = "b"}, as(u_));
  EXPECT_TRUE(put("b", root_).ok());
  EXPECT_TRUE(change(store::RoleDelete{"r"}, root_).ok());
  const auto answer = watch->next(1000);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->canceled);
}

TEST_F(SecurityTest, SwitchingOnEndsWatchesOfNobody) {
  auto open = *store().watch({.key = "b"}, {});
  populate();
  const auto answer = open->next(1000);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->canceled);
  EXPECT_EQ(answer->cancel_reason, errors::user_name_empty().message());
}

// The one that is told first ends the other.
TEST_F(SecurityTest, WhoIsToldMayEndOtherWatches) {
  populate();
  auto first = *store().watch({.key = "b"}, as(u_));
  auto second = *store().watch({.key = "c"}, as(u_));
  bool second_told = false;
  first->notify_when_ready([&] { second.reset(); });
  second->notify_when_ready([&] { second_told = true; });
  EXPECT_TRUE(change(store::UserDelete{"u"}, root_).ok());
  EXPECT_EQ(second, nullptr);
  EXPECT_FALSE(second_told);
  member_.stop();
  EXPECT_TRUE(first->next(1000).has_value()) << "a subscription may outlive the member";
}

}  // namespace
}  // namespace lockstep::replica
