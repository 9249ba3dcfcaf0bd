// History that compacts itself, in time that is moved by hand.
#include "service/compaction/auto_compaction.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "service/testing/unruly_store.h"
#include "service/testing/watched_store.h"
#include "store/awaitable.h"
#include "store/errors.h"

namespace lockstep::service {
namespace {

using testing::ProcessClock;
using testing::Running;
using testing::SeededRandom;
using testing::WatchedStore;

class AutoCompactionTest : public ::testing::Test {
 protected:
  ~AutoCompactionTest() override {
    compaction.reset();
    advance(1s);
  }
  void begin(std::string_view mode, std::string_view retention) {
    compaction = std::make_unique<AutoCompaction>(context, parse_compaction_rule(mode, retention).value(),
                                                  [this] { return leads; });
  }
  void advance(Duration by, Duration step = 1s) {
    for (Duration gone{}; gone < by; gone += step) {
      store.strand.advance(step);
      store.strand.run();
    }
  }
  Revision put() {
    store::PutRequest request;
    request.key = "k";
    Running<Result<store::PutResponse>> done(store::awaitable::put(store, request));
    return done.result()->header.revision;
  }
  bool readable(Revision revision) {
    store::RangeRequest request;
    request.key = "k";
    request.revision = revision;
    Running<Result<store::RangeResponse>> read(store::awaitable::range(store, request));
    return read.result().ok();
  }

  WatchedStore store;
  SeededRandom random;
  ProcessClock clock{store.strand};
  Context context{store, store.strand, clock, random};
  bool leads = true;
  std::unique_ptr<AutoCompaction> compaction;
};

TEST_F(AutoCompactionTest, WhatIsOlderThanTheRetentionGoesAndNothingElse) {
  const Revision before = put();
  const Revision old = put();
  begin("periodic", "10m");
  advance(60s);  // the first look
  const Revision young = put();
  advance(600s - 1s);
  EXPECT_TRUE(readable(before)) << "ten minutes since the first look are not over";
  advance(2s);
  EXPECT_FALSE(readable(before));
  EXPECT_TRUE(readable(old)) << "it was current ten minutes ago";
  EXPECT_TRUE(readable(young));
  const Revision last = put();
  advance(1300s);
  EXPECT_FALSE(readable(young));
  EXPECT_TRUE(readable(last)) << "what is current stays";
}

TEST_F(AutoCompactionTest, OnlyWhoeverLeadsCompactsAndRemembersWhatItSawBefore) {
  leads = false;
  begin("periodic", "1");
  const Revision first = put();
  put();
  advance(3 * 3600s, 10s);
  EXPECT_TRUE(readable(first));
  leads = true;
  advance(400s, 10s);
  EXPECT_FALSE(readable(first)) << "at the next look, not an hour later";
}

TEST_F(AutoCompactionTest, TheLastRevisionsStay) {
  begin("revision", "100");
  std::vector<Revision> put_revisions;
  for (int i = 0; i < 150; ++i) put_revisions.push_back(put());
  advance(301s);
  EXPECT_FALSE(readable(put_revisions[48]));
  EXPECT_TRUE(readable(put_revisions[50]));
  advance(3000s, 10s);
  EXPECT_TRUE(readable(put_revisions[50])) << "nothing is written, nothing goes";
}

TEST_F(AutoCompactionTest, ZeroIsOff) {
  begin("periodic", "0");
  const Revision first = put();
  put();
  advance(100 * 3600s, 3600s);
  EXPECT_TRUE(readable(first));
  EXPECT_EQ(compaction->compacted(), Revision());
}

TEST(CompactionRule, IsReadAsEtcdReadsIt) {
  EXPECT_EQ(parse_compaction_rule("periodic", "1")->age, 3600s);
  EXPECT_EQ(parse_compaction_rule("periodic", "10m")->age, 600s);
  EXPECT_EQ(parse_compaction_rule("revision", "1000")->revisions, 1000);
  EXPECT_TRUE(parse_compaction_rule("periodic", "0")->off());
  EXPECT_TRUE(parse_compaction_rule("revision", "0")->off());
  for (const auto& [mode, retention] :
       std::vector<std::pair<std::string, std::string>>{{"always", "1"},
                                                        {"revision", "1h"},
                                                        {"periodic", "soon"},
                                                        {"periodic", "-1h"},
                                                        {"periodic", "999999999999"},
                                                        {"periodic", "10ms"},
                                                        {"periodic", ""},
                                                        {"revision", ""}})
    EXPECT_EQ(parse_compaction_rule(mode, retention).status().code(), Code::invalid_argument)
        << mode << retention;
}

}  // namespace
}  // namespace lockstep::service
