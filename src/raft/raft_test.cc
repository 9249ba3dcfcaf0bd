// Tables: the log, quorums, configurations, flow control, and the corners of Raft's face that no script
// shows.
#include "raft/raft.h"

#include <gtest/gtest.h>

namespace lockstep::raft {
namespace {

using Nodes = std::vector<NodeId>;

Nodes nodes(std::initializer_list<std::uint64_t> ids) {
  Nodes result;
  for (const std::uint64_t id : ids) result.push_back(NodeId(id));
  return result;
}

// Entries first, first + 1, … with these terms.
std::vector<Entry> entries(std::uint64_t first, std::initializer_list<std::uint64_t> terms) {
  std::vector<Entry> result;
  for (const std::uint64_t term : terms) {
    result.push_back(
        {Term(term), LogIndex(first + result.size()), EntryKind::normal, SharedBytes("0123456789")});
  }
  return result;
}

RaftLog log_of(std::initializer_list<std::uint64_t> terms) {
  return RaftLog({}, {}, entries(1, terms));
}

TEST(RaftLog, FindsTheFirstConflict) {
  struct Row {
    std::uint64_t first;
    std::initializer_list<std::uint64_t> terms;
    std::size_t conflict;
  };
  const Row rows[] = {
      {1, {1, 2, 3}, 3},     // nothing new
      {2, {2, 3}, 2},        // nothing new
      {4, {4}, 0},           // continues
      {2, {2, 3, 3, 4}, 2},  // continues in the middle
      {1, {1, 2, 4}, 2},     // conflicts at the end
      {1, {2, 2}, 0},        // conflicts at the beginning
      {3, {}, 0},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(log_of({1, 2, 3}).first_conflict(entries(row.first, row.terms)), row.conflict)
        << "from " << row.first;
  }
}

TEST(RaftLog, NamesTheLastPossibleMatch) {
  struct Row {
    std::uint64_t index, term, expected;
  };
  // Paper, figure 7, follower f against the leader's 10@6, and the leader against its answer.
  const RaftLog follower = log_of({1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3});
  const RaftLog leader = log_of({1, 1, 1, 4, 4, 5, 5, 6, 6, 6});
  for (const Row& row :
       {Row{10, 6, 10}, Row{10, 2, 6}, Row{20, 9, 11}, Row{4, 1, 3}, Row{0, 0, 0}, Row{11, 0, 0}}) {
    EXPECT_EQ(follower.last_possible_match(LogIndex(row.index), Term(row.term)), LogIndex(row.expected));
  }
  EXPECT_EQ(leader.last_possible_match(LogIndex(10), Term(3)), LogIndex(3));
  RaftLog compacted = log_of({1, 1, 4, 4});
  compacted.compact(LogIndex(3));
  EXPECT_EQ(compacted.last_possible_match(LogIndex(2), Term(1)), LogIndex(2));
  EXPECT_EQ(compacted.last_possible_match(LogIndex(4), Term(4)), LogIndex(4));
  EXPECT_EQ(compacted.last_possible_match(LogIndex(4), Term(1)), LogIndex(2));
}

TEST(RaftLog, ComparesHowUpToDateLogsAre) {
  const RaftLog log = log_of({1, 2, 2});
  EXPECT_TRUE(log.is_up_to_date(LogIndex(3), Term(2)));
  EXPECT_TRUE(log.is_up_to_date(LogIndex(4), Term(2)));
  EXPECT_TRUE(log.is_up_to_date(LogIndex(1), Term(3)));
  EXPECT_FALSE(log.is_up_to_date(LogIndex(2), Term(2)));
  EXPECT_FALSE(log.is_up_to_date(LogIndex(9), Term(1)));
}

TEST(RaftLog, HandsOutWhatIsNewOnce) {
  RaftLog log = log_of({1, 1});
  EXPECT_TRUE(log.take_unstable().empty());
  log.append(entries(3, {1, 1, 1}), LogIndex(2));
  EXPECT_EQ(log.take_unstable().size(), 3U);
  EXPECT_TRUE(log.take_unstable().empty());
  log.append(entries(4, {2}), LogIndex(2));
  const std::vector<Entry> again = log.take_unstable();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].index, LogIndex(4));
  EXPECT_EQ(log.last_index(), LogIndex(4));
  EXPECT_EQ(log.bytes(), 40U);
  log.compact(LogIndex(3));
  EXPECT_EQ(log.bytes(), 10U);
  EXPECT_EQ(log.term_at(LogIndex(3)), Term(1));
  EXPECT_FALSE(log.term_at(LogIndex(2)).has_value());
  log.reset(LogIndex(9), Term(5));
  EXPECT_EQ(log.last_index(), LogIndex(9));
  EXPECT_EQ(log.last_term(), Term(5));
  EXPECT_EQ(log.bytes(), 0U);
}

