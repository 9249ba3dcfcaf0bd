// A crash at every persistence step of a busy life: nothing acknowledged is lost, nothing else appears (I1).
#include <gtest/gtest.h>

#include "log/testing_support.h"

namespace lockstep::log {
namespace {

using testing::Member;
using testing::Model;
using testing::Workload;

// A life in which everything happens: appends, cuts, hard states, resets, rotation, release and reuse,
// idle flushes, snapshots. Goes on until its end or until the disk stops.
class Life {
 public:
  Life(Member& member, std::uint64_t seed) : member_(member), workload_(seed) {}

  void run(int operations) {
    for (int i = 0; i < operations && !member_.machine.disk.stopped() && !member_.fatal; ++i) step();
    member_.machine.run();
  }
  // Snapshots that were finished, newest last: they must be there after any crash, unless removed later.
  std::map<LogIndex, std::string> finished;
  // Begun or removed: may be there, then whole.
  std::map<LogIndex, std::string> possible;

 private:
  void step() {
    Prng& prng = workload_.prng();
    const std::uint64_t what = prng.below(20);
    if (what == 0) {
      const LogIndex commit = member_.states.back().hard.commit;
      if (commit > LogIndex{} && member_.acknowledged + 1 == member_.states.size()) {
        snapshot(commit);
        if (!member_.machine.disk.stopped()) member_.release(commit);
      }
    } else if (what == 1) {
      member_.log->flush_idle();
    } else {
      member_.append(workload_.next_batch(member_.states.back()));
    }
    for (std::uint64_t turns = prng.below(4); turns > 0; --turns) member_.machine.run_one();
    if (prng.chance(1, 3)) member_.machine.run();
  }

  void snapshot(LogIndex index) {
    std::string content(workload_.prng().below(200'000), 's');
    for (std::size_t i = 0; i < content.size(); i += 777) content[i] = static_cast<char>(index.value() + i);
    if (finished.contains(index) || possible.contains(index)) return;
    possible[index] = content;
    auto files = SnapshotFiles::open(member_.machine.disk, "log");
    if (!files.ok()) return;
    auto writer = files->create({index, Term(1), "members"});
    if (!writer.ok()) return;
    for (std::size_t offset = 0; offset < content.size(); offset += 50'000) {
      if (!(*writer)->append(offset, std::string_view(content).substr(offset, 50'000)).ok()) return;
    }
    if (!(*writer)->finish().ok()) return;
    finished[index] = content;
    const LogIndex older = finished.begin()->first;
    if (finished.size() < 3) return;
    possible[older] = finished[older];
    finished.erase(older);
    static_cast<void>(files->remove_old(2));
  }

  Member& member_;
  Workload workload_;
};

void check_snapshots(Member& member, const Life& life) {
  auto files = SnapshotFiles::open(member.machine.disk, "log");
  ASSERT_TRUE(files.ok());
  const auto list = files->list();
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(files->damaged(), 0u);
  std::map<LogIndex, std::string> found;
  for (const SnapshotMeta& meta : *list) {
    EXPECT_EQ(meta.context, "members");
    auto reader = files->read(meta.index, meta.term);
    ASSERT_TRUE(reader.ok());
    std::string content((*reader)->size_bytes(), '\0');
    ASSERT_EQ((*reader)->read_at(0, content).value(), content.size());
    found[meta.index] = content;
    const bool is_finished = life.finished.contains(meta.index) && life.finished.at(meta.index) == content;
    const bool is_possible = life.possible.contains(meta.index) && life.possible.at(meta.index) == content;
    EXPECT_TRUE(is_finished || is_possible) << "a snapshot nobody finished";
  }
  for (const auto& [index, content] : life.finished) {
    EXPECT_TRUE(found.contains(index)) << "the snapshot at " << index.value() << " is gone";
  }
}

constexpr int operations = 90;

// False when the life ended before the step.
bool crash_once(std::uint64_t seed, std::uint64_t step, sim::Loss loss, std::uint64_t crash_seed) {
  Member member(seed);
  Life life(member, seed);
  member.machine.disk.crash_at_step(step);
  if (member.open().ok()) life.run(operations);
  const bool stopped = member.machine.disk.stopped();

  member.die(loss, crash_seed);
  // Half of the time the next start is interrupted as well.
  Prng prng(crash_seed);
  if (stopped && prng.chance(1, 2)) {
    member.machine.disk.crash_at_step(prng.between(1, 12));
    static_cast<void>(member.open());
    member.die(prng.chance(1, 2) ? sim::Loss::power : sim::Loss::process, crash_seed + 1);
  }
  member.fatal.reset();
  const Status opened = member.open();
  EXPECT_TRUE(opened.ok()) << opened.to_string();
  if (!opened.ok()) return stopped;
  EXPECT_EQ(member.reconcile(), "");
  check_snapshots(member, life);

  Life second(member, seed + 1000);
  second.finished = life.finished;
  second.possible = life.possible;
  second.run(15);
  EXPECT_FALSE(member.fatal.has_value());
  member.die(sim::Loss::power, crash_seed + 2);
  EXPECT_TRUE(member.open().ok());
  EXPECT_EQ(member.reconcile(), "");
  check_snapshots(member, second);
  return stopped;
}

class CrashTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(CrashTest, AtEveryPersistenceStep) {
  const std::uint64_t seed = GetParam();
  std::uint64_t step = 1;
  bool stopped = true;
  for (; stopped && !HasFailure(); ++step) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", step " + std::to_string(step));
    stopped = crash_once(seed, step, sim::Loss::process, step);
    for (std::uint64_t crash = 0; crash < 3; ++crash) {
      SCOPED_TRACE("power cut " + std::to_string(crash));
      crash_once(seed, step, sim::Loss::power, 10 * step + crash);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(step, 200u) << "a life with few steps proves little";
}

INSTANTIATE_TEST_SUITE_P(Seeds, CrashTest, ::testing::Range<std::uint64_t>(1, 5));

}  // namespace
}  // namespace lockstep::log
