// Torn ends are cut, damaged ends and middles are reported, whatever byte is hit (I9).
#include <gtest/gtest.h>

#include "base/testing_rounds.h"
#include "log/testing_damage.h"

namespace lockstep::log {
namespace {

using sim::Loss;
using testing::expect_state;
using testing::fill;
using testing::hard_state;
using testing::last_record;
using testing::Member;
using testing::Model;
using testing::one_entry;
using testing::Spot;

const std::string first_segment = "log/" + segment_name(1);

// The damage was cut earlier; the doubt is left.
bool in_doubt(const Member& member) {
  return member.recovered.damage && member.recovered.damage->discarded && !member.log->needs_discard();
}

// ---- torn

// Recycled files have old bytes behind the end, fresh ones zeros.
void make_history(Member& member, bool recycled) {
  ASSERT_TRUE(member.open().ok());
  if (recycled) {
    for (std::uint64_t i = 1; i <= 60; ++i) {
      fill(member, 1, 2500);
      AppendBatch commit;
      commit.hard_state = hard_state(1, 0, i);
      member.append(std::move(commit));
      member.release(LogIndex(i));
      member.machine.run();
    }
    ASSERT_GT(member.log->stats().segments_reused, 2u);
  }
  fill(member, 3, 200);
  member.machine.run();
}

class TornTest : public ::testing::TestWithParam<std::tuple<bool, std::size_t>> {};

TEST_P(TornTest, TheLastRecordCutAtEveryByteIsCutAndNeverReturns) {
  const auto [recycled, payload_bytes] = GetParam();
  Member writer(1);
  make_history(writer, recycled);
  const sim::SimDisk::Tree before = writer.machine.disk.save();
  const Model model_before = writer.states.back();
  fill(writer, 1, payload_bytes);
  const Model model_after = writer.states.back();
  const LogIndex released = writer.released;
  writer.die(Loss::power, 1);
  const sim::SimDisk::Tree after = writer.machine.disk.save();
  const Spot spot = last_record(writer);
  const std::string old_bytes = [&] {
    writer.machine.disk.restore(before);
    return writer.machine.disk.bytes_of(spot.path).value();
  }();

  for (std::uint64_t cut = spot.begin; cut <= spot.body_end; ++cut) {
    SCOPED_TRACE("cut at byte " + std::to_string(cut - spot.begin));
    Member member(cut);
    member.released = released;
    member.machine.disk.restore(after);
    ASSERT_TRUE(
        member.machine.disk
            .overwrite(spot.path, cut, std::string_view(old_bytes).substr(cut, spot.end + page_bytes - cut))
            .ok());
    // A cut in zeros that were zeros before is no cut.
    member.states = {model_before, model_after};
    ASSERT_TRUE(member.open().ok());
    ASSERT_EQ(member.reconcile(), "");
    if (cut + 1 < spot.body_end) ASSERT_EQ(member.recovered.last.index, model_before.last_index());
    // Another, shorter group goes where the torn one was; nothing of the torn one may come back.
    member.append(one_entry(member.states.back().last_index().value() + 1, 2, 10));
    ASSERT_EQ(member.acknowledged, 1u);
    member.die(Loss::power, cut);
    ASSERT_TRUE(member.open().ok());
    ASSERT_EQ(member.reconcile(), "");
    member.die(Loss::power, cut);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, TornTest,
                         ::testing::Combine(::testing::Bool(), ::testing::Values(40, 600, 2300)));

// ---- flipped

class FlippedTest : public ::testing::TestWithParam<std::size_t> {};

TEST_P(FlippedTest, EveryByteOfTheLastRecordOnceItsDurabilityIsProved) {
  Member writer(1);
  ASSERT_TRUE(writer.open().ok());
  fill(writer, 4, GetParam());
  AppendBatch last = one_entry(5, 3, GetParam());
  last.hard_state = hard_state(3, 2, 4);
  writer.append(std::move(last));
  writer.machine.run();
  ASSERT_TRUE(writer.log->flush_idle_wanted());
  writer.log->flush_idle();
  writer.machine.run();
  EXPECT_FALSE(writer.log->flush_idle_wanted());
  const Model model = writer.states.back();
  writer.die(Loss::power, 1);
  const sim::SimDisk::Tree tree = writer.machine.disk.save();
  const Spot spot = last_record(writer);

  for (std::uint64_t at = spot.begin; at < spot.end; ++at) {
    SCOPED_TRACE("flip at byte " + std::to_string(at - spot.begin));
    Member member(at);
    member.machine.disk.restore(tree);
    Prng prng(at);
    ASSERT_TRUE(member.machine.disk.flip_bits(spot.path, at, 1, 1, prng));
    if (at >= spot.body_end) {
      expect_state(member, model);  // padding means nothing
      member.die(Loss::power, at);
      continue;
    }
    ASSERT_TRUE(member.open().ok());
    ASSERT_TRUE(member.recovered.damage.has_value()) << "an acknowledged record was cut";
    EXPECT_LE(member.recovered.damage->index_first, LogIndex(5));
    EXPECT_GE(member.recovered.damage->index_last, LogIndex(5));
    EXPECT_FALSE(member.recovered.damage->discarded);
    EXPECT_EQ(member.recovered.hard_state.vote, NodeId(2)) << "the ring remembers the vote";
    EXPECT_EQ(member.recovered.last.index, LogIndex(4));
    member.die(Loss::power, at);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, FlippedTest, ::testing::Values(0, 300, 1200));

TEST(DamageTest, EveryByteOfARecordInTheMiddleEvenWithoutARing) {
  Member writer(1);
  ASSERT_TRUE(writer.open().ok());
  fill(writer, 3, 150);
  writer.die(Loss::power, 1);
  const Spot spot = last_record(writer);
  ASSERT_TRUE(writer.open().ok());
  ASSERT_EQ(writer.reconcile(), "");
  fill(writer, 3, 150);
  writer.die(Loss::power, 1);
  ASSERT_TRUE(writer.machine.disk.overwrite(spot.path, ring_offset, std::string(2 * page_bytes, 'x')).ok());
  const sim::SimDisk::Tree tree = writer.machine.disk.save();
  for (std::uint64_t at = spot.begin; at < spot.body_end; ++at) {
    SCOPED_TRACE("flip at byte " + std::to_string(at - spot.begin));
    Member member(at);
    member.machine.disk.restore(tree);
    Prng prng(at);
    ASSERT_TRUE(member.machine.disk.flip_bits(spot.path, at, 1, 1, prng));
    ASSERT_TRUE(member.open().ok());
    ASSERT_TRUE(member.recovered.damage.has_value());
    EXPECT_EQ(member.recovered.last.index, LogIndex(2));
    EXPECT_EQ(member.recovered.damage->index_last, LogIndex(6));
    member.die(Loss::power, at);
  }
}

TEST(DamageTest, TheHeadOfASegmentIsRedundant) {
  Member writer(1);
  ASSERT_TRUE(writer.open().ok());
  fill(writer, 3, 150);
  writer.log->flush_idle();
  writer.machine.run();
  const Model model = writer.states.back();
  writer.die(Loss::power, 1);
  const sim::SimDisk::Tree tree = writer.machine.disk.save();
  for (std::uint64_t at = 0; at < records_offset; at += at < 64 ? 1 : 37) {
    SCOPED_TRACE("flip at byte " + std::to_string(at));
    Member member(at);
    member.machine.disk.restore(tree);
    Prng prng(at);
    ASSERT_TRUE(member.machine.disk.flip_bits(first_segment, at, 1, 1, prng));
    expect_state(member, model);
    member.die(Loss::power, at);
    expect_state(member, model);
  }
}

TEST(DamageTest, OneRingPageIsEnough) {
  for (const std::uint64_t page : {0, 1}) {
    Member member(1);
    ASSERT_TRUE(member.open().ok());
    fill(member, 3, 150);
    member.log->flush_idle();
    member.machine.run();
    member.die(Loss::power, 1);
    const Spot spot = last_record(member);
    auto& disk = member.machine.disk;
    ASSERT_TRUE(
        disk.overwrite(spot.path, ring_offset + page * page_bytes, std::string(page_bytes, 'x')).ok());
    ASSERT_TRUE(disk.overwrite(spot.path, spot.begin, "damage").ok());
    ASSERT_TRUE(member.open().ok());
    EXPECT_TRUE(member.recovered.damage.has_value());
  }
}

TEST(DamageTest, AMissingSegmentIsDamage) {
  for (const std::uint64_t missing : {2, 3}) {
    Member member(1);
    ASSERT_TRUE(member.open().ok());
    fill(member, 20, 3000);
    const LogIndex last = member.states.back().last_index();
    member.die(Loss::power, 1);
    const std::uint64_t tail = *segment_number(last_record(member).path.substr(4));
    ASSERT_GE(tail, 3u);
    // In the middle, or the one with the end: the segment prepared ahead tells.
    const std::uint64_t number = missing == 2 ? 2 : tail;
    ASSERT_TRUE(member.machine.disk.remove("log/" + segment_name(number)).ok());
    ASSERT_TRUE(member.open().ok());
    ASSERT_TRUE(member.recovered.damage.has_value());
    EXPECT_LT(member.recovered.last.index, last);
  }
}

TEST(DamageTest, TheOldestSegmentWithoutAValidBeginningIsDamage) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  AppendBatch vote;
  vote.hard_state = hard_state(4, 2, 0);
  member.append(std::move(vote));
  fill(member, 3, 100);
  member.die(Loss::power, 1);
  ASSERT_TRUE(member.machine.disk.overwrite(first_segment, records_offset, "damage").ok());
  ASSERT_TRUE(member.open().ok());
  ASSERT_TRUE(member.recovered.damage.has_value());
  EXPECT_EQ(member.recovered.last, (LogPosition{}));
  EXPECT_EQ(member.recovered.hard_state, hard_state(4, 2, 0)) << "what still can be read says how it voted";
  ASSERT_TRUE(member.log->discard_damaged_tail().ok());
  member.die(Loss::power, 1);
  ASSERT_TRUE(member.open().ok());
  EXPECT_TRUE(in_doubt(member));
  EXPECT_EQ(member.recovered.hard_state, hard_state(4, 2, 0));
}

// ---- lost and misdirected

class FateTest : public ::testing::TestWithParam<sim::WriteFate> {};

TEST_P(FateTest, AnyOneWriteOfALifeIsNoticed) {
  int noticed = 0;
  for (std::uint64_t n = 1; n <= 60; ++n) {
    SCOPED_TRACE("write " + std::to_string(n));
    Member member(n);
    member.options.segment_bytes = 256 * limits::kibibyte;  // all of them in one
    ASSERT_TRUE(member.open().ok());
    member.machine.run();
    member.machine.disk.set_write_fate(GetParam(), n, "segment");
    fill(member, 25, 900);
    // Twice: the end is proved even if the lost write is the first proof.
    member.log->flush_idle();
    member.machine.run();
    fill(member, 1, 10);
    member.log->flush_idle();
    member.machine.run();
    const Model model = member.states.back();
    member.die(Loss::power, n);
    ASSERT_TRUE(member.open().ok());
    if (member.recovered.damage) {
      ++noticed;
    } else {
      EXPECT_EQ(testing::difference(member.recovered, model, LogIndex{}), "");
    }
  }
  EXPECT_GE(noticed, 26) << "at least the groups' own writes";
}

INSTANTIATE_TEST_SUITE_P(Fates, FateTest,
                         ::testing::Values(sim::WriteFate::lost, sim::WriteFate::misdirected));

TEST(DamageTest, RandomFlipsAnywhereAreNeverTakenForTruth) {
  int damaged = 0;
  int harmless = 0;
  int halted = 0;
  Member writer(1);
  ASSERT_TRUE(writer.open().ok());
  fill(writer, 30, 1700);
  writer.log->flush_idle();
  writer.machine.run();
  const Model model = writer.states.back();
  writer.die(Loss::power, 1);
  const sim::SimDisk::Tree tree = writer.machine.disk.save();
  for (std::uint64_t seed = 0; seed < rounds(1500); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Member member(seed);
    member.machine.disk.restore(tree);
    Prng prng(seed);
    const auto paths = member.machine.disk.paths();
    const std::uint64_t flips = prng.between(1, 3);
    for (std::uint64_t i = 0; i < flips; ++i) {
      const std::string& path = paths[prng.below(paths.size())];
      ASSERT_TRUE(member.machine.disk.flip_bits(path, 0, UINT64_MAX, 1, prng));
    }
    const Status opened = member.open();
    if (!opened.ok()) {
      EXPECT_EQ(opened.code(), Code::corruption);
      ++halted;
      continue;
    }
    if (!member.recovered.damage) {
      EXPECT_EQ(testing::difference(member.recovered, model, LogIndex{}), "");
      ++harmless;
    } else {
      ++damaged;
      for (const raft::Entry& got : member.recovered.entries) {
        EXPECT_EQ(got, model.entries[got.index.value() - 1]) << "only a true beginning is returned";
      }
      ASSERT_TRUE(member.log->discard_damaged_tail().ok());
    }
    const bool repaired = member.recovered.damage.has_value();
    member.die(Loss::power, seed);
    ASSERT_TRUE(member.open().ok());
    EXPECT_EQ(in_doubt(member), repaired);
  }
  EXPECT_GT(damaged, 100);
  EXPECT_GT(harmless, 100);
  EXPECT_GT(halted, 0);
}

// ---- repair

struct Broken {
  explicit Broken(std::uint64_t seed) : member(seed) {
    EXPECT_TRUE(member.open().ok());
    fill(member, 12, 2000);
    member.log->flush_idle();
    member.machine.run();
    member.die(Loss::power, 1);
    // Somewhere in the middle of the second segment.
    EXPECT_TRUE(
        member.machine.disk.overwrite("log/" + segment_name(2), records_offset + page_bytes + 600, "damage")
            .ok());
  }
  Member member;
};

TEST(DamageTest, ADiscardedTailIsRememberedUntilTheMemberIsRestored) {
  Broken broken(1);
  Member& member = broken.member;
  ASSERT_TRUE(member.open().ok());
  ASSERT_TRUE(member.recovered.damage.has_value());
  ASSERT_TRUE(member.log->needs_discard());
  const LogIndex kept = member.recovered.last.index;
  ASSERT_GT(kept, LogIndex{});
  ASSERT_TRUE(member.log->discard_damaged_tail().ok());
  member.die(Loss::power, 1);
  ASSERT_TRUE(member.open().ok());
  EXPECT_TRUE(in_doubt(member));
  EXPECT_EQ(member.recovered.last.index, kept);
  Model model;
  model.in_doubt = true;
  for (const raft::Entry& got : member.recovered.entries) model.entries.push_back(got);
  member.states = {model};
  member.acknowledged = 0;
  fill(member, 12, 2000);
  member.die(Loss::power, 1);
  ASSERT_TRUE(member.open().ok());
  EXPECT_EQ(member.reconcile(), "") << "the doubt stays, whatever is appended";
  bool done = false;
  member.log->mark_repaired([&] { done = true; });
  EXPECT_TRUE(done);
  member.states.back().in_doubt = false;
  member.die(Loss::power, 1);
  ASSERT_TRUE(member.open().ok());
  EXPECT_EQ(member.reconcile(), "");
  EXPECT_FALSE(member.recovered.damage);
}

TEST(DamageTest, ACrashAtAnyStepOfTheRepairNeverForgetsTheDoubt) {
  bool stopped = true;
  std::uint64_t step = 1;
  for (; stopped; ++step) {
    for (std::uint64_t crash = 0; crash < 8; ++crash) {
      SCOPED_TRACE("step " + std::to_string(step) + ", crash " + std::to_string(crash));
      Broken broken(1);
      Member& member = broken.member;
      ASSERT_TRUE(member.open().ok());
      const LogIndex kept = member.recovered.last.index;
      member.machine.disk.crash_at_step(step);
      const Status discarded = member.log->discard_damaged_tail();
      stopped = member.machine.disk.stopped();
      EXPECT_EQ(discarded.ok(), !stopped);
      member.die(crash % 4 == 0 ? Loss::process : Loss::power, crash);
      ASSERT_TRUE(member.open().ok());
      ASSERT_TRUE(member.recovered.damage.has_value());
      EXPECT_EQ(member.recovered.last.index, kept);
      if (!stopped) EXPECT_TRUE(in_doubt(member));
      if (member.log->needs_discard()) ASSERT_TRUE(member.log->discard_damaged_tail().ok());
      member.die(Loss::power, crash);
      ASSERT_TRUE(member.open().ok());
      EXPECT_TRUE(in_doubt(member));
    }
  }
  EXPECT_GT(step, 8u);
}

}  // namespace
}  // namespace lockstep::log