TEST(RaftLog, SlicesByBytesButAtLeastOne) {
  const RaftLog log = log_of({1, 1, 1});
  const std::size_t one = 10 + entry_overhead_bytes;
  EXPECT_EQ(log.slice(LogIndex(1), LogIndex(3), 1).size(), 1U);
  EXPECT_EQ(log.slice(LogIndex(1), LogIndex(3), 2 * one).size(), 2U);
  EXPECT_EQ(log.slice(LogIndex(1), LogIndex(3), 1000).size(), 3U);
  EXPECT_TRUE(log.slice(LogIndex(4), LogIndex(3), 1000).empty());
}

TEST(Quorum, MajorityValue) {
  struct Row {
    std::vector<std::uint64_t> values;
    std::uint64_t expected;
  };
  const Row rows[] = {{{}, 0},           {{7}, 7},          {{3, 9}, 3},          {{1, 5, 9}, 5},
                      {{9, 5, 5, 1}, 5}, {{9, 8, 2, 1}, 2}, {{1, 2, 3, 4, 5}, 3}, {{0, 0, 9, 9, 9}, 9}};
  for (const Row& row : rows) EXPECT_EQ(majority_value(row.values), row.expected);
}

TEST(Quorum, JointNeedsBothMajorities) {
  Configuration configuration;
  configuration.voters = nodes({3, 4, 5});
  configuration.voters_outgoing = nodes({1, 2, 3});
  const auto with = [&](std::initializer_list<std::uint64_t> yes) {
    return quorum(configuration,
                  [&](NodeId node) { return std::find(yes.begin(), yes.end(), node.value()) != yes.end(); });
  };
  EXPECT_FALSE(with({1, 2}));
  EXPECT_FALSE(with({4, 5}));
  EXPECT_FALSE(with({1, 3}));
  EXPECT_TRUE(with({1, 3, 4}));
  EXPECT_TRUE(with({1, 2, 4, 5}));
  // Reached: 1: 10, 2: 20, 3: 30, 4: 40, 5: 50. The old majority has 20, the new one 40.
  EXPECT_EQ(quorum_value(configuration, [](NodeId node) { return node.value() * 10; }), 20U);
  EXPECT_FALSE(majority({}, [](NodeId) { return true; }));
}

struct ChangeRow {
  const char* name;
  std::vector<MemberChange> changes;
  Code code;
  const char* result;
};

TEST(Configuration, Changes) {
  Configuration current;
  current.voters = nodes({1, 2, 3});
  current.learners = nodes({4});
  const auto change = [](MemberChangeKind kind, std::uint64_t id) { return MemberChange{kind, NodeId(id)}; };
  using enum MemberChangeKind;
  const ChangeRow rows[] = {
      {"learner", {change(add_learner, 5)}, Code::ok, "voters 1 2 3 learners 4 5"},
      {"promote", {change(promote, 4)}, Code::ok, "voters 1 2 3 4 outgoing 1 2 3 auto-leave"},
      {"demote",
       {change(demote, 1)},
       Code::ok,
       "voters 2 3 outgoing 1 2 3 learners 4 learners-next 1 auto-leave"},
      {"replace",
       {change(promote, 4), change(remove, 1)},
       Code::ok,
       "voters 2 3 4 outgoing 1 2 3 auto-leave"},
      {"remove learner", {change(remove, 4)}, Code::ok, "voters 1 2 3"},
      {"nobody left",
       {change(remove, 1), change(remove, 2), change(remove, 3)},
       Code::invalid_argument,
       "configuration: no voter is left"},
      {"twice",
       {change(demote, 1), change(remove, 1)},
       Code::invalid_argument,
       "configuration: member 1 is changed twice"},
      {"known",
       {change(add_learner, 4)},
       Code::invalid_argument,
       "configuration: member 4 is a member already"},
      {"zero", {change(add_learner, 0)}, Code::invalid_argument, "configuration: member 0 does not exist"},
      {"voter promoted",
       {change(promote, 1)},
       Code::invalid_argument,
       "configuration: member 1 is not a learner"},
      {"learner demoted",
       {change(demote, 4)},
       Code::invalid_argument,
       "configuration: member 4 is not a voter"},
      {"stranger removed",
       {change(remove, 9)},
       Code::invalid_argument,
       "configuration: member 9 is not a member"},
      {"nothing", {}, Code::failed_precondition, "nothing to leave"},
  };
  for (const ChangeRow& row : rows) {
    const Result<Configuration> next = apply_change(current, {row.changes, std::nullopt, true});
    EXPECT_EQ(next.status().code(), row.code) << row.name;
    EXPECT_EQ(next.ok() ? to_string(*next) : std::string(next.status().message()), row.result) << row.name;
    if (next.ok()) EXPECT_EQ(*decode_configuration(encode_configuration(*next)), *next) << row.name;
  }
  ConfigurationChange many;
  for (std::uint64_t id = 10; id < 10 + limits::members_max; ++id)
    many.changes.push_back(change(add_learner, id));
  EXPECT_EQ(apply_change(current, many).status().code(), Code::invalid_argument);
  ConfigurationChange context;
  context.context = std::string(configuration_context_bytes_max + 1, 'x');
  EXPECT_EQ(apply_change(current, context).status().code(), Code::invalid_argument);
}

