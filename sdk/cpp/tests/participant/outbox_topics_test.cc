// Rows of an outbox on SQLite, relayed into topics of the embedded cluster.
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lockstep/lockstep.h>
#include <lockstep/outbox_topics.h>
#include <lockstep/testing.h>

#include "testing_bank.h"

namespace {

using namespace lockstep::testing_databases;
using namespace std::chrono_literals;
using lockstep::Outbox;
using lockstep::OutboxRelay;
using lockstep::SqlDialect;
using lockstep::TopicOptions;
using lockstep::testing::Cluster;
using lockstep::testing::Fault;
using lockstep::testing::StoreCall;

class OutboxToTopics : public testing::Test {
 protected:
  OutboxToTopics() {
    Outbox::create_table(*bank_.sessions().take());
    cluster_.jump_while_waiting();
    relay_.retry_after(0ms, 0ms).attempts_max(2);
  }
  void add(const std::string& topic, const std::string& key, const std::string& payload) {
    Outbox::add(*bank_.sessions().take(), topic, key, payload);
  }
  void create() { client_.topic("orders").create(TopicOptions().partitions(1)).wait().value(); }
  std::vector<std::string> published() {
    std::vector<std::string> texts;
    for (const auto& each : client_.topic("orders").read({0, 0}, 256).wait().value())
      texts.push_back(each.payload() + " " + each.identity());
    return texts;
  }
  std::int64_t left() { return bank_.number("SELECT COUNT(*) FROM lockstep_outbox"); }

  Bank bank_{SqlDialect::sqlite};
  Cluster cluster_;
  lockstep::Client client_ = cluster_.client();
  OutboxRelay relay_{bank_.sessions(), lockstep::publish_to_topics(client_, "/shop")};
};

using Texts = std::vector<std::string>;

TEST_F(OutboxToTopics, EachRowIsAnEventOfItsOwn) {
  create();
  add("orders", "a", "1");
  add("orders", "b", "2");
  add("orders", "a", "3");
  EXPECT_EQ(relay_.run_once().published, 3);
  EXPECT_EQ(published(), (Texts{"1 /shop 1", "2 /shop 2", "3 /shop 3"}));
  EXPECT_EQ(left(), 0);
}

TEST_F(OutboxToTopics, WhatIsTooLargeHoldsBackItsKeyOnlyAndIsADeadRow) {
  create();
  add("orders", "a", std::string(300 * 1024, 'x'));
  add("orders", "a", "2");
  add("orders", "b", "3");
  EXPECT_EQ(relay_.run_once().published, 1);
  EXPECT_EQ(published(), (Texts{"3 /shop 3"}));
  EXPECT_EQ(relay_.run_once().died, 1);
  EXPECT_EQ(relay_.run_once().published, 1);
  EXPECT_EQ(published(), (Texts{"3 /shop 3", "2 /shop 2"}));
  EXPECT_NE(Outbox::dead(*bank_.sessions().take()).at(0).reason.find("invalid_argument"), std::string::npos);
}

TEST_F(OutboxToTopics, ATopicThatIsMissingStopsNoOther) {
  create();
  add("none", "a", "1");
  add("orders", "a", "2");
  const auto turn = relay_.run_once();
  EXPECT_EQ(turn.published, 1);
  EXPECT_EQ(turn.failed, 1);
  EXPECT_EQ(published(), (Texts{"2 /shop 2"}));
}

TEST_F(OutboxToTopics, WhileNobodyIsThereNothingIsCounted) {
  create();
  add("orders", "a", "1");
  cluster_.set_faults(client_, [](const StoreCall&) { return Fault::refused; });
  for (int i = 0; i < 5; ++i) EXPECT_THROW(relay_.run_once(), std::runtime_error);
  cluster_.set_faults(client_, {});
  EXPECT_EQ(relay_.run_once().published, 1);
  EXPECT_EQ(bank_.number("SELECT COUNT(*) FROM lockstep_outbox_dead"), 0);
}

TEST_F(OutboxToTopics, ManyRowsKeepTheirOrder) {
  create();
  Texts expected;
  for (int i = 1; i <= 250; ++i) {
    add("orders", "k", std::to_string(i) + std::string(4096, 'x'));  // more than one call takes
    expected.push_back(std::to_string(i) + std::string(4096, 'x') + " /shop " + std::to_string(i));
  }
  EXPECT_EQ(relay_.run_once().published, 250);
  EXPECT_EQ(published(), expected);
}

}  // namespace
