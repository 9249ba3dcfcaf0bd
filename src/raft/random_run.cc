#include "raft/random_run.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "base/assert.h"
#include "base/crc32c.h"
#include "raft/test_cluster.h"

namespace lockstep::raft {
namespace {

struct Failure {
  std::string what;
};

[[noreturn]] void fail(std::string what) {
  throw Failure{std::move(what)};
}

void throw_assertion(const char* condition, const char* hint, const char* file, int line) {
  throw Failure{"assertion " + std::string(condition) + " (" + hint + ") at " + file + ":" +
                std::to_string(line)};
}

Options draw_options(Prng& prng) {
  Options options;
  options.election_timeout = 100ms;
  options.heartbeat_interval = 20ms;
  options.inflight_messages_max = prng.between(1, 4);
  options.inflight_bytes_max = prng.between(1, 200);
  options.message_entries_bytes_max = prng.between(20, 200);
  options.uncommitted_bytes_max = prng.between(50, 500);
  options.pre_vote = prng.chance(3, 4);
  options.check_quorum = prng.chance(3, 4);
  options.trace = true;
  if (prng.chance(2, 3)) options.commit_notice_delay = std::chrono::milliseconds(prng.between(0, 60));
  return options;
}

class RandomRun {
 public:
  RandomRun(std::uint64_t seed, bool trace)
      : prng_(seed), trace_(trace), cluster_(draw_options(prng_), prng_.next()) {
    watch();
    drops_ = prng_.below(20);
    doubles_ = prng_.below(20);
    time_step_ns_ = prng_.between(2'000'000, 40'000'000);
    changes_membership_ = prng_.chance(1, 2);
    draw_troubles();
    const std::uint64_t founders = prng_.chance(1, 2) ? 3 : 5;
    Configuration configuration;
    for (std::uint64_t i = 1; i <= founders; ++i) configuration.voters.push_back(NodeId(i));
    for (const NodeId id : configuration.voters) cluster_.add(id, configuration);
    if (!changes_membership_) return;
    for (std::uint64_t i = 1; i <= 2; ++i) cluster_.add(NodeId(founders + i), {}, {}, {}, false);
  }

  RandomRunResult run() {
    try {
      for (step_ = 0; step_ < 4000; ++step_) one_step();
      live();
    } catch (const Failure& failure) {
      result_.failure = failure.what + " (step " + std::to_string(step_) + ")";
    }
    result_.committed = committed_.size();
    return result_;
  }

 private:
  struct Committed {
    Term term;
    std::uint64_t hash = 0;
    Term known_in;             // the term of whoever applied it first
    std::uint64_t digest = 0;  // of the state after it
  };

  void print(NodeId id, const std::string& line) {
    if (trace_) std::printf("%6d  %s: %s\n", step_, std::to_string(id.value()).c_str(), line.c_str());
  }

  void watch() {
    cluster_.hooks.trace = [this](NodeId id, const std::string& line) {
      result_.fingerprint = result_.fingerprint * 31 + crc32c(line) + id.value();
      print(id, line);
    };
    cluster_.hooks.applied = [this](NodeId id, const Entry& entry) { on_applied(id, entry); };
    cluster_.hooks.appended = [this](NodeId id, const Entry& entry) { on_appended(id, entry); };
    cluster_.hooks.read = [this](NodeId id, const ReadResult& read) { on_read(id, read); };
    cluster_.hooks.role = [this](NodeId id, const RoleChange& change) { on_role(id, change); };
    cluster_.hooks.installed = [this](NodeId, LogIndex index, std::uint64_t digest) {
      ++result_.snapshots;
      if (index.value() > committed_.size()) fail("R5: a snapshot beyond what was committed");
      if (committed_[index.value() - 1].digest != digest) fail("R5: a snapshot of another state");
    };
  }

  void on_appended(NodeId id, const Entry& entry) {
    const std::optional<Term> before = cluster_.raft(id).log().term_at(entry.index.previous());
    const std::pair<std::uint64_t, Term> content(crc32c(entry.payload.view()), before.value_or(Term{}));
    const auto [known, fresh] = entries_.emplace(std::pair(entry.index, entry.term), content);
    if (!fresh && known->second != content) fail("R3: two entries of one index and term differ");
  }

  void on_applied(NodeId id, const Entry& entry) {
    const std::uint64_t hash = crc32c(entry.payload.view());
    const std::uint64_t place = entry.index.value();
    if (place > committed_.size()) {
      const std::uint64_t digest = chain_digest(committed_.empty() ? 0 : committed_.back().digest, entry);
      if (place != committed_.size() + 1) fail("R5: a gap in what is committed");
      committed_.push_back({entry.term, hash, cluster_.raft(id).term(), digest});
    }
    const Committed& first = committed_[place - 1];
    if (first.term != entry.term || first.hash != hash) {
      fail("R5: two members applied different entries at " + std::to_string(place));
    }
    if (first.digest != cluster_.member(id).digest) fail("R5: two members differ in state");
  }