TEST(Configuration, RefusesMalformedBytes) {
  Configuration good;
  good.voters = nodes({1, 2});
  good.context = "addresses";
  const std::string bytes = encode_configuration(good);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(decode_configuration(bytes.substr(0, length)).status().code(), Code::corruption) << length;
  }
  EXPECT_FALSE(decode_configuration(bytes + "x").ok());
  const std::vector<std::pair<const char*, std::string>> rows = {
      {"version", std::string("\x02\x01\x01\x00\x00\x00\x00\x00", 8)},
      {"no voter", std::string("\x01\x00\x00\x00\x00\x00\x00", 7)},
      {"unsorted", std::string("\x01\x02\x02\x01\x00\x00\x00\x00\x00", 9)},
      {"doubled", std::string("\x01\x02\x01\x01\x00\x00\x00\x00\x00", 9)},
      {"zero", std::string("\x01\x01\x00\x00\x00\x00\x00\x00", 8)},
      {"voter and learner", std::string("\x01\x01\x01\x00\x01\x01\x00\x00\x00", 9)},
      {"next learner out of nowhere", std::string("\x01\x01\x01\x00\x00\x01\x02\x00\x00", 9)},
      {"leave what", std::string("\x01\x01\x01\x00\x00\x00\x01\x00", 8)},
      {"too many", std::string("\x01\x7f", 2) + std::string(200, '\x01')},
  };
  for (const auto& [name, malformed] : rows) {
    EXPECT_EQ(decode_configuration(malformed).status().code(), Code::corruption) << name;
  }
}

TEST(InFlight, IsBoundedByCountAndBytes) {
  InFlight in_flight(2, 100);
  EXPECT_FALSE(in_flight.full());
  in_flight.add(LogIndex(5), 60);
  EXPECT_FALSE(in_flight.full());
  in_flight.add(LogIndex(7), 500);
  EXPECT_TRUE(in_flight.full());
  in_flight.free_through(LogIndex(4));
  EXPECT_EQ(in_flight.messages(), 2U);
  in_flight.free_through(LogIndex(6));
  EXPECT_EQ(in_flight.messages(), 1U);
  EXPECT_TRUE(in_flight.full()) << "500 of 100 bytes";
  in_flight.free_through(LogIndex(7));
  EXPECT_EQ(in_flight.bytes(), 0U);
  EXPECT_FALSE(in_flight.full());
}

Restored founders() {
  Restored restored;
  restored.snapshot_configuration.voters = nodes({1, 2, 3});
  return restored;
}

Options options_of(std::uint64_t id) {
  Options options;
  options.id = NodeId(id);
  options.entry_bytes_max = 100;
  return options;
}

TEST(Raft, TheSameInputsGiveTheSameOutputs) {
  std::vector<std::string> lines[2];
  for (auto& run : lines) {
    Options options = options_of(1);
    options.trace = true;
    TimePoint now{};
    Raft raft(options, founders(), 42, now);
    for (int i = 0; i < 20; ++i) {
      now = raft.next_deadline();
      run.push_back(std::to_string(now.time_since_epoch().count()));
      raft.tick(now);
      for (const std::string& line : raft.take_output().trace) run.push_back(line);
    }
  }
  EXPECT_EQ(lines[0], lines[1]);
}

