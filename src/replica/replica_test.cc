// The parts of a member that need no other members. Whole members are tested in the simulator (src/sim) and,
// as processes, by the demo.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replica/addresses.h"
#include "replica/birth.h"
#include "replica/peer_message.h"
#include "replica/proposals.h"
#include "replica/reads.h"
#include "replica/seen_forwards.h"
#include "replica/store_clock.h"
#include "sim/disk.h"

namespace lockstep::replica {
namespace {

TimePoint at(Duration since_start) {
  return TimePoint(since_start);
}

SharedBytes join(const Pieces& pieces) {
  std::string all;
  for (const SharedBytes& piece : pieces) all += piece.view();
  return SharedBytes(std::move(all));
}

// ---- proposals

struct Answers {
  std::vector<std::string> lines;

  PendingBatch batch(const std::string& name, TimePoint deadline = no_deadline) {
    PendingBatch pending;
    pending.add({store::Callback<store::PutResponse>([this, name](const Result<store::PutResponse>& result) {
                   lines.push_back(name + ": " +
                                   (result.ok() ? "done at " + std::to_string(result->header.revision.value())
                                                : result.status().to_string()));
                 }),
                 deadline,
                 {}});
    return pending;
  }
};

std::vector<store::CommandResult> put_at(std::int64_t revision) {
  store::PutResponse response;
  response.header.revision = Revision(revision);
  std::vector<store::CommandResult> results;
  results.emplace_back(store::Response(response));
  return results;
}

TEST(Proposals, AnAnswerComesOnlyFromRunCompletions) {
  Answers answers;
  Proposals proposals;
  proposals.proposed(LogIndex(5), Term(2), answers.batch("a"));
  auto ours = proposals.committed(LogIndex(5), Term(2));
  ASSERT_TRUE(ours.has_value());
  proposals.complete(std::move(*ours), put_at(7), {});
  EXPECT_TRUE(answers.lines.empty());
  proposals.run_completions();
  EXPECT_EQ(answers.lines, std::vector<std::string>{"a: done at 7"});
  EXPECT_FALSE(proposals.waiting());
}

TEST(Proposals, AnotherEntryCommittedInItsPlaceMeansNotDone) {
  Answers answers;
  Proposals proposals;
  proposals.proposed(LogIndex(5), Term(2), answers.batch("a"));
  EXPECT_FALSE(proposals.committed(LogIndex(5), Term(3)).has_value());
  proposals.run_completions();
  EXPECT_EQ(answers.lines, std::vector<std::string>{"a: unavailable: etcdserver: leader changed"});
}

// The leader of term 2 proposed at 5, lost its term, and in term 4 proposes at 5 again: the first entry may
// still be committed by a leader of term 5 that has it (figure 8), so its caller waits on.
TEST(Proposals, TwoEntriesAtOneIndexEachWaitForTheirFate) {
  for (const std::uint64_t winner : {2u, 4u}) {
    Answers answers;
    Proposals proposals;
    proposals.proposed(LogIndex(5), Term(2), answers.batch("old"));
    proposals.proposed(LogIndex(5), Term(4), answers.batch("new"));
    auto ours = proposals.committed(LogIndex(5), Term(winner));
    ASSERT_TRUE(ours.has_value());
    proposals.complete(std::move(*ours), put_at(9), {});
    proposals.run_completions();
    const std::string won = winner == 2 ? "old" : "new";
    const std::string lost = winner == 2 ? "new" : "old";
    EXPECT_THAT(answers.lines, testing::UnorderedElementsAre(
                                   won + ": done at 9", lost + ": unavailable: etcdserver: leader changed"));
  }
}

TEST(Proposals, WhatASnapshotSkippedIsUnknown) {
  Answers answers;
  Proposals proposals;
  proposals.proposed(LogIndex(5), Term(2), answers.batch("a"));
  proposals.proposed(LogIndex(8), Term(2), answers.batch("b"));
  proposals.skipped(LogIndex(7));
  proposals.run_completions();
  ASSERT_EQ(answers.lines.size(), 1u);
  EXPECT_TRUE(answers.lines[0].starts_with("a: unknown_outcome"));
  EXPECT_TRUE(proposals.waiting());
}

TEST(Proposals, ALateCommandIsUnknownAndItsResultGoesNowhere) {
  Answers answers;
  Proposals proposals;
  proposals.proposed(LogIndex(5), Term(2), answers.batch("a", at(10ms)));
  proposals.expire(at(9ms));
  proposals.run_completions();
  EXPECT_TRUE(answers.lines.empty());
  proposals.expire(at(10ms));
  proposals.run_completions();
  ASSERT_EQ(answers.lines.size(), 1u);
  EXPECT_TRUE(answers.lines[0].starts_with("a: unknown_outcome"));
  auto ours = proposals.committed(LogIndex(5), Term(2));
  ASSERT_TRUE(ours.has_value());
  proposals.complete(std::move(*ours), put_at(7), {});
  proposals.run_completions();
  EXPECT_EQ(answers.lines.size(), 1u);
}

TEST(Proposals, WhatWasForwardedToALostLeaderIsUnknown) {
  Answers answers;
  Proposals proposals;
  proposals.forwarded(ForwardId(1), NodeId(2), answers.batch("to 2"));
  proposals.forwarded(ForwardId(2), NodeId(3), answers.batch("to 3"));
  proposals.leader_lost(NodeId(2));
  proposals.run_completions();
  ASSERT_EQ(answers.lines.size(), 1u);
  EXPECT_TRUE(answers.lines[0].starts_with("to 2: unknown_outcome"));
  EXPECT_FALSE(proposals.answered(ForwardId(1), NodeId(2)).has_value());
  EXPECT_FALSE(proposals.answered(ForwardId(2), NodeId(2)).has_value()) << "3 was asked";
  EXPECT_TRUE(proposals.answered(ForwardId(2), NodeId(3)).has_value());
}

TEST(Proposals, AForwardedBatchIsAnsweredToItsMember) {
  Proposals proposals;
  PendingBatch batch;
  batch.origin = ForwardOrigin{NodeId(3), ForwardId(9)};
  proposals.proposed(LogIndex(5), Term(2), std::move(batch));
  auto ours = proposals.committed(LogIndex(5), Term(2));
  proposals.complete(std::move(*ours), put_at(7), {});
  const auto answers = proposals.take_answers();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].peer, NodeId(3));
  EXPECT_EQ(answers[0].answer.id, ForwardId(9));
  EXPECT_TRUE(answers[0].answer.refused.ok());
  EXPECT_EQ(answers[0].answer.results.size(), 1u);
}

