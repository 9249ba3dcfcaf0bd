// What is repeated, what is not, and how a client finds its way to members that are up.
#include <optional>
#include <stop_token>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "remote/outcome.h"
#include "world.h"

namespace lockstep::remote_test {
namespace {

using rpc::GrpcCode;
using rpc::GrpcStatus;
using testing::HasSubstr;

struct Put {
  explicit Put(World& world, const std::string& key = "k", store::CallOptions options = {}) {
    store::PutRequest request;
    request.key = key;
    request.value = "v";
    world.store().put(
        std::move(request), std::move(options),
        [answer = answer](Result<store::PutResponse> result) { answer->emplace(result.status()); });
    world.strand.settle();
  }
  [[nodiscard]] bool answered() const { return answer->has_value(); }
  [[nodiscard]] Code code() const { return answered() ? (*answer)->code() : Code::internal; }
  [[nodiscard]] std::string text() const { return answered() ? (*answer)->to_string() : "no answer"; }
  std::shared_ptr<std::optional<Status>> answer = std::make_shared<std::optional<Status>>();
};

struct Get {
  explicit Get(World& world, store::CallOptions options = {}) {
    store::RangeRequest request;
    request.key = "k";
    world.store().range(
        std::move(request), std::move(options),
        [answer = answer](Result<store::RangeResponse> result) { answer->emplace(result.status()); });
    world.strand.settle();
  }
  [[nodiscard]] bool answered() const { return answer->has_value(); }
  [[nodiscard]] Code code() const { return answered() ? (*answer)->code() : Code::internal; }
  std::shared_ptr<std::optional<Status>> answer = std::make_shared<std::optional<Status>>();
};

store::CallOptions within(World& world, Duration time) {
  store::CallOptions options;
  options.deadline = world.strand.now() + time;
  return options;
}

std::int64_t version_of(World& world, const std::string& key) {
  std::int64_t version = 0;
  store::RangeRequest request;
  request.key = key;
  world.cluster.store.range(std::move(request), {.principal = store::Principal::cluster()},
                            [&](const Result<store::RangeResponse>& result) {
                              if (!result->kvs.empty()) version = result->kvs[0].version;
                            });
  return version;
}

TEST(Connections, CallsAreSpreadOverTheMembersThatAreUp) {
  World world;
  world.network().refuse("m2:1", true);
  Put first(world);
  world.strand.pass(10ms);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Put(world).code(), Code::ok);
  const auto endpoints = world.connections().endpoints();
  EXPECT_GE(endpoints[0].calls, 9U);
  EXPECT_EQ(endpoints[1].calls, 0U);
  EXPECT_GE(endpoints[2].calls, 9U);
  EXPECT_THAT(endpoints[1].last_error, HasSubstr("refused"));
  world.network().refuse("m2:1", false);
  world.strand.pass(10s);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Put(world).code(), Code::ok);
  EXPECT_GE(world.connections().endpoints()[1].calls, 6U) << "it is back";
}

TEST(Connections, AttemptsBecomeRarerWhileAMemberIsDown) {
  World world;
  world.network().refuse("m1:1", true);
  Put first(world);
  world.strand.pass(60s);
  const int attempts = world.network().attempts("m1:1");
  EXPECT_GE(attempts, 12) << "at least every five seconds";
  EXPECT_LE(attempts, 35) << "50 ms doubled up to five seconds, with jitter down to the half";
}

TEST(Connections, WhatWasSentAndNotAnsweredIsUnknownForAChangeAndRepeatedForARead) {
  World world;
  Put(world, "other");
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().hold(member);
  Put put(world);
  Get get(world);
  EXPECT_FALSE(put.answered());
  EXPECT_FALSE(get.answered());
  EXPECT_EQ(version_of(world, "k"), 1) << "it was done";
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) {
    world.network().release(member);
    world.network().hold(member);
    world.network().cut(member);
    world.network().release(member);
  }
  world.strand.pass(1s);
  EXPECT_EQ(put.code(), Code::unknown_outcome) << put.text();
  EXPECT_EQ(get.code(), Code::ok);
  EXPECT_EQ(version_of(world, "k"), 1) << "and not done again";
}

