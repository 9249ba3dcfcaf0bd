// Transactions as a program begins and decides them, in the embedded cluster: nobody coordinates there, so
// what is to be called stays to be called.
#include <chrono>
#include <optional>
#include <string>

#include <gtest/gtest.h>
#include <lockstep/lockstep.h>
#include <lockstep/testing.h>

#include "testing_world.h"

namespace {

using namespace std::chrono_literals;
using lockstep::CallOptions;
using lockstep::Client;
using lockstep::Code;
using lockstep::OpenTransaction;
using lockstep::TransactionState;
using lockstep::sdk_test::Capability;
using lockstep::sdk_test::World;
using lockstep::testing::Fault;
using lockstep::testing::StoreCall;

class SdkTransaction : public testing::Test {
 protected:
  TransactionState state_of(const std::string& gid) {
    return two_.transaction(gid).show().wait().value().state;
  }
  World world_;
  Client one_ = world_.client();
  Client two_ = world_.client();
};

const lockstep::TccBranch stock = {"http://stock/confirm", "http://stock/cancel", R"({"sku": 7})"};

TEST_F(SdkTransaction, ASagaIsBegunOnce) {
  const auto saga = [&](const std::string& action) {
    return two_.saga("s")
        .step("stock", action, "http://stock/release", R"({"n": 1})")
        .timeout(10min)
        .submit()
        .wait();
  };
  EXPECT_EQ(saga("http://stock/reserve").value().state, TransactionState::submitted);
  EXPECT_EQ(saga("http://stock/reserve").value().gid, "s");
  EXPECT_EQ(saga("http://other/reserve").code(), Code::already_exists);
  EXPECT_EQ(saga("no address").code(), Code::invalid_argument);
  EXPECT_EQ(saga("http://\xff/").code(), Code::invalid_argument);
  EXPECT_EQ(one_.saga().definition("{").submit().wait().code(), Code::invalid_argument);
  EXPECT_EQ(one_.transaction("none").show().wait().code(), Code::not_found);
}

TEST_F(SdkTransaction, ADefinitionHasItsInputAndServices) {
  const std::string states =
      R"({"Name":"S","StartState":"A","States":{"A":{"Type":"ServiceTask","ServiceName":"a",
      "ServiceMethod":"do","CompensateState":"U","Next":"E"},"U":{"Type":"ServiceTask","ServiceName":"a",
      "ServiceMethod":"undo","IsForCompensation":true},"E":{"Type":"Succeed"}}})";
  EXPECT_EQ(one_.saga("d").definition(states).submit().wait().code(), Code::invalid_argument)
      << "where is a?";
  EXPECT_TRUE(one_.saga("d")
                  .definition(states)
                  .service("a", "http://a")
                  .input(R"({"n":1})")
                  .submit()
                  .wait()
                  .is_done());
}

TEST_F(SdkTransaction, AnOwnerRegistersTriesAndDecides) {
  const OpenTransaction order = one_.tcc("order").timeout(1min).begin().wait().value();
  bool known = false;
  EXPECT_TRUE(order.try_branch("stock", stock, [&] {
    known = order.branch("stock", stock).wait().is_done();  // the same one again
    return true;
  }));
  EXPECT_TRUE(known) << "registered before it is tried";
  EXPECT_EQ(order.branch("stock", {"http://a/", "http://b/", ""}).wait().code(), Code::already_exists);
  EXPECT_EQ(order.commit().wait().value().state, TransactionState::committing);
  EXPECT_TRUE(order.commit().wait().is_done());
  EXPECT_EQ(order.abort().wait().code(), Code::failed_precondition);
  EXPECT_FALSE(order.try_branch("late", stock, [] { return true; }));
}

TEST_F(SdkTransaction, TheCoordinatorTriesWhatHasAnAddressToTry) {
  const auto tcc = [&](const char* address) {
    return one_.tcc("t")
        .branch("stock", address, stock)
        .branch("order", "http://order/try", {"http://order/confirm", "http://order/cancel", ""})
        .retry(lockstep::RetryRule().timeout(2s).interval(100ms, 1s).attempts_max(5).attempts_alarm(3))
        .timeout(1min);
  };
  EXPECT_EQ(tcc("http://stock/try").submit().wait().value().state, TransactionState::submitted);
  EXPECT_EQ(tcc("http://stock/try").submit().wait().value().gid, "t") << "once";
  EXPECT_EQ(tcc("http://other/try").submit().wait().code(), Code::already_exists);
  EXPECT_EQ(tcc("http://stock/try").begin().wait().code(), Code::invalid_argument) << "nobody to decide";
  EXPECT_EQ(one_.tcc("u").submit().wait().code(), Code::invalid_argument) << "nothing to try";
  EXPECT_EQ(one_.tcc("u").branch("a", "http://\xff/", stock).run().wait().code(), Code::invalid_argument);
}

TEST_F(SdkTransaction, ARuleOfRepetitionIsChecked) {
  const auto saga = [&](const lockstep::RetryRule& rule) {
    return one_.saga("r").step("a", "http://a/").retry(rule).submit().wait();
  };
  EXPECT_EQ(saga(lockstep::RetryRule().interval(1s, 10s, 0.5)).code(), Code::invalid_argument);
  EXPECT_EQ(saga(lockstep::RetryRule().interval(10s, 1s)).code(), Code::invalid_argument);
  EXPECT_TRUE(saga(lockstep::RetryRule().interval(100ms, 1s)).is_done());
}

TEST_F(SdkTransaction, WhatGoesOutOfScopeUndecidedIsAborted) {
  {
    const OpenTransaction order = one_.tcc("a").begin().wait().value();
  }
  EXPECT_EQ(two_.transaction("a").wait(CallOptions().timeout(10s)).wait().value().state,
            TransactionState::aborted);
  {
    one_.tcc("b").begin().wait().value().leave();
  }
  EXPECT_EQ(state_of("b"), TransactionState::trying);
  // Moved: one owner.
  std::optional<OpenTransaction> kept;
  {
    OpenTransaction order = one_.tcc("c").begin().wait().value();
    kept.emplace(std::move(order));
  }
  EXPECT_EQ(state_of("c"), TransactionState::trying);
}

TEST_F(SdkTransaction, AMessageIsItsChecksToDecideIfItsSenderDoesNot) {
  const auto prepare = [&](const std::string& gid) {
    return one_.transactional_message(gid, "http://orders/check")
        .deliver_to("http://mail/", "{}")
        .check_after(1min)
        .prepare();
  };
  {
    const OpenTransaction message = prepare("m").wait().value();
  }
  EXPECT_EQ(state_of("m"), TransactionState::trying);
  const OpenTransaction message = prepare("n").wait().value();
  EXPECT_FALSE(message.commit().wait().value().is_finished());
  EXPECT_EQ(message.abort().wait().code(), Code::failed_precondition);
}

// Whoever does not know whether it was submitted submits again, and has one transaction.
TEST_F(SdkTransaction, ASubmitWhoseAnswerIsLostIsRepeated) {
  LOCKSTEP_NEEDS(Capability::faults);
  world_.jump_while_waiting();
  world_.set_faults(
      one_, [](const StoreCall& call) { return call.number == 1 ? Fault::answer_lost : Fault::none; });
  const auto saga = one_.saga("s").step("a", "http://a/").submit().wait();
  EXPECT_EQ(saga.value().state, TransactionState::submitted);
}

}  // namespace
