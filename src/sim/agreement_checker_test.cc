#include "sim/agreement_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/history_builder.h"

namespace lockstep::sim {
namespace {

using ::testing::HasSubstr;

std::string first(const Violations& violations) {
  return violations.empty() ? "" : violations.front().text;
}

TEST(AgreementChecker, OneLeaderATerm) {
  History history;
  history.leaders = {{Term(1), NodeId(1), 0}, {Term(2), NodeId(2), 0}, {Term(1), NodeId(1), 0}};
  EXPECT_EQ(first(AgreementChecker().check(history)), "");
  history.leaders.push_back({Term(2), NodeId(3), 0});
  EXPECT_THAT(first(AgreementChecker().check(history)), HasSubstr("two leaders in term 2"));
}

TEST(AgreementChecker, OneEntryAnIndex) {
  for (const bool other_term : {true, false}) {
    History history;
    history.commits = {{NodeId(1), LogIndex(5), Term(2), 77}, {NodeId(2), LogIndex(5), Term(2), 77}};
    EXPECT_EQ(first(AgreementChecker().check(history)), "");
    history.commits.push_back({NodeId(3), LogIndex(5), Term(other_term ? 3 : 2), other_term ? 77u : 78u});
    EXPECT_THAT(first(AgreementChecker().check(history)), HasSubstr("different entries at index 5"));
  }
}

TEST(AgreementChecker, OneDigestAnIndex) {
  History history;
  history.digests = {
      {NodeId(1), LogIndex(5), 77}, {NodeId(2), LogIndex(5), 77}, {NodeId(2), LogIndex(6), 78}};
  EXPECT_EQ(first(AgreementChecker().check(history)), "");
  history.digests.push_back({NodeId(1), LogIndex(6), 79});
  EXPECT_THAT(first(AgreementChecker().check(history)), HasSubstr("differ in state after index 6"));
}

TEST(EffectChecker, AnOperationTakesEffectOnce) {
  HistoryBuilder h;
  h.effect_put(2, "a", "7:x").effect_put(2, "b", "7:y").effect_put(3, "a", "8:x");
  EXPECT_EQ(first(EffectChecker().check(h.history)), "") << "two keys of one transaction are one effect";
  h.effect_put(4, "a", "7:x");
  EXPECT_THAT(first(EffectChecker().check(h.history)),
              HasSubstr("operation #7 took effect at revision 2 and again at 4"));
}

TEST(SumChecker, MoneyIsNeitherMadeNorLost) {
  HistoryBuilder h;
  h.effect_put(2, "bank/1", "1:50").effect_put(2, "bank/2", "1:50");
  h.effect_put(3, "bank/1", "2:40").effect_put(3, "bank/2", "2:60");
  const SumChecker checker("bank/", 2, 100);
  EXPECT_EQ(first(checker.check(h.history)), "");
  HistoryBuilder torn = h;
  torn.effect_put(4, "bank/1", "3:30");
  EXPECT_THAT(first(checker.check(torn.history)), HasSubstr("revision 4 makes the accounts' sum 90"));
}

TEST(SumChecker, AnAnswerThatMixesTwoRevisionsIsFound) {
  HistoryBuilder h;
  h.effect_put(2, "bank/1", "1:50").effect_put(2, "bank/2", "1:50");
  Operation& read = h.get(
      3, 10, 20, "bank/",
      {HistoryBuilder::kv("bank/1", "1:50", 2, 2, 1), HistoryBuilder::kv("bank/2", "2:60", 2, 3, 2)}, 3);
  std::get<store::RangeRequest>(read.request).range_end = "bank0";
  EXPECT_THAT(first(SumChecker("bank/", 2, 100).check(h.history)), HasSubstr("an answer shows the sum 110"));
}

}  // namespace
}  // namespace lockstep::sim