TEST(Connections, WhatAMemberDidNotTakeGoesToAnother) {
  World world;
  Put(world, "other");
  world.strand.pass(10ms);
  world.cluster.servers[0]->drain(world.strand.now() + 10s, [] {});
  world.cluster.servers[1]->drain(world.strand.now() + 10s, [] {});
  for (int i = 0; i < 6; ++i) {
    Put put(world, "k" + std::to_string(i));
    world.strand.pass(1s);
    EXPECT_EQ(put.code(), Code::ok) << put.text();
    EXPECT_EQ(version_of(world, "k" + std::to_string(i)), 1) << "once";
  }
}

TEST(Connections, NobodyUpIsSaidAtTheDeadlineOrAtOnce) {
  World patient;
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) patient.network().refuse(member, true);
  Put put(patient, "k", within(patient, 3s));
  patient.strand.pass(2999ms);
  EXPECT_FALSE(put.answered());
  patient.strand.pass(2ms);
  EXPECT_EQ(put.code(), Code::unavailable);
  EXPECT_THAT(put.text(), HasSubstr("m3:1: connection lost: cannot connect: Connection refused"));

  remote::ConnectionsOptions hasty = three_members();
  hasty.fail_fast = true;
  World world(hasty);
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().refuse(member, true);
  EXPECT_EQ(Put(world, "k", within(world, 3s)).code(), Code::unavailable);
}

TEST(Connections, WhoComesBackBeforeTheDeadlineServesWhatWaited) {
  World world;
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().refuse(member, true);
  Put put(world, "k", within(world, 10s));
  world.strand.pass(1s);
  world.network().refuse("m2:1", false);
  world.strand.pass(5s);
  EXPECT_EQ(put.code(), Code::ok) << put.text();
}

TEST(Connections, GivingUpIsNotDoneBeforeSendingAndUnknownAfter) {
  World world;
  std::stop_source stop;
  store::CallOptions options;
  options.cancellation = stop.get_token();
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().refuse(member, true);
  Put waiting(world, "k", options);
  EXPECT_FALSE(waiting.answered());
  stop.request_stop();
  world.strand.settle();
  EXPECT_EQ(waiting.code(), Code::cancelled);
  EXPECT_EQ(Put(world, "k", options).code(), Code::cancelled);

  World other;
  Put(other, "warm");
  std::stop_source stop_sent;
  options.cancellation = stop_sent.get_token();
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) other.network().hold(member);
  Put put(other, "k", options);
  Get get(other, options);
  stop_sent.request_stop();
  other.strand.settle();
  EXPECT_EQ(put.code(), Code::unknown_outcome);
  EXPECT_EQ(get.code(), Code::cancelled);
}

TEST(Connections, ADeadlineAfterSendingIsUnknownForAChange) {
  World world;
  Put(world, "warm");
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().hold(member);
  Put put(world, "k", within(world, 1s));
  Get get(world, within(world, 1s));
  world.strand.pass(1500ms);
  EXPECT_EQ(put.code(), Code::unknown_outcome);
  EXPECT_EQ(get.code(), Code::deadline_exceeded);
}

TEST(Connections, ClosingAnswersEverythingOnce) {
  auto world = std::make_unique<World>();
  Put(*world, "warm");
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world->network().hold(member);
  const Put put(*world, "k");
  const Get get(*world);
  world->connections().close();
  EXPECT_EQ(put.code(), Code::unknown_outcome);
  EXPECT_EQ(get.code(), Code::cancelled);
  EXPECT_EQ(Put(*world, "k").code(), Code::cancelled);
}

// ---- logging in

void switch_authentication_on(World& world) {
  int done = 0;
  const auto count = [&](const Result<store::AuthResponse>& result) {
    EXPECT_TRUE(result.ok()) << result.status().to_string();
    ++done;
  };
  store::Security& security = world.cluster.security;
  security.add_user("root", "secret word", {}, count);
  world.strand.settle();
  security.change(store::RoleAdd{"root"}, {}, count);
  security.change(store::UserGrantRole{"root", "root"}, {}, count);
  security.enable({}, count);
  world.strand.settle();
  ASSERT_EQ(done, 4);
}

remote::ConnectionsOptions as_root(const std::string& password) {
  remote::ConnectionsOptions options = three_members();
  options.user = "root";
  options.password = password;
  return options;
}