  void on_role(NodeId id, const RoleChange& change) {
    if (change.role != Role::leader) return;
    ++result_.elections;
    const auto [known, fresh] = leaders_.emplace(change.term, id);
    if (known->second != id) fail("R1: two leaders in term " + std::to_string(change.term.value()));
    const RaftLog& log = cluster_.raft(id).log();
    for (std::uint64_t i = committed_.size(); i > log.base_index().value(); --i) {
      const Committed& entry = committed_[i - 1];
      if (entry.known_in < change.term && log.term_at(LogIndex(i)) != entry.term) {
        fail("R4: the leader of term " + std::to_string(change.term.value()) + " lacks committed entry " +
             std::to_string(i));
      }
    }
  }

  void on_read(NodeId, const ReadResult& read) {
    const auto asked = reads_.find(read.id);
    if (asked == reads_.end()) fail("R7: a read answered twice");
    if (read.ok) ++result_.reads;
    if (read.ok && read.index < asked->second) fail("R7: a stale read");
    reads_.erase(asked);
  }

  NodeId any_member() {
    auto member = cluster_.members().begin();
    std::advance(member, prng_.below(cluster_.members().size()));
    return member->first;
  }
  NodeId any_up() {
    for (int tries = 0; tries < 8; ++tries) {
      const NodeId id = any_member();
      if (cluster_.member(id).up()) return id;
    }
    return {};
  }
  NodeId some_leader() {
    NodeId best;
    for (auto& [id, member] : cluster_.members()) {
      if (!member.up() || !member.raft->is_leader()) continue;
      if (best == NodeId{} || prng_.chance(1, 2)) best = id;
    }
    return best;
  }

  void one_step() {
    const std::uint64_t what = prng_.below(1000);
    if (what < 550) {
      deliver_one();
    } else if (what < 700) {
      if (const NodeId id = any_up(); id != NodeId{}) {
        cluster_.persist(id, prng_.between(1, 3));
        cluster_.pump(id);
      }
    } else if (what < 820) {
      cluster_.advance(Duration(prng_.below(time_step_ns_)));
      for (auto& [id, member] : cluster_.members()) {
        if (member.up() && member.raft->next_deadline() <= cluster_.now()) cluster_.tick(id);
      }
    } else if (what < 900) {
      propose();
    } else if (what < 940) {
      read();
    } else {
      disturb();
    }
  }

  void deliver_one() {
    std::vector<Message>& network = cluster_.network();
    if (network.empty()) return;
    // Mostly near the front, so that things get done; sometimes far behind, so that messages grow old.
    const std::uint64_t window = prng_.chance(9, 10) ? 4 : network.size();
    const auto place =
        static_cast<std::ptrdiff_t>(prng_.below(std::min<std::uint64_t>(window, network.size())));
    Message message = network[static_cast<std::size_t>(place)];
    if (!prng_.chance(doubles_, 200)) network.erase(network.begin() + place);
    if (network.size() > 400) network.erase(network.begin(), network.begin() + 100);
    if (prng_.chance(drops_, 100) || blocked_.contains({message.from, message.to})) return;
    if (trace_) print(message.to, "receives " + to_string(message));
    cluster_.deliver(message);
  }

  void propose() {
    const NodeId id = some_leader();
    if (id == NodeId{}) return;
    std::vector<SharedBytes> payloads;
    for (std::uint64_t i = prng_.between(1, 3); i > 0; --i) {
      payloads.emplace_back("command " + std::to_string(++proposed_) + std::string(prng_.below(30), '.'));
    }
    static_cast<void>(cluster_.raft(id).propose(cluster_.now(), payloads));
    if (prng_.chance(3, 4)) cluster_.pump(id);
  }

  void read() {
    const NodeId id = any_up();
    if (id == NodeId{}) return;
    cluster_.member(id).eager = prng_.chance(1, 2);
    LogIndex floor(committed_.size());
    reads_[ReadId(++read_count_)] = floor;
    cluster_.raft(id).read_index(cluster_.now(), ReadId(read_count_));
    cluster_.pump(id);
  }

  // What may go wrong. Each seed draws how often each does, and leaves some out altogether, so that every
  // kind of trouble is also seen alone (swarm testing).
  enum Trouble : std::size_t {
    crashing,
    crashing_a_voter,
    restarting,
    cutting_some_links,
    cutting_off,
    cutting_off_the_leader,
    healing,
    snapshotting,
    installing,
    transferring,
    losing_a_connection,
    campaigning,
    changing_membership,
    wiping,
    troubles,
  };

