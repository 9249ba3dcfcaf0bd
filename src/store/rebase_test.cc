// A snapshot's rows under new members: what stays, what goes, and what a raised revision means to readers.
#include "store/rebase.h"

#include <gtest/gtest.h>

#include "store/command.h"
#include "store/engine_history.h"
#include "store/persistence_rows.h"
#include "store/space.h"
#include "store/testing/machine.h"
#include "store/testing/persistent_member.h"

namespace lockstep::store::testing {
namespace {

using engine::Direction;
using engine::Table;

// A state machine over an engine of its own, as recovery makes it.
struct Loaded {
  explicit Loaded(engine::Engine& engine) : history(engine), machine({}, &history) {
    Result<Recovered> result = recover(engine, machine);
    status = result.status();
    if (result.ok()) recovered = *std::move(result);
  }
  // "key=value@created/modified/version lease" for each key of clients.
  std::string keys(std::int64_t at = 0) {
    const auto range =
        machine.range({.key = "\x01", .range_end = std::string("\0", 1), .revision = Revision(at)});
    if (!range.ok()) return range.status().to_string();
    std::string text;
    for (const KeyValue& kv : range->kvs)
      text += kv.key + "=" + kv.value + "@" + std::to_string(kv.create_revision.value()) + "/" +
              std::to_string(kv.mod_revision.value()) + "/" + std::to_string(kv.version) + "/" +
              std::to_string(kv.lease.value()) + " ";
    return text;
  }
  [[nodiscard]] bool put(const std::string& key, const std::string& value) {
    BatchBuilder batch;
    batch.start({.store_time_ms = machine.store_time_ms()});
    EXPECT_TRUE(batch.put({.key = key, .value = value}, {}));
    Answers answers;
    const Applied applied =
        machine.apply(machine.applied_index().next(), machine.applied_term(), batch.take(), &answers);
    EXPECT_TRUE(applied.fatal.ok()) << applied.fatal.to_string();
    return answers.results.front().ok();
  }
  EngineHistory history;
  StateMachine machine;
  Status status;
  Recovered recovered;
};

// A member with a little of everything: keys, a lease, removals, an alarm, history partly folded.
class RebaseTest : public ::testing::Test {
 protected:
  RebaseTest() : member_(options(), log_) {
    entry([](BatchBuilder& batch) { EXPECT_TRUE(batch.lease_grant({.ttl = 60s, .id = LeaseId(7)}, {})); });
    put("a", "1");                                                                             // 2
    put("b", "1", LeaseId(7));                                                                 // 3
    put("a", "2");                                                                             // 4
    put("gone", "x");                                                                          // 5
    entry([](BatchBuilder& batch) { EXPECT_TRUE(batch.delete_range({.key = "gone"}, {})); });  // 6
    entry([](BatchBuilder& batch) { EXPECT_TRUE(batch.compact({.revision = Revision(3)}, {})); });
    entry([](BatchBuilder& batch) {
      EXPECT_TRUE(
          batch.alarm({.action = AlarmAction::activate, .alarm = {NodeId(9), AlarmKind::no_space}}, {}));
    });
    settle();
  }

  static MemberOptions options() {
    MemberOptions options;
    options.persistence.fold_bytes = 60;  // some effects are folded, the last ones are not
    return options;
  }
  void entry(const std::function<void(BatchBuilder&)>& fill) {
    BatchBuilder batch;
    batch.start({.store_time_ms = 1000});
    fill(batch);
    log_.push_back(batch.take());
  }
  void put(const std::string& key, const std::string& value, LeaseId lease = {}) {
    entry([&](BatchBuilder& batch) {
      EXPECT_TRUE(batch.put({.key = key, .value = value, .lease = lease}, {}));
    });
  }
  void settle() {
    member_.replay();
    member_.persistence().set_configuration("old members");
    member_.persistence().request_flush();
    member_.settle();
    EXPECT_TRUE(member_.fatal().ok());
  }
  // Rebases what the member's engine holds.
  void rebase_by(std::int64_t revisions) {
    Recovered recovered;
    {
      Loaded before(member_.engine());
      ASSERT_TRUE(before.status.ok()) << before.status.to_string();
      recovered = std::move(before.recovered);
    }
    const Status status = rebase(member_.engine(), recovered,
                                 {.configuration = "new members",
                                  .revisions_raised = revisions,
                                  .remark = "remark",
                                  .token_key_of = [](std::string_view old_key) {
                                    std::string key(old_key);
                                    for (char& c : key) c = static_cast<char>(c - 'a' + 'A');
                                    return key;
                                  }});
    ASSERT_TRUE(status.ok()) << status.to_string();
  }
  std::size_t rows(Table table) {
    std::size_t count = 0;
    const auto view = member_.engine().view();
    for (const auto row = view->scan(table, "", "", Direction::forward); row->valid(); row->next()) ++count;
    return count;
  }

