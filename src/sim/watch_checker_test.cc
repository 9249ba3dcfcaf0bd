#include "sim/watch_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/history_builder.h"

namespace lockstep::sim {
namespace {

using ::testing::HasSubstr;

store::Event put_event(std::string key, std::string value, std::int64_t create, std::int64_t mod,
                       std::int64_t version) {
  store::Event event;
  event.kv = HistoryBuilder::kv(std::move(key), std::move(value), create, mod, version);
  return event;
}
store::Event remove_event(std::string key, std::int64_t mod) {
  store::Event event;
  event.kind = store::EventKind::remove;
  event.kv.key = std::move(key);
  event.kv.mod_revision = Revision(mod);
  return event;
}
store::WatchResponse answer(std::int64_t bookmark, std::vector<store::Event> events) {
  store::WatchResponse response;
  response.header.revision = Revision(bookmark);
  response.events = std::move(events);
  return response;
}

// 2: a/x=1, 3: b=2, 4: a/x=3 and a/y=3, 5: a/x removed.
struct Scene {
  Scene() {
    h.effect_put(2, "a/x", "1:v").effect_put(3, "b", "2:v");
    h.effect_put(4, "a/x", "3:v").effect_put(4, "a/y", "3:v").effect_remove(5, "a/x");
    for (const RevisionEffects& effects : h.history.effects) {
      store::TxnRequest txn;
      for (const store::Event& event : effects.events) {
        if (event.kind == store::EventKind::put) {
          store::PutRequest put;
          put.key = event.kv.key;
          put.value = event.kv.value;
          txn.success.push_back({put});
        } else {
          store::DeleteRangeRequest remove;
          remove.key = event.kv.key;
          txn.success.push_back({remove});
        }
      }
      model.apply(txn);
    }
  }
  // A watcher on the prefix a/ from revision 2.
  WatchRecord& watch(std::uint64_t watcher = 1, std::int64_t start = 2) {
    WatchRecord record;
    record.watcher = watcher;
    record.member = NodeId(1);
    record.request.key = "a/";
    record.request.range_end = "a0";
    record.request.start_revision = Revision(start);
    h.history.watches.push_back(record);
    return h.history.watches.back();
  }
  std::string verdict() {
    WatchChecker checker(model);
    const Violations violations = checker.check(h.history);
    return violations.empty() ? "" : violations.front().text;
  }
  static store::Event at2() { return put_event("a/x", "1:v", 2, 2, 1); }
  static store::Event x_at4() { return put_event("a/x", "3:v", 2, 4, 2); }
  static store::Event y_at4() { return put_event("a/y", "3:v", 4, 4, 1); }
  static store::Event at5() { return remove_event("a/x", 5); }