// ---- batches of others

TEST(SeenForwards, TakeEachBatchOnceInAnyOrder) {
  SeenForwards seen;
  seen.begin(Term(4));
  const ForwardId start = first_forward_id(77);
  for (const std::uint64_t count : {1u, 2u, 5u, 3u, 4u}) EXPECT_TRUE(seen.take(NodeId(2), start + count));
  for (const std::uint64_t count : {1u, 2u, 3u, 4u, 5u}) EXPECT_FALSE(seen.take(NodeId(2), start + count));
  EXPECT_TRUE(seen.take(NodeId(3), start + 1)) << "another member's";
  EXPECT_TRUE(seen.take(NodeId(2), first_forward_id(~std::uint64_t{0}) + 1)) << "another life's";
  EXPECT_FALSE(seen.take(NodeId(2), start + 5)) << "the old life is remembered";
  seen.begin(Term(5));
  EXPECT_TRUE(seen.take(NodeId(2), start + 5)) << "a message of term 4 does not come here any more";
}

TEST(SeenForwards, RememberWithinABound) {
  SeenForwards seen;
  seen.begin(Term(4));
  const ForwardId start = first_forward_id(77);
  // Every other batch is lost.
  for (std::uint64_t i = 0; i < 10 * seen_forwards_gap_max; ++i) {
    const ForwardId id = start + (100'000 + 2 * i);
    EXPECT_TRUE(seen.take(NodeId(2), id));
    EXPECT_FALSE(seen.take(NodeId(2), id));
  }
  EXPECT_FALSE(seen.take(NodeId(2), start + 100'001))
      << "overtaken by too many to be told from a repeated one";
}

// ---- reads

struct ReadLog {
  std::vector<std::string> lines;
  PendingRead read(const std::string& name, TimePoint deadline = no_deadline) {
    return {[this, name](const Status& status) { lines.push_back(name + " " + status.to_string()); },
            deadline};
  }
};

TEST(Reads, AreServedOnceTheirIndexIsApplied) {
  ReadLog log;
  Reads reads;
  reads.add(log.read("a"));
  const raft::ReadId first = reads.start_attempt();
  reads.add(log.read("b"));
  const raft::ReadId second = reads.start_attempt();
  EXPECT_NE(first, second);
  reads.confirmed(second, LogIndex(4));
  reads.confirmed(first, LogIndex(6));
  reads.serve(LogIndex(5));
  EXPECT_EQ(log.lines, std::vector<std::string>{"b ok"});
  reads.serve(LogIndex(6));
  EXPECT_EQ(log.lines, (std::vector<std::string>{"b ok", "a ok"}));
  EXPECT_FALSE(reads.waiting());
}

TEST(Reads, AFailedAttemptIsRepeatedUnderAFreshId) {
  ReadLog log;
  Reads reads;
  reads.add(log.read("a"));
  const raft::ReadId first = reads.start_attempt();
  reads.failed(first);
  EXPECT_TRUE(reads.wants_retry());
  EXPECT_FALSE(reads.building());
  reads.retry();
  ASSERT_TRUE(reads.building());
  const raft::ReadId second = reads.start_attempt();
  EXPECT_NE(first, second);
  reads.confirmed(second, LogIndex(1));
  reads.serve(LogIndex(1));
  EXPECT_EQ(log.lines, std::vector<std::string>{"a ok"});
}

TEST(Reads, ExpireWhereverTheyWait) {
  ReadLog log;
  Reads reads;
  reads.add(log.read("confirmed", at(1ms)));
  reads.confirmed(reads.start_attempt(), LogIndex(9));
  reads.add(log.read("failed", at(1ms)));
  reads.failed(reads.start_attempt());
  reads.add(log.read("attempt", at(1ms)));
  const raft::ReadId open = reads.start_attempt();
  reads.add(log.read("building", at(1ms)));
  reads.expire(at(1ms));
  EXPECT_EQ(log.lines.size(), 4u);
  for (const std::string& line : log.lines)
    EXPECT_NE(line.find("deadline_exceeded"), std::string::npos) << line;
  reads.confirmed(open, LogIndex(9));  // raft's answer still finds its attempt
  reads.serve(LogIndex(9));
  EXPECT_EQ(log.lines.size(), 4u);
}

// ---- the leader's clock

TEST(StoreClock, GoesOnFromTheStoreAndNeverBack) {
  StoreClock clock;
  clock.restart(at(100ms), 5000);
  EXPECT_EQ(clock.read_ms(at(150ms)), 5050);
  clock.set(at(160ms), 5020);  // an entry stamped earlier is applied later
  EXPECT_EQ(clock.read_ms(at(160ms)), 5060);
  clock.set(at(170ms), 6000);
  EXPECT_EQ(clock.read_ms(at(180ms)), 6010);
  EXPECT_EQ(clock.when(6030), at(200ms));
  clock.restart(at(200ms), 5500);  // a new leadership takes what the entries say
  EXPECT_EQ(clock.read_ms(at(200ms)), 5500);
}

// ---- messages and addresses

TEST(PeerMessage, ForwardAndAnswerReturnAsTheyWere) {
  store::PutRequest put;
  put.key = "k";
  put.value = "v";
  store::BatchBuilder builder;
  builder.start({});
  ASSERT_TRUE(builder.put(put));
  const SharedBytes batch(builder.take());
  const Result<Forward> forward = decode_forward(join(encode(Forward{ForwardId(7), Term(3), batch})));
  ASSERT_TRUE(forward.ok());
  EXPECT_EQ(forward->id, ForwardId(7));
  EXPECT_EQ(forward->term, Term(3));
  EXPECT_EQ(forward->batch, batch);

  std::vector<store::CommandResult> results = put_at(11);
  results.emplace_back(Status(Code::not_found, "etcdserver: requested lease not found"));
  const Result<ForwardAnswer> answer =
      decode_forward_answer(join(encode(ForwardAnswer{ForwardId(7), NodeId(2), Status(), results})));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->leader, NodeId(2));
  ASSERT_EQ(answer->results.size(), 2u);
  EXPECT_EQ(std::get<store::PutResponse>(*answer->results[0]).header.revision, Revision(11));
  EXPECT_EQ(answer->results[1].status(), results[1].status());
}

TEST(PeerMessage, EveryTruncationIsRefused) {
  const std::string whole(
      join(encode(ForwardAnswer{ForwardId(300), NodeId(2), Status(Code::unavailable, "no"), {}})).view());
  for (std::size_t length = 1; length < whole.size(); ++length) {
    EXPECT_FALSE(decode_forward_answer(SharedBytes(whole.substr(0, length))).ok()) << length;
  }
  EXPECT_FALSE(decode_forward_answer(SharedBytes(whole + "x")).ok());
  EXPECT_FALSE(decode_forward(SharedBytes(std::string("\x02\x00\x03", 3))).ok()) << "no id";
  EXPECT_TRUE(decode_forward(SharedBytes(std::string("\x02\x07\x00", 3))).ok()) << "no term: whoever leads";
}

// ---- birth

// A founder's directory and what is loaded from it.
struct Founder {
  std::unique_ptr<sim::SimDisk> disk;
  NodeId id;
  IncarnationId incarnation;
  std::vector<NodeId> founders;
  std::optional<Birth> birth;

  Founder(std::uint64_t node, std::uint64_t life, std::vector<NodeId> all)
      : disk(std::make_unique<sim::SimDisk>(node, [](std::int64_t, env::Closure) {})),
        id(node),
        incarnation(node * 100 + life),
        founders(std::move(all)) {
    load();
  }
  void load() {
    auto loaded = Birth::load(*disk, id, incarnation, founders);
    ASSERT_TRUE(loaded.ok()) << loaded.status().to_string();
    birth.emplace(*std::move(loaded));
  }
  void hear(const Founder& other) {
    const Result<bool> changed = birth->receive(other.id, other.birth->message(id));
    ASSERT_TRUE(changed.ok()) << changed.status().to_string();
  }
  [[nodiscard]] BirthState state() const { return birth->state(); }
};

const std::vector<NodeId> three = {NodeId(1), NodeId(2), NodeId(3)};

TEST(Birth, ALoneFounderIsBornAtOnceAndStaysSo) {
  Founder founder(1, 1, {NodeId(1)});
  EXPECT_EQ(founder.state(), BirthState::born);
  founder.load();
  EXPECT_EQ(founder.state(), BirthState::born);
}

TEST(Birth, TheRegistrarWaitsForAllAndTheOthersForItsCertificate) {
  Founder a(1, 1, three);
  Founder b(2, 1, three);
  Founder c(3, 1, three);
  b.hear(a);
  c.hear(a);
  b.hear(c);
  EXPECT_EQ(b.state(), BirthState::waiting) << "only the registrar may write the certificate";
  a.hear(b);
  EXPECT_EQ(a.state(), BirthState::waiting);
  a.hear(c);
  EXPECT_EQ(a.state(), BirthState::born);
  b.hear(a);
  EXPECT_EQ(b.state(), BirthState::born);
  c.hear(b);
  EXPECT_EQ(c.state(), BirthState::born) << "any holder passes the certificate on";
  b.load();
  EXPECT_EQ(b.state(), BirthState::born) << "after a restart too";
}

TEST(Birth, AWipedFounderDoubtsUntilItsVoteIsRestored) {
  Founder a(1, 1, three);
  Founder b(2, 1, three);
  Founder c(3, 1, three);
  b.hear(a);
  c.hear(a);
  a.hear(b);
  a.hear(c);
  b.hear(a);
  Founder wiped(2, 2, three);
  EXPECT_EQ(wiped.state(), BirthState::waiting);
  wiped.hear(a);
  EXPECT_EQ(wiped.state(), BirthState::doubtful);
  ASSERT_TRUE(wiped.birth->restore_vote().ok());
  wiped.load();
  EXPECT_EQ(wiped.state(), BirthState::born);
  EXPECT_EQ(wiped.state(), BirthState::born);
  Founder wiped_too(3, 2, three);
  wiped_too.hear(wiped);
  EXPECT_EQ(wiped_too.state(), BirthState::doubtful) << "the certificate outlives those who first held it";
}

// A cluster that grew from one member has records of one only; later all are listed as if they had founded
// it.
TEST(Birth, AWipedMemberOfAClusterThatGrewFoundsNoOther) {
  Founder b(2, 1, {});
  Founder c(3, 1, {});
  ASSERT_TRUE(b.birth->restore_vote().ok());
  ASSERT_TRUE(c.birth->restore_vote().ok());
  Founder wiped(1, 2, three);
  b.founders = c.founders = three;
  b.load();
  c.load();
  b.hear(wiped);
  c.hear(wiped);
  wiped.hear(b);
  wiped.hear(c);
  EXPECT_EQ(wiped.state(), BirthState::doubtful);
}

TEST(Birth, AJoinedMembersRecordIsNoCertificateOfTheCluster) {
  Founder joined(4, 1, {});
  ASSERT_TRUE(joined.birth->restore_vote().ok());
  Founder founder(3, 1, three);
  founder.hear(joined);
  EXPECT_EQ(founder.state(), BirthState::waiting);
}

TEST(Birth, AMemberThatJoinsKeepsTheCertificateForWhenTheFoundersHaveLeft) {
  Founder a(1, 1, three);
  Founder b(2, 1, three);
  Founder c(3, 1, three);
  b.hear(a);
  c.hear(a);
  a.hear(b);
  a.hear(c);
  Founder joined(4, 1, {});
  joined.hear(a);
  EXPECT_EQ(joined.state(), BirthState::doubtful) << "it is not named";
  ASSERT_TRUE(joined.birth->restore_vote().ok());
  joined.load();
  EXPECT_EQ(joined.state(), BirthState::born);

  Founder joined_later(5, 1, {});
  ASSERT_TRUE(joined_later.birth->restore_vote().ok());
  joined_later.hear(joined);
  joined_later.load();
  EXPECT_EQ(joined_later.state(), BirthState::born) << "its own record stays";
  EXPECT_EQ(joined_later.birth->message(NodeId(3)).size(), joined.birth->message(NodeId(3)).size())
      << "passed on as it was, however many have joined";

  Founder wiped(3, 2, three);
  wiped.hear(joined_later);
  EXPECT_EQ(wiped.state(), BirthState::doubtful);
  b.hear(joined);
  EXPECT_EQ(b.state(), BirthState::born) << "it is named";
}

// What one registrar is for (decision 0013): c was cut off with an old "not born" of a, and b was wiped
// since.
TEST(Birth, AWipedMemberAndOneThatWasCutOffMakeNoSecondCluster) {
  Founder a(1, 1, three);
  Founder b(2, 1, three);
  Founder c(3, 1, three);
  b.hear(a);
  c.hear(a);
  a.hear(b);
  a.hear(c);
  b.hear(a);
  ASSERT_EQ(b.state(), BirthState::born);
  Founder wiped(2, 2, three);
  c.hear(wiped);
  wiped.hear(c);
  EXPECT_EQ(c.state(), BirthState::waiting);
  EXPECT_EQ(wiped.state(), BirthState::waiting);
}

// The registrar was wiped, and what the others said to its earlier life comes only now.
TEST(Birth, WhatWasSaidToAnEarlierLifeOfTheRegistrarDoesNotCount) {
  Founder a(1, 1, three);
  Founder b(2, 1, three);
  Founder c(3, 1, three);
  b.hear(a);
  c.hear(a);
  const std::string late_b = b.birth->message(a.id);
  const std::string late_c = c.birth->message(a.id);
  a.hear(b);
  a.hear(c);
  b.hear(a);
  ASSERT_EQ(b.state(), BirthState::born);
  Founder wiped(1, 2, three);
  ASSERT_TRUE(wiped.birth->receive(b.id, late_b).ok());
  ASSERT_TRUE(wiped.birth->receive(c.id, late_c).ok());
  EXPECT_EQ(wiped.state(), BirthState::waiting);
  wiped.hear(b);
  EXPECT_EQ(wiped.state(), BirthState::doubtful);
}

TEST(Birth, AMemberThatJoinsDoubtsFromTheStart) {
  Founder joining(4, 1, {});
  EXPECT_EQ(joining.state(), BirthState::doubtful);
}

TEST(Birth, DamagedCertificatesAndMessagesAreRefused) {
  const std::string whole =
      encode_certificate({{NodeId(1), IncarnationId(7)}, {NodeId(2), IncarnationId(8)}});
  ASSERT_TRUE(decode_certificate(whole).ok());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_FALSE(decode_certificate(flipped).ok()) << i;
    EXPECT_FALSE(decode_certificate(whole.substr(0, i)).ok()) << i;
  }
  Founder a(1, 1, three);
  EXPECT_FALSE(a.birth->receive(NodeId(2), "short").ok());
  EXPECT_EQ(a.state(), BirthState::waiting);
}

}  // namespace
}  // namespace lockstep::replica