  void draw_troubles() {
    for (std::uint64_t& weight : weights_) weight = prng_.chance(1, 3) ? 0 : prng_.between(1, 10);
    weights_[restarting] = prng_.between(1, 10);
    weights_[healing] = prng_.between(1, 10);
    weights_[installing] = prng_.between(1, 10);
    if (prng_.chance(1, 2)) weights_[campaigning] = 0;
    if (!changes_membership_) weights_[changing_membership] = 0;
    if (prng_.chance(1, 2)) weights_[wiping] = 0;
  }

  void disturb() {
    std::uint64_t total = 0;
    for (const std::uint64_t weight : weights_) total += weight;
    std::uint64_t drawn = prng_.below(total);
    std::size_t what = 0;
    while (drawn >= weights_[what]) drawn -= weights_[what++];
    make_trouble(static_cast<Trouble>(what));
  }

  void make_trouble(Trouble trouble) {
    const NodeId up = any_up();
    const NodeId leader = some_leader();
    if (trouble == crashing) crash(any_member());
    if (trouble == crashing_a_voter) crash_a_voter();
    if (trouble == restarting) restart(any_member());
    if (trouble == cutting_some_links) {
      for (int i = 0; i < 3; ++i) blocked_.insert({any_member(), any_member()});
    }
    if (trouble == cutting_off) cut_off(any_member());
    if (trouble == cutting_off_the_leader && leader != NodeId{}) cut_off(leader);
    if (trouble == healing) blocked_.clear();
    if (trouble == changing_membership) change_membership();
    if (trouble == wiping) wipe();
    if (trouble == transferring && leader != NodeId{}) {
      static_cast<void>(cluster_.raft(leader).transfer_leadership(cluster_.now(), any_member()));
      cluster_.pump(leader);
    }
    if (up == NodeId{}) return;
    if (trouble == snapshotting) cluster_.snapshot(up, prng_.below(4));
    if (trouble == installing) prng_.chance(4, 5) ? cluster_.install(up) : refuse(up);
    if (trouble == losing_a_connection) cluster_.raft(up).report_peer_lost(cluster_.now(), any_member());
    if (trouble == campaigning) cluster_.raft(up).campaign(cluster_.now());
    cluster_.pump(up);
  }

  void refuse(NodeId id) {
    TestMember& member = cluster_.member(id);
    if (member.incoming.has_value() && member.incoming->complete) cluster_.refuse(id);
  }

  void cut_off(NodeId id) {
    for (auto& [other, member] : cluster_.members()) {
      blocked_.insert({id, other});
      blocked_.insert({other, id});
    }
  }

  void restart(NodeId id) {
    if (cluster_.member(id).up()) return;
    print(id, "restarts");
    cluster_.restart(id);
  }

  void crash(NodeId id) {
    if (!cluster_.member(id).up()) return;
    print(id, "crashes");
    ++result_.crashes;
    cluster_.crash(id, prng_.below(cluster_.member(id).writes.size() + 1));
    if (prng_.chance(1, 2)) restart(id);
  }

  // In the middle of an election, when its vote matters most.
  void crash_a_voter() {
    for (auto& [id, member] : cluster_.members()) {
      if (!member.up() || member.raft->vote() == NodeId{} || member.raft->leader() != NodeId{}) continue;
      print(id, "crashes after it voted");
      ++result_.crashes;
      cluster_.crash(id, prng_.below(member.writes.size() + 1));
      restart(id);
    }
  }

  // At most one wiped member in doubt at a time, and only of three voters or more: what consensus can
  // survive.
  void wipe() {
    const NodeId id = any_member();
    if (wiped_ != NodeId{} && !cluster_.member(wiped_).disk.may_vote) return;
    for (auto& [other, member] : cluster_.members()) {
      if (!member.up() || !small_enough_fault(member.raft->configuration())) return;
      for (const auto& [node, peer] : member.raft->peers()) {
        if (peer.in_doubt) return;
      }
      if (!member.raft->may_vote() && member.raft->configuration().is_voter(other)) return;
    }
    // A change under way could make it a majority of two.
    for (const Message& message : cluster_.network()) {
      for (const Entry& entry : message.entries) {
        if (entry.kind == EntryKind::configuration) return;
      }
    }
    print(id, "is wiped");
    ++result_.wipes;
    cluster_.wipe(id);
    wiped_ = id;
    if (prng_.chance(1, 2)) cluster_.restart(id);
  }
  static bool small_enough_fault(const Configuration& configuration) {
    if (configuration.empty()) return true;
    return configuration.voters.size() >= 3 &&
           (!configuration.joint() || configuration.voters_outgoing.size() >= 3);
  }

