#include "sim/revision_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/history_builder.h"

namespace lockstep::sim {
namespace {

using ::testing::HasSubstr;

// Empty if the history is fine, else the first complaint.
std::string verdict(const History& history) {
  RevisionChecker checker;
  const Violations violations = checker.check(history);
  return violations.empty() ? "" : violations.front().text;
}

// put x=1:a (revision 2), put x=2:b (revision 3), one after the other.
HistoryBuilder two_writes() {
  HistoryBuilder h;
  h.put(1, 10, 20, "x", "1:a", 2);
  h.put(2, 30, 40, "x", "2:b", 3);
  h.effect_put(2, "x", "1:a").effect_put(3, "x", "2:b");
  return h;
}

TEST(RevisionChecker, ASimpleHistoryIsFine) {
  HistoryBuilder h = two_writes();
  h.get(3, 50, 60, "x", {HistoryBuilder::kv("x", "2:b", 2, 3, 2)}, 3);
  EXPECT_EQ(verdict(h.history), "");
}

TEST(RevisionChecker, AReadDuringAWriteMaySeeEitherSide) {
  HistoryBuilder before = two_writes();
  before.get(3, 31, 39, "x", {HistoryBuilder::kv("x", "1:a", 2, 2, 1)}, 2);
  EXPECT_EQ(verdict(before.history), "");
  HistoryBuilder after = two_writes();
  after.get(3, 31, 39, "x", {HistoryBuilder::kv("x", "2:b", 2, 3, 2)}, 3);
  EXPECT_EQ(verdict(after.history), "");
}

TEST(RevisionChecker, AStaleReadIsFound) {
  HistoryBuilder h = two_writes();
  h.get(3, 50, 60, "x", {HistoryBuilder::kv("x", "1:a", 2, 2, 1)}, 2);
  EXPECT_THAT(verdict(h.history), HasSubstr("real time is broken"));
}

TEST(RevisionChecker, TheSameStaleReadIsFineIfItWasSerializable) {
  HistoryBuilder h = two_writes();
  Operation& read = h.get(3, 50, 60, "x", {HistoryBuilder::kv("x", "1:a", 2, 2, 1)}, 2);
  std::get<store::RangeRequest>(read.request).serializable = true;
  EXPECT_EQ(verdict(h.history), "");
}

TEST(RevisionChecker, SerializableReadsOfOneMemberLifeMustNotGoBack) {
  for (const bool restarted : {false, true}) {
    HistoryBuilder h = two_writes();
    Operation& first = h.get(3, 50, 60, "x", {HistoryBuilder::kv("x", "2:b", 2, 3, 2)}, 3);
    std::get<store::RangeRequest>(first.request).serializable = true;
    first.client = 7;
    Operation& second = h.get(4, 70, 80, "x", {HistoryBuilder::kv("x", "1:a", 2, 2, 1)}, 2);
    std::get<store::RangeRequest>(second.request).serializable = true;
    second.client = 7;
    second.member_life = restarted ? 2 : 1;
    EXPECT_THAT(verdict(h.history), HasSubstr(restarted ? "" : "went back"));
    EXPECT_EQ(verdict(h.history).empty(), restarted);
  }
}

TEST(RevisionChecker, ALostAcknowledgedWriteIsFound) {
  HistoryBuilder h;
  h.put(1, 10, 20, "x", "1:a", 2);
  h.put(2, 30, 40, "y", "2:b", 3);
  h.effect_put(2, "x", "1:a");
  EXPECT_THAT(verdict(h.history), HasSubstr("no replica has its revision"));
}

TEST(RevisionChecker, AWriteReplacedByAnotherIsFound) {
  HistoryBuilder h;
  h.put(1, 10, 20, "x", "1:a", 2);
  h.put(2, 15, 40, "x", "2:b", 3);
  h.effect_put(2, "x", "2:b").effect_put(3, "x", "2:b");
  EXPECT_THAT(verdict(h.history), HasSubstr("does not hold what its operation should have written"));
}

TEST(RevisionChecker, TwoAnswersWithOneRevisionAreFound) {
  HistoryBuilder h;
  h.put(1, 10, 20, "x", "1:a", 2);
  h.put(2, 10, 20, "x", "2:b", 2);
  h.effect_put(2, "x", "1:a");
  EXPECT_THAT(verdict(h.history), HasSubstr("two operations were answered with one revision"));
}

TEST(RevisionChecker, AWriteThatWasAnsweredBelowAnEarlierOneIsFound) {
  HistoryBuilder h;
  h.put(1, 10, 20, "x", "1:a", 3);
  h.put(2, 30, 40, "y", "2:b", 2);
  h.effect_put(2, "y", "2:b").effect_put(3, "x", "1:a");
  EXPECT_THAT(verdict(h.history), HasSubstr("real time is broken"));
}

TEST(RevisionChecker, AnUnknownOutcomeMayHaveHappenedLateOrNever) {
  HistoryBuilder never = two_writes();
  never.put(3, 15, never_ns, "x", "3:c", 0);
  EXPECT_EQ(verdict(never.history), "");
  HistoryBuilder late = two_writes();
  late.put(3, 15, never_ns, "x", "3:c", 0);
  late.effect_put(4, "x", "3:c");
  EXPECT_EQ(verdict(late.history), "");
  HistoryBuilder removal = two_writes();
  removal.remove(3, 15, never_ns, "x", 0, 0);
  removal.effect_remove(4, "x");
  EXPECT_EQ(verdict(removal.history), "");
}

TEST(RevisionChecker, AnUnknownWriteCannotHappenBeforeItWasInvoked) {
  HistoryBuilder h;
  h.put(1, 10, 20, "x", "1:a", 3);
  h.put(2, 30, never_ns, "x", "2:b", 0);
  h.effect_put(2, "x", "2:b").effect_put(3, "x", "1:a");
  EXPECT_THAT(verdict(h.history), HasSubstr("real time is broken"));
}

// Both unknown removals would explain revision 3, only the first one revision 5: it was taken too early.
TEST(RevisionChecker, UnknownOutcomesThatAreAlikeAreToldApartByWhatFollows) {
  HistoryBuilder h;
  h.put(1, 10, 20, "x", "1:a", 2);
  store::DeleteRangeRequest range;
  range.key = "x";
  range.range_end = "z";
  h.add(2, 21, never_ns, range);
  h.remove(3, 21, never_ns, "x", 0, 0);
  h.put(4, 40, 50, "y", "4:b", 4);
  h.effect_put(2, "x", "1:a").effect_remove(3, "x").effect_put(4, "y", "4:b").effect_remove(5, "y");
  EXPECT_EQ(verdict(h.history), "");
  // There are only so many.
  h.put(6, 60, 70, "x", "6:c", 6);
  h.effect_put(6, "x", "6:c").effect_remove(7, "x");
  EXPECT_THAT(verdict(h.history), HasSubstr("nobody asked"));
}

TEST(RevisionChecker, AnUnknownWriteDidNotHappenBelowWhatHadReturned) {
  HistoryBuilder h;
  h.put(1, 10, 20, "x", "1:a", 2);
  h.put(2, 30, 40, "y", "2:b", 4);
  h.remove(3, 50, never_ns, "x", 0, 0);
  h.effect_put(2, "x", "1:a").effect_remove(3, "x").effect_put(4, "y", "2:b");
  EXPECT_THAT(verdict(h.history), HasSubstr("nobody asked"));
}

TEST(RevisionChecker, AnEffectNobodyAskedForIsFound) {
  HistoryBuilder h = two_writes();
  h.effect_put(4, "x", "9:z");
  EXPECT_THAT(verdict(h.history), HasSubstr("nobody asked for it"));
}

TEST(RevisionChecker, ASecondEffectOfOneRequestIsFound) {
  HistoryBuilder h = two_writes();
  h.effect_put(4, "x", "2:b");
  EXPECT_THAT(verdict(h.history), HasSubstr("nobody asked for it"));
}

TEST(RevisionChecker, AFailedWriteMustNotHaveHappened) {
  HistoryBuilder fine = two_writes();
  fine.failed_put(3, 50, 60, "x", "3:c", Code::unavailable);
  EXPECT_EQ(verdict(fine.history), "");
  HistoryBuilder bad = two_writes();
  bad.failed_put(3, 50, 60, "x", "3:c", Code::unavailable);
  bad.effect_put(4, "x", "3:c");
  RevisionChecker checker;
  std::string all;
  for (const Violation& violation : checker.check(bad.history)) all += violation.text + "\n";
  EXPECT_THAT(all, HasSubstr("said not done, but was"));
}

TEST(RevisionChecker, AWrongVersionOrValueInAnAnswerIsFound) {
  HistoryBuilder h = two_writes();
  h.get(3, 50, 60, "x", {HistoryBuilder::kv("x", "2:b", 2, 3, 1)}, 3);
  EXPECT_THAT(verdict(h.history), HasSubstr("wrong answer"));
}

TEST(RevisionChecker, AWrongPreviousValueIsFound) {
  HistoryBuilder h = two_writes();
  std::get<store::PutRequest>(h.history.operations[1].request).prev_kv = true;
  std::get<store::PutResponse>(h.history.operations[1].response).prev_kv =
      HistoryBuilder::kv("x", "1:a", 2, 2, 1);
  EXPECT_EQ(verdict(h.history), "");
  std::get<store::PutResponse>(h.history.operations[1].response).prev_kv->value = "1:b";
  EXPECT_THAT(verdict(h.history), HasSubstr("wrong answer"));
}

store::TxnRequest swap_if(std::string key, std::string old_value, std::string new_value) {
  store::TxnRequest txn;
  store::Compare compare;
  compare.key = key;
  compare.target = store::CompareTarget::value;
  compare.value = std::move(old_value);
  txn.compare.push_back(compare);
  store::PutRequest put;
  put.key = key;
  put.value = std::move(new_value);
  txn.success.push_back({put});
  store::RangeRequest range;
  range.key = std::move(key);
  txn.failure.push_back({range});
  return txn;
}

TEST(RevisionChecker, ATransactionThatTookTheWrongBranchIsFound) {
  for (const bool right : {true, false}) {
    HistoryBuilder h = two_writes();
    Operation& operation = h.add(3, 50, 60, swap_if("x", right ? "2:b" : "1:a", "3:c"));
    store::TxnResponse response;
    response.header.revision = Revision(4);
    response.succeeded = true;
    response.responses.push_back({store::PutResponse{}});
    operation.response = response;
    h.effect_put(4, "x", "3:c");
    EXPECT_EQ(verdict(h.history).empty(), right) << verdict(h.history);
  }
}

TEST(RevisionChecker, ATransactionThatReadsIsPlacedLikeARead) {
  for (const bool stale : {false, true}) {
    HistoryBuilder h = two_writes();
    Operation& operation = h.add(3, 50, 60, swap_if("x", "no", "3:c"));
    store::TxnResponse response;
    response.header.revision = Revision(stale ? 2 : 3);
    store::RangeResponse nested;
    nested.count = 1;
    nested.kvs.push_back(stale ? HistoryBuilder::kv("x", "1:a", 2, 2, 1)
                               : HistoryBuilder::kv("x", "2:b", 2, 3, 2));
    response.responses.push_back({nested});
    operation.response = response;
    EXPECT_THAT(verdict(h.history), HasSubstr(stale ? "real time is broken" : ""));
    EXPECT_EQ(verdict(h.history).empty(), !stale);
  }
}

TEST(RevisionChecker, TheEndOfALeaseTakesAllItsKeysAtOnce) {
  HistoryBuilder h;
  for (const std::uint64_t number : {1, 2}) {
    Operation& put = h.put(number, 10, 20, number == 1 ? "a" : "b", std::to_string(number) + ":v",
                           static_cast<std::int64_t>(number) + 1);
    std::get<store::PutRequest>(put.request).lease = LeaseId(5);
  }
  h.effect_put(2, "a", "1:v", 5).effect_put(3, "b", "2:v", 5);
  HistoryBuilder partly = h;
  h.effect_remove(4, "a").effect_remove(4, "b");
  EXPECT_EQ(verdict(h.history), "");
  partly.effect_remove(4, "a");
  EXPECT_THAT(verdict(partly.history), HasSubstr("nobody asked for it"));
}

TEST(RevisionChecker, AHoleInTheEffectsIsFound) {
  HistoryBuilder h;
  h.put(1, 10, 20, "x", "1:a", 3);
  h.effect_put(3, "x", "1:a");
  EXPECT_THAT(verdict(h.history), HasSubstr("jump"));
}

TEST(RevisionChecker, AMemberThatEndedDifferentlyIsFound) {
  HistoryBuilder h = two_writes();
  FinalState state;
  state.member = NodeId(2);
  state.revision = Revision(3);
  state.kvs = {HistoryBuilder::kv("x", "2:b", 2, 3, 2)};
  h.history.final_states.push_back(state);
  EXPECT_EQ(verdict(h.history), "");
  h.history.final_states[0].kvs[0].version = 3;
  EXPECT_THAT(verdict(h.history), HasSubstr("member 2 ended"));
}

TEST(RevisionChecker, OutOfRangeNeedsACompactionOrTheFuture) {
  const auto read_at = [](HistoryBuilder& h, std::int64_t revision) {
    Operation& read = h.get(9, 50, 60, "x", {}, 0);
    std::get<store::RangeRequest>(read.request).revision = Revision(revision);
    read.outcome = Outcome::failed;
    read.code = Code::out_of_range;
    read.response = {};
  };
  HistoryBuilder future = two_writes();
  read_at(future, 9);
  EXPECT_EQ(verdict(future.history), "");
  HistoryBuilder bad = two_writes();
  read_at(bad, 2);
  EXPECT_THAT(verdict(bad.history), HasSubstr("yet out of range"));
  HistoryBuilder compacted = two_writes();
  store::CompactRequest compact;
  compact.revision = Revision(3);
  compacted.add(8, 41, 45, compact).response = store::CompactResponse{};
  read_at(compacted, 2);
  EXPECT_EQ(verdict(compacted.history), "");
}

}  // namespace
}  // namespace lockstep::sim