  HistoryBuilder h;
  ModelStore model;
};

TEST(WatchChecker, ACorrectStreamIsFine) {
  Scene s;
  s.watch().responses = {answer(3, {Scene::at2()}), answer(5, {Scene::x_at4(), Scene::y_at4(), Scene::at5()}),
                         answer(5, {})};
  EXPECT_EQ(s.verdict(), "");
}

TEST(WatchChecker, NothingAfterTheLastBookmarkIsOwed) {
  Scene s;
  s.watch().responses = {answer(2, {Scene::at2()})};
  EXPECT_EQ(s.verdict(), "");
}

TEST(WatchChecker, ADroppedEventIsFound) {
  Scene s;
  s.watch().responses = {answer(5, {Scene::at2(), Scene::x_at4(), Scene::y_at4()})};
  EXPECT_THAT(s.verdict(), HasSubstr("not delivered"));
}

TEST(WatchChecker, AFalseBookmarkIsFound) {
  Scene s;
  s.watch().responses = {answer(3, {Scene::at2()}), answer(4, {}),
                         answer(5, {Scene::x_at4(), Scene::y_at4(), Scene::at5()})};
  EXPECT_THAT(s.verdict(), HasSubstr("not delivered, although the bookmark says 4"));
}

TEST(WatchChecker, ABookmarkThatGoesBackOrTooFarIsFound) {
  Scene back;
  back.watch().responses = {answer(3, {Scene::at2()}), answer(2, {})};
  EXPECT_THAT(back.verdict(), HasSubstr("went back"));
  Scene far;
  far.watch().responses = {answer(9, {Scene::at2()})};
  EXPECT_THAT(far.verdict(), HasSubstr("above every revision"));
}

TEST(WatchChecker, ARepeatedEventIsFound) {
  Scene s;
  s.watch().responses = {answer(2, {Scene::at2()}), answer(3, {Scene::at2()})};
  EXPECT_THAT(s.verdict(), HasSubstr("delivered before"));
  Scene twice;
  twice.watch().responses = {answer(3, {Scene::at2(), Scene::at2()})};
  EXPECT_THAT(twice.verdict(), HasSubstr("delivered twice"));
}

TEST(WatchChecker, DisorderIsFound) {
  Scene s;
  s.watch().responses = {answer(4, {Scene::x_at4(), Scene::y_at4(), Scene::at2()})};
  EXPECT_THAT(s.verdict(), HasSubstr("out of order"));
}

TEST(WatchChecker, ARevisionSplitOverAnswersIsFoundUnlessFragmentsWereAskedFor) {
  Scene split;
  split.watch().responses = {answer(4, {Scene::at2(), Scene::x_at4()}),
                             answer(5, {Scene::y_at4(), Scene::at5()})};
  EXPECT_THAT(split.verdict(), HasSubstr("not delivered"));
  for (const bool asked : {true, false}) {
    Scene fragments;
    WatchRecord& watch = fragments.watch();
    watch.request.fragment = asked;
    watch.responses = {answer(4, {Scene::at2(), Scene::x_at4()}), answer(4, {Scene::y_at4()})};
    watch.responses[0].fragment = true;
    EXPECT_THAT(fragments.verdict(), HasSubstr(asked ? "" : "nobody asked for"));
    EXPECT_EQ(fragments.verdict().empty(), asked);
  }
}

TEST(WatchChecker, ResumingLeavesNoHole) {
  Scene fine;
  fine.watch(1, 2).responses = {answer(3, {Scene::at2()})};
  fine.watch(1, 4).responses = {answer(5, {Scene::x_at4(), Scene::y_at4(), Scene::at5()})};
  EXPECT_EQ(fine.verdict(), "");
  Scene hole;
  hole.watch(1, 2).responses = {answer(3, {Scene::at2()})};
  hole.watch(1, 4).responses = {answer(5, {Scene::at5()})};
  EXPECT_THAT(hole.verdict(), HasSubstr("not delivered"));
  Scene wrong;
  wrong.watch(1, 2).responses = {answer(3, {Scene::at2()})};
  wrong.watch(1, 5).responses = {answer(5, {Scene::at5()})};
  EXPECT_THAT(wrong.verdict(), HasSubstr("workload"));
}

TEST(WatchChecker, WrongFieldsAreFound) {
  for (const char* what : {"value", "version", "create", "lease", "kind"}) {
    Scene s;
    store::Event event = Scene::at2();
    if (std::string(what) == "value") event.kv.value = "9:z";
    if (std::string(what) == "version") event.kv.version = 2;
    if (std::string(what) == "create") event.kv.create_revision = Revision(1);
    if (std::string(what) == "lease") event.kv.lease = LeaseId(4);
    if (std::string(what) == "kind") event.kind = store::EventKind::remove;
    s.watch().responses = {answer(3, {event})};
    EXPECT_THAT(s.verdict(), HasSubstr("never happened like this")) << what;
  }
}

TEST(WatchChecker, PreviousValuesAreCompared) {
  for (const bool right : {true, false}) {
    Scene s;
    WatchRecord& watch = s.watch(1, 5);
    watch.request.prev_kv = true;
    store::Event event = Scene::at5();
    event.prev_kv = Scene::x_at4().kv;
    if (!right) event.prev_kv->value = "1:v";
    watch.responses = {answer(5, {event})};
    EXPECT_THAT(s.verdict(), HasSubstr(right ? "" : "wrong previous value"));
    EXPECT_EQ(s.verdict().empty(), right);
  }
  Scene missing;
  WatchRecord& watch = missing.watch(1, 5);
  watch.request.prev_kv = true;
  watch.responses = {answer(5, {Scene::at5()})};
  EXPECT_THAT(missing.verdict(), HasSubstr("wrong previous value"));
}

TEST(WatchChecker, FiltersAreKept) {
  Scene fine;
  WatchRecord& watch = fine.watch();
  watch.request.no_put = true;
  watch.responses = {answer(5, {Scene::at5()})};
  EXPECT_EQ(fine.verdict(), "");
  Scene leaky;
  WatchRecord& other = leaky.watch();
  other.request.no_delete = true;
  other.responses = {answer(5, {Scene::at2(), Scene::x_at4(), Scene::y_at4(), Scene::at5()})};
  EXPECT_THAT(leaky.verdict(), HasSubstr("not asked for"));
  Scene outside;
  outside.watch().responses = {answer(3, {Scene::at2(), put_event("b", "2:v", 3, 3, 1)})};
  EXPECT_THAT(outside.verdict(), HasSubstr("not asked for"));
}

TEST(WatchChecker, CompactionMayCancelOnlyWhatIsNotDelivered) {
  Scene fine;
  fine.watch().responses = {answer(0, {})};
  fine.h.history.watches[0].responses[0].canceled = true;
  fine.h.history.watches[0].responses[0].compact_revision = Revision(4);
  EXPECT_EQ(fine.verdict(), "");
  Scene bad;
  bad.watch().responses = {answer(4, {Scene::at2(), Scene::x_at4(), Scene::y_at4()}), answer(0, {})};
  bad.h.history.watches[0].responses[1].canceled = true;
  bad.h.history.watches[0].responses[1].compact_revision = Revision(4);
  EXPECT_THAT(bad.verdict(), HasSubstr("cancelled for compaction"));
}

}  // namespace
}  // namespace lockstep::sim