  Log log_;
  PersistentMember member_;
};

constexpr const char* keys_now = "a=2@2/4/2/0 b=1@3/3/1/7 ";

TEST_F(RebaseTest, WithoutARaiseOnlyMembersAndTheirAlarmsChange) {
  const std::string index = std::to_string(member_.machine().applied_index().value());
  rebase_by(0);
  Loaded after(member_.engine());
  ASSERT_TRUE(after.status.ok()) << after.status.to_string();
  EXPECT_EQ(after.recovered.configuration, "new members");
  EXPECT_EQ(std::to_string(after.machine.applied_index().value()), index);
  EXPECT_EQ(after.machine.revision(), Revision(6));
  EXPECT_EQ(after.machine.compacted_revision(), Revision(3));
  EXPECT_EQ(after.keys(), keys_now);
  EXPECT_EQ(after.keys(3), "a=1@2/2/1/0 b=1@3/3/1/7 ") << "history stays readable";
  EXPECT_TRUE(after.machine.alarms(AlarmKind::none).empty());
  EXPECT_EQ(after.machine.lease_leases().leases.size(), 1U);
  EXPECT_TRUE(after.put("c", "new"));
  EXPECT_EQ(after.machine.revision(), Revision(7));
}

TEST_F(RebaseTest, ARaisedRevisionIsCompactedUpToItself) {
  rebase_by(1000);
  Loaded after(member_.engine());
  ASSERT_TRUE(after.status.ok()) << after.status.to_string();
  EXPECT_EQ(after.machine.revision(), Revision(1006));
  EXPECT_EQ(after.machine.compacted_revision(), Revision(1006));
  EXPECT_EQ(after.keys(), keys_now) << "keys keep their revisions";
  for (const std::int64_t lost : {4, 6, 7, 1005})
    EXPECT_EQ(after.machine.range({.key = "a", .revision = Revision(lost)}).status().code(),
              Code::out_of_range);
  EXPECT_EQ(after.keys(1006), keys_now);
  EXPECT_EQ(rows(Table::history), 1U);
  EXPECT_EQ(rows(Table::pinned), 0U);
  EXPECT_EQ(rows(Table::current), 3U) << "a, b and the mark; no removals";
  const auto block = after.machine.history().block_containing(Revision(1006));
  ASSERT_TRUE(block.ok()) << "who watches from the raised revision on finds it";
  EXPECT_EQ((*block)->effect(0).row.value, "remark");
}

TEST_F(RebaseTest, WritingGoesOnAboveTheRaisedRevision) {
  rebase_by(1000);
  Loaded after(member_.engine());
  ASSERT_TRUE(after.status.ok());
  EXPECT_TRUE(after.put("a", "3"));
  EXPECT_TRUE(after.put("gone", "back"));
  EXPECT_EQ(after.keys(), "a=3@2/1007/3/0 b=1@3/3/1/7 gone=back@1008/1008/1/0 ");
  EXPECT_EQ(after.keys(1006), keys_now);
  EXPECT_EQ(after.keys(1007), "a=3@2/1007/3/0 b=1@3/3/1/7 ");
}

TEST_F(RebaseTest, LoginsEndAndNoCredentialIsGivenOutASecondTime) {
  const std::vector<AuthChange> changes = {UserAdd{.name = "root", .password_hash = "", .no_password = true},
                                           UserGrantRole{"root", "root"}, AuthEnable{std::string(32, 'k')}};
  for (const AuthChange& change : changes)
    entry([&](BatchBuilder& batch) { EXPECT_TRUE(batch.auth(change, {})); });
  settle();
  AuthRevision before;
  {
    const Loaded loaded(member_.engine());
    ASSERT_TRUE(loaded.status.ok());
    before = loaded.machine.auth().revision();
    ASSERT_EQ(loaded.machine.auth().token_key(), std::string(32, 'k'));
  }
  rebase_by(1000);
  const Loaded after(member_.engine());
  ASSERT_TRUE(after.status.ok()) << after.status.to_string();
  EXPECT_EQ(after.machine.auth().revision(), before + 1000);
  EXPECT_EQ(after.machine.auth().token_key(), std::string(32, 'K'));
}

TEST_F(RebaseTest, SpaceIsCountedAsIfHistoryHadBeenCompacted) {
  const std::uint64_t rows_bytes = 2 * SpaceAccount::key_overhead_bytes + 4;
  rebase_by(1000);
  Loaded after(member_.engine());
  ASSERT_TRUE(after.status.ok());
  const std::uint64_t mark = SpaceAccount::key_overhead_bytes + restored_key().size() + 6;
  const std::uint64_t history = (*after.machine.history().block_containing(Revision(1006)))->encoded().size();
  EXPECT_EQ(after.machine.bytes_in_use(), rows_bytes + mark + history);
}

TEST_F(RebaseTest, TwiceInARowTheMarkIsReplaced) {
  rebase_by(1000);
  rebase_by(500);
  Loaded after(member_.engine());
  ASSERT_TRUE(after.status.ok()) << after.status.to_string();
  EXPECT_EQ(after.machine.revision(), Revision(1506));
  const auto mark = after.machine.get(restored_key());
  ASSERT_TRUE(mark.has_value());
  EXPECT_EQ(mark->create_revision, Revision(1006));
  EXPECT_EQ(mark->version, 2);
  EXPECT_EQ(after.keys(), keys_now);
}

TEST_F(RebaseTest, ARaiseWithoutRoomIsRefusedWithoutEffect) {
  Recovered recovered;
  {
    Loaded before(member_.engine());
    recovered = std::move(before.recovered);
  }
  const Status status =
      rebase(member_.engine(), recovered,
             {.configuration = "new", .revisions_raised = revisions_raised_max, .remark = ""});
  EXPECT_EQ(status.code(), Code::out_of_range);
  EXPECT_EQ(Loaded(member_.engine()).machine.revision(), Revision(6));
}

}  // namespace
}  // namespace lockstep::store::testing