TEST(Connections, AUserLogsInOnceAndAgainWhenTheTokenHasExpired) {
  World world(as_root("secret word"));
  EXPECT_EQ(Put(world).code(), Code::ok) << "no login is needed yet";
  switch_authentication_on(world);
  EXPECT_EQ(Put(world).code(), Code::ok);
  EXPECT_EQ(Put(world).code(), Code::ok);
  world.strand.pass(2h);
  Put put(world);
  world.strand.pass(1s);
  EXPECT_EQ(put.code(), Code::ok) << put.text();
}

TEST(Connections, AWrongPasswordFailsWhatWaitsAndIsNotTold) {
  World world(as_root("wrong word"));
  switch_authentication_on(world);
  const Put put(world);
  EXPECT_THAT(put.text(), HasSubstr("etcdserver: authentication failed"));
  EXPECT_THAT(put.text(), testing::Not(HasSubstr("wrong word")));
  World nobody;
  switch_authentication_on(nobody);
  EXPECT_THAT(Put(nobody).text(), HasSubstr("etcdserver: user name is empty"));
}

// ---- what the end of a call says

TEST(Outcome, OnlyWhatTheServerRefusedIsCertainAfterSending) {
  struct Case {
    GrpcStatus status;
    Code read;
    Code sent_change;
    Code unsent_change;
  };
  const std::vector<Case> cases = {
      {{GrpcCode::unavailable, "etcdserver: no leader"},
       Code::unavailable,
       Code::unavailable,
       Code::unavailable},
      {{GrpcCode::unavailable, "etcdserver: leader changed"},
       Code::unavailable,
       Code::unknown_outcome,
       Code::unavailable},
      {{GrpcCode::unavailable, "etcdserver: request timed out"},
       Code::unavailable,
       Code::unknown_outcome,
       Code::unavailable},
      {{GrpcCode::unavailable, "connection lost"},
       Code::unavailable,
       Code::unknown_outcome,
       Code::unavailable},
      {{GrpcCode::deadline_exceeded, ""},
       Code::deadline_exceeded,
       Code::unknown_outcome,
       Code::deadline_exceeded},
      {{GrpcCode::cancelled, ""}, Code::cancelled, Code::unknown_outcome, Code::cancelled},
      {{GrpcCode::internal, "?"}, Code::internal, Code::unknown_outcome, Code::internal},
      {{GrpcCode::unknown, "?"}, Code::internal, Code::unknown_outcome, Code::internal},
      {{GrpcCode::resource_exhausted, "etcdserver: mvcc: database space exceeded"},
       Code::resource_exhausted,
       Code::resource_exhausted,
       Code::resource_exhausted},
      {{GrpcCode::resource_exhausted, "the answer is larger than allowed"},
       Code::resource_exhausted,
       Code::unknown_outcome,
       Code::resource_exhausted},
      {{GrpcCode::invalid_argument, "x"},
       Code::invalid_argument,
       Code::invalid_argument,
       Code::invalid_argument},
      {{GrpcCode::not_found, "x"}, Code::not_found, Code::not_found, Code::not_found},
      {{GrpcCode::failed_precondition, "x"},
       Code::failed_precondition,
       Code::failed_precondition,
       Code::failed_precondition},
      {{GrpcCode::out_of_range, "x"}, Code::out_of_range, Code::out_of_range, Code::out_of_range},
      {{GrpcCode::permission_denied, "x"},
       Code::permission_denied,
       Code::permission_denied,
       Code::permission_denied},
      {{GrpcCode::unauthenticated, "x"}, Code::unauthenticated, Code::unauthenticated, Code::unauthenticated},
      {{GrpcCode::data_loss, "x"}, Code::corruption, Code::corruption, Code::corruption},
      {{GrpcCode::unimplemented, "x"}, Code::unimplemented, Code::unimplemented, Code::unimplemented},
  };
  for (const auto& [status, read, sent_change, unsent_change] : cases) {
    EXPECT_EQ(remote::to_status(status, remote::Effect::none, true).code(), read) << status.message;
    EXPECT_EQ(remote::to_status(status, remote::Effect::mutation, true).code(), sent_change)
        << status.message;
    EXPECT_EQ(remote::to_status(status, remote::Effect::mutation, false).code(), unsent_change)
        << status.message;
  }
}

}  // namespace
}  // namespace lockstep::remote_test