TEST(Raft, TicksBeforeTheDeadlineDoNothing) {
  Raft raft(options_of(1), founders(), 1, TimePoint{});
  raft.take_output();
  raft.tick(raft.next_deadline() - 1ns);
  EXPECT_TRUE(raft.take_output().empty());
  raft.tick(raft.next_deadline());
  EXPECT_FALSE(raft.take_output().empty());
}

TEST(Raft, RefusesProposalsThatCannotBe) {
  Restored restored;
  restored.snapshot_configuration.voters = nodes({1});
  TimePoint now{};
  Raft raft(options_of(1), restored, 1, now);
  const SharedBytes small("x");
  const SharedBytes large(std::string(101, 'x'));
  EXPECT_EQ(raft.propose(now, {&small, 1}).status().code(), Code::unavailable);
  raft.campaign(now);
  for (int i = 0; i < 3; ++i) raft.persisted(now, raft.take_output().persist_id);
  ASSERT_TRUE(raft.is_leader());
  EXPECT_EQ(raft.propose(now, {}).status().code(), Code::invalid_argument);
  EXPECT_EQ(raft.propose(now, {&large, 1}).status().code(), Code::invalid_argument);
  EXPECT_EQ(*raft.propose(now, {&small, 1}), LogIndex(2));
  EXPECT_EQ(*raft.propose(now, {&small, 1}), LogIndex(3));
}

// ---- since when a leader knows that it leads

TEST(Raft, ALoneVoterNeedsNobodysConfirmation) {
  Restored restored;
  restored.snapshot_configuration.voters = nodes({1});
  TimePoint now{};
  Raft raft(options_of(1), restored, 1, now);
  raft.campaign(now);
  raft.persisted(now, raft.take_output().persist_id);
  ASSERT_TRUE(raft.is_leader());
  EXPECT_EQ(raft.confirmed_at(now), TimePoint::min()) << "what earlier terms committed is not known yet";
  for (int i = 0; i < 2; ++i) raft.persisted(now, raft.take_output().persist_id);
  EXPECT_EQ(raft.confirmed_at(now + 5s), now + 5s);
}

// Member 1 of three leads term 1; the others answer when a test says so.
struct LeaderOfThree {
  TimePoint now{};
  Raft raft{options_of(1), founders(), 1, now};
  Round asked;  // the newest round that left

  LeaderOfThree() {
    raft.campaign(now);
    step();
    answer(MessageKind::pre_vote_response, 2);
    step();
    answer(MessageKind::vote_response, 2);
    step();
    EXPECT_TRUE(raft.is_leader());
  }
  void step() {
    for (int i = 0; i < 3; ++i) {
      const Output output = raft.take_output();
      for (const Message& message : output.messages) note(message);
      for (const Message& message : output.messages_after_persist) note(message);
      raft.persisted(now, output.persist_id);
    }
  }
  void note(const Message& message) { asked = std::max(asked, message.round); }
  void answer(MessageKind kind, std::uint64_t from, Round round, LogIndex index = {}) {
    Message message;
    message.kind = kind;
    message.from = NodeId(from);
    message.to = NodeId(1);
    message.term = kind == MessageKind::pre_vote_response ? raft.term().next() : raft.term();
    message.boot = BootId(from);
    message.round = round;
    message.index = index;
    raft.receive(now, NodeId(from), message);
    step();
  }
  void answer(MessageKind kind, std::uint64_t from) { answer(kind, from, asked); }
  void commit_own_entry() {
    answer(MessageKind::append_response, 2, Round{}, raft.log().last_index());
    ASSERT_EQ(raft.commit_index(), raft.log().last_index());
  }
  // A new round begins.
  Round ask() {
    raft.tick(raft.next_deadline());
    now = std::max(now, raft.next_deadline() - 1ns);
    step();
    return asked;
  }
};

TEST(Raft, AConfirmationIsAsOldAsTheRoundThatAMajorityAnswered) {
  LeaderOfThree leader;
  leader.answer(MessageKind::heartbeat_response, 2);
  EXPECT_EQ(leader.raft.confirmed_at(leader.now), TimePoint::min()) << "nothing of its term is committed";
  leader.commit_own_entry();
  const TimePoint first = leader.raft.confirmed_at(leader.now);
  EXPECT_EQ(first, TimePoint{});
  const Round second = leader.ask();
  const Round third = leader.ask();
  ASSERT_LT(second, third);
  leader.now += 1s / 4;
  EXPECT_EQ(leader.raft.confirmed_at(leader.now), first) << "nobody answered";
  leader.answer(MessageKind::heartbeat_response, 3, second);
  const TimePoint at_second = leader.raft.confirmed_at(leader.now);
  EXPECT_GT(at_second, first);
  leader.answer(MessageKind::heartbeat_response, 2, second);
  EXPECT_EQ(leader.raft.confirmed_at(leader.now), at_second) << "the answer was late, not the question";
  leader.answer(MessageKind::heartbeat_response, 2, third);
  EXPECT_GT(leader.raft.confirmed_at(leader.now), at_second);
  EXPECT_LT(leader.raft.confirmed_at(leader.now), leader.now);
}

