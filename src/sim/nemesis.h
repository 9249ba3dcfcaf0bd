// The fault plan: strikes at drawn moments with the kinds of faults the seed chose, within what the cluster
// can theoretically survive, and heals everything in the end.
//
// Limits it keeps: crashes and partitions may hit everybody (durable state survives them); damage to a
// directory (flipped bits, lost writes, a wipe, an old copy) hits at most a minority of the voters until they
// are repaired, and never while the membership changes. A fault counts when it changed something.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "sim/client.h"
#include "sim/cluster.h"

namespace lockstep::sim {

class Nemesis {
 public:
  Nemesis(Cluster& cluster, Clients& clients, Prng prng);

  void start();
  // A process died, by a fault or by itself: it starts again some time later.
  void on_death(Node& node);
  // Ends all faults and brings everybody back, but for those left out; no more strikes.
  void heal();
  // Voters that stay down although everything else is healed: a minority, if the options say so.
  [[nodiscard]] const std::set<NodeId>& left_out() const { return left_out_; }
  void bring_back_left_out();
  [[nodiscard]] std::uint64_t faults_that_mattered() const { return mattered_; }

 private:
  using Pair = std::pair<Endpoint, Endpoint>;

  // nemesis.cc: the schedule, and what befalls machines
  void schedule_next();
  void strike();
  bool inject(Fault fault);
  bool inject_machine_fault(Fault fault);
  void note(Fault fault, const std::string& what);
  void matter(Fault fault);
  bool crash(Fault fault);
  bool crash_all(Fault fault);
  bool crash_at_step();
  bool pause();
  bool clock_rate();
  bool wall_clock();
  void restart_later(NodeId id, std::int64_t delay_ns);
  void restart(NodeId id);
  void choose_left_out();
  [[nodiscard]] NodeId pick_running();
  [[nodiscard]] std::int64_t draw_ns(std::int64_t low_ms, std::int64_t high_ms);

  // nemesis_disk.cc
  bool disk_slow();
  bool disk_full();
  bool disk_frozen();
  bool sync_error();
  bool wipe_while_others_lag(NodeId id);
  bool read_error();
  bool engine_error();
  bool damage(Fault fault);
  void do_damage(Fault fault, NodeId id, const Directory& old);
  [[nodiscard]] bool others_hold_all_of(NodeId id);
  void flip_bits(NodeId id);
  [[nodiscard]] bool may_damage(NodeId id);
  void note_repairs();
  void heal_disks();

  // nemesis_network.cc
  bool partition();
  bool one_way();
  bool bridge();
  bool isolate_leader();
  bool swizzle_clog();
  bool loss();
  bool slow_link();
  bool false_peer_lost();
  bool client_cut();
  bool cut_for_a_while(Fault fault, std::vector<Pair> pairs);
  void cut_for(Fault fault, std::vector<Pair> pairs, std::int64_t length_ns);
  [[nodiscard]] std::vector<Endpoint> member_endpoints() const;
  [[nodiscard]] std::vector<Endpoint> client_endpoints() const;

  // nemesis_members.cc
  bool transfer();
  bool contested_election();
  void watch_votes();
  void muffle(NodeId candidate);
  bool add_member();
  void split_for(NodeId leader, const std::vector<raft::MemberChange>& changes,
                 const std::vector<NodeId>& voters);
  bool remove_member();
  void try_promote(const std::vector<NodeId>& fresh, bool replace, int attempts_left);
  void on_leader(std::function<void(replica::Replica&)> action);
  void note_membership();

  Cluster& cluster_;
  Clients& clients_;
  World& world_;
  Prng prng_;
  std::vector<Fault> kinds_;
  std::set<NodeId> restarting_;
  std::set<NodeId> left_out_;
  struct Vote {
    Term term;
    NodeId vote;
    friend bool operator==(const Vote&, const Vote&) = default;
  };
  std::map<NodeId, Vote> votes_seen_;
  std::int64_t vote_watch_until_ns_ = 0;
  NodeId hasty_;         // starts again at once
  bool muffle_ = false;  // who wins the contested election
  NodeId muffled_;
  raft::Configuration committed_configuration_;  // the newest that was seen
  LogIndex committed_configuration_at_;
  std::uint64_t mattered_ = 0;
  std::uint64_t membership_changes_ = 0;  // under way
  bool healed_ = false;
};

}  // namespace lockstep::sim