  void change_membership() {
    const NodeId leader = some_leader();
    if (leader == NodeId{}) return;
    if (wiped_ != NodeId{} && !cluster_.member(wiped_).disk.may_vote) {
      // No operator shrinks a cluster before the leader knows what became of a lost member.
      const auto peer = cluster_.raft(leader).peers().find(wiped_);
      if (peer == cluster_.raft(leader).peers().end() || !peer->second.in_doubt) return;
    }
    const Configuration& configuration = cluster_.raft(leader).configuration();
    ConfigurationChange change;
    change.auto_leave = prng_.chance(3, 4);
    for (std::uint64_t i = prng_.between(1, 2); i > 0; --i) {
      const NodeId node = any_member();
      MemberChangeKind kind = MemberChangeKind::add_learner;
      if (configuration.is_learner(node)) {
        kind = prng_.chance(4, 5) ? MemberChangeKind::promote : MemberChangeKind::remove;
      } else if (configuration.is_voter(node)) {
        kind = prng_.chance(1, 2) ? MemberChangeKind::demote : MemberChangeKind::remove;
      }
      change.changes.push_back({kind, node});
    }
    if (configuration.joint() && !configuration.auto_leave) change.changes.clear();
    if (cluster_.raft(leader).propose_configuration(cluster_.now(), change).ok()) ++result_.changes;
    cluster_.pump(leader);
  }

  // Everything works from here on.
  void live() {
    blocked_.clear();
    cluster_.network().clear();
    for (auto& [id, member] : cluster_.members()) {
      if (!member.up()) cluster_.restart(id);
    }
    cluster_.auto_persist = true;
    const TimePoint end = cluster_.now() + 20s;
    while (cluster_.now() < end) {
      settle();
      const NodeId leader = some_leader();
      if (leader != NodeId{} && agreed(leader)) return;
      if (leader != NodeId{} && cluster_.raft(leader).configuration().joint()) {
        static_cast<void>(cluster_.raft(leader).propose_configuration(cluster_.now(), {}));
        cluster_.pump(leader);
      }
      cluster_.advance(5ms);
      for (auto& [id, member] : cluster_.members()) cluster_.tick(id);
    }
    fail("I10: no progress though nothing is broken");
  }

  void settle() {
    for (auto& [id, member] : cluster_.members()) {
      cluster_.persist(id);
      cluster_.install(id);
      cluster_.pump(id);
    }
    std::vector<Message> messages;
    for (int round = 0; round < 100 && !cluster_.network().empty(); ++round) {
      messages.clear();
      messages.swap(cluster_.network());
      for (const Message& message : messages) cluster_.deliver(message);
    }
  }

  // One more entry, at every member.
  bool agreed(NodeId leader) {
    const Raft& raft = cluster_.raft(leader);
    if (!marker_index_.has_value() || marker_term_ != raft.term()) {
      const SharedBytes payload("the last command");
      const Result<LogIndex> index = cluster_.raft(leader).propose(cluster_.now(), {&payload, 1});
      if (!index.ok()) return false;
      marker_index_ = *index;
      marker_term_ = raft.term();
      cluster_.pump(leader);
      return false;
    }
    for (const NodeId node : raft.configuration().members()) {
      if (cluster_.member(node).applied < *marker_index_) return false;
    }
    return true;
  }

  Prng prng_;
  bool trace_;
  TestCluster cluster_;
  RandomRunResult result_;
  int step_ = 0;
  std::uint64_t drops_ = 0;
  std::uint64_t doubles_ = 0;
  std::uint64_t time_step_ns_ = 1;
  std::array<std::uint64_t, troubles> weights_{};
  bool changes_membership_ = false;
  NodeId wiped_;
  std::uint64_t proposed_ = 0;
  std::uint64_t read_count_ = 0;
  std::set<std::pair<NodeId, NodeId>> blocked_;
  std::map<Term, NodeId> leaders_;
  std::map<std::pair<LogIndex, Term>, std::pair<std::uint64_t, Term>> entries_;
  std::vector<Committed> committed_;
  std::map<ReadId, LogIndex> reads_;
  std::optional<LogIndex> marker_index_;
  Term marker_term_;
};

}  // namespace

RandomRunResult random_run(std::uint64_t seed, bool trace) {
  set_assertion_hook(throw_assertion);
  RandomRunResult result;
  {
    RandomRun run(seed, trace);
    result = run.run();
  }
  set_assertion_hook(nullptr);
  return result;
}

}  // namespace lockstep::raft