TEST(Raft, ManyRoundsWithoutAnAnswerAreForgottenFromTheOldestOn) {
  LeaderOfThree leader;
  leader.commit_own_entry();
  Round newest;
  for (int i = 0; i < 200; ++i) {
    newest = leader.ask();
    leader.answer(MessageKind::heartbeat_response, 3, Round{});  // lives, and confirms nothing
  }
  ASSERT_TRUE(leader.raft.is_leader());
  EXPECT_EQ(leader.raft.confirmed_at(leader.now), TimePoint::min());
  leader.answer(MessageKind::heartbeat_response, 3, newest);
  EXPECT_GT(leader.raft.confirmed_at(leader.now), TimePoint::min());
}

TEST(Raft, WhoIsInDoubtConfirmsNothingNotEvenWhatItSaidBefore) {
  LeaderOfThree leader;
  leader.commit_own_entry();
  leader.answer(MessageKind::heartbeat_response, 2, leader.ask());
  ASSERT_GT(leader.raft.confirmed_at(leader.now), TimePoint::min());
  Message doubt;
  doubt.kind = MessageKind::heartbeat_response;
  doubt.from = NodeId(2);
  doubt.to = NodeId(1);
  doubt.term = leader.raft.term();
  doubt.boot = BootId(2);
  doubt.round = leader.ask();
  doubt.in_doubt = true;
  leader.raft.receive(leader.now, NodeId(2), doubt);
  EXPECT_EQ(leader.raft.confirmed_at(leader.now), TimePoint::min());
}

TEST(Raft, PendingReadsAreBounded) {
  TimePoint now{};
  Raft raft(options_of(1), founders(), 1, now);
  raft.read_index(now, ReadId(1));
  Output output = raft.take_output();
  ASSERT_EQ(output.reads.size(), 1U);
  EXPECT_FALSE(output.reads[0].ok) << "no leader is known";
  Message heartbeat;
  heartbeat.from = NodeId(2);
  heartbeat.to = NodeId(1);
  heartbeat.term = Term(1);
  heartbeat.boot = BootId(1);
  raft.receive(now, NodeId(2), heartbeat);
  for (std::uint64_t i = 0; i <= pending_reads_max; ++i) raft.read_index(now, ReadId(i + 2));
  output = raft.take_output();
  ASSERT_EQ(output.reads.size(), 1U);
  EXPECT_EQ(output.reads[0].id, ReadId(pending_reads_max + 2));
  // The leader never answers: they fail after an election timeout, all of them.
  now = raft.next_deadline();
  raft.tick(now);
  EXPECT_EQ(raft.take_output().reads.size(), pending_reads_max);
}

TEST(Raft, ALogShorterThanItsCommitIndexIsInDoubt) {
  Restored restored = founders();
  restored.entries = entries(1, {1, 1});
  restored.hard_state = {Term(1), NodeId{}, LogIndex(3)};
  Raft raft(options_of(1), restored, 1, TimePoint{});
  EXPECT_FALSE(raft.may_vote());
  restored.hard_state.commit = LogIndex(2);
  Raft whole(options_of(1), restored, 1, TimePoint{});
  EXPECT_TRUE(whole.may_vote());
}

TEST(Raft, ARestartedStateMachineContinuesAfterWhatItApplied) {
  Restored restored = founders();
  restored.entries = entries(1, {1, 1, 1, 1});
  restored.hard_state = {Term(1), NodeId{}, LogIndex(3)};
  restored.applied = LogIndex(1);
  Raft raft(options_of(1), restored, 1, TimePoint{});
  const Output output = raft.take_output();
  ASSERT_EQ(output.committed.size(), 2U);
  EXPECT_EQ(output.committed[0].index, LogIndex(2));
  EXPECT_FALSE(output.must_persist());
}

}  // namespace
}  // namespace lockstep::raft
