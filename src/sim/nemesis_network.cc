// Faults of the wires.
#include <algorithm>

#include "sim/nemesis.h"

namespace lockstep::sim {

std::vector<Endpoint> Nemesis::member_endpoints() const {
  std::vector<Endpoint> endpoints;
  for (const NodeId id : cluster_.members()) endpoints.push_back(World::member_endpoint(id));
  return endpoints;
}

std::vector<Endpoint> Nemesis::client_endpoints() const {
  std::vector<Endpoint> endpoints;
  for (std::size_t client = 0; client < clients_.endpoint_count(); ++client) {
    endpoints.push_back(world_.client_endpoint(client));
  }
  return endpoints;
}

bool Nemesis::cut_for_a_while(Fault fault, std::vector<Pair> pairs) {
  if (pairs.empty()) return false;
  // Long enough to outlive elections, or short enough to fall between them.
  const std::int64_t length_ns = prng_.chance(1, 4) ? draw_ns(2000, 12'000) : draw_ns(100, 4000);
  cut_for(fault, std::move(pairs), length_ns);
  return true;
}

void Nemesis::cut_for(Fault fault, std::vector<Pair> pairs, std::int64_t length_ns) {
  const std::uint64_t cut_before = world_.links().counters().cut;
  for (const auto& [from, to] : pairs) world_.links().cut(from, to);
  world_.after(length_ns, [this, fault, pairs = std::move(pairs), cut_before] {
    for (const auto& [from, to] : pairs) world_.links().mend(from, to);
    if (world_.links().counters().cut > cut_before) matter(fault);
  });
}

bool Nemesis::partition() {
  // Clients fall on one side or the other, too.
  std::vector<Endpoint> all = member_endpoints();
  if (all.size() < 2) return false;
  std::string sides;
  std::vector<std::pair<Endpoint, bool>> side_of;
  for (const Endpoint member : all) {
    side_of.emplace_back(member, prng_.chance(1, 2));
    sides += side_of.back().second ? 'a' : 'b';
  }
  for (const Endpoint client : client_endpoints()) side_of.emplace_back(client, prng_.chance(1, 2));
  note(Fault::partition, sides);
  std::vector<Pair> pairs;
  for (const auto& [from, from_side] : side_of) {
    for (const auto& [to, to_side] : side_of) {
      if (from_side != to_side) pairs.emplace_back(from, to);
    }
  }
  return cut_for_a_while(Fault::partition, std::move(pairs));
}

bool Nemesis::one_way() {
  const std::vector<Endpoint> members = member_endpoints();
  if (members.size() < 2) return false;
  const Endpoint victim = members[prng_.below(members.size())];
  const bool outgoing = prng_.chance(1, 2);
  std::vector<Pair> pairs;
  for (const Endpoint other : members) {
    if (other == victim || prng_.chance(1, 4)) continue;
    pairs.push_back(outgoing ? Pair(victim, other) : Pair(other, victim));
  }
  note(Fault::one_way,
       "node " + std::to_string(victim + 1) + (outgoing ? " cannot be heard" : " cannot hear"));
  return cut_for_a_while(Fault::one_way, std::move(pairs));
}

bool Nemesis::bridge() {
  std::vector<Endpoint> members = member_endpoints();
  if (members.size() < 3) return false;
  const std::size_t middle = prng_.below(members.size());
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < members.size(); ++i) {
    for (std::size_t j = 0; j < members.size(); ++j) {
      if (i == middle || j == middle || i % 2 == j % 2) continue;
      pairs.emplace_back(members[i], members[j]);
    }
  }
  note(Fault::bridge, "over node " + std::to_string(members[middle] + 1));
  return cut_for_a_while(Fault::bridge, std::move(pairs));
}

bool Nemesis::isolate_leader() {
  const NodeId leader = cluster_.leader();
  if (leader == NodeId{}) return false;
  const Endpoint isolated = World::member_endpoint(leader);
  std::vector<Pair> pairs;
  for (const Endpoint other : member_endpoints()) {
    if (other == isolated) continue;
    pairs.emplace_back(isolated, other);
    pairs.emplace_back(other, isolated);
  }
  // Its clients stay with it: they must not be told stale things.
  note(Fault::isolate_leader, "node " + std::to_string(leader.value()));
  return cut_for_a_while(Fault::isolate_leader, std::move(pairs));
}

bool Nemesis::swizzle_clog() {
  // Some nodes' links stop one after the other and come back in another order.
  const std::vector<Endpoint> members = member_endpoints();
  if (members.size() < 2) return false;
  note(Fault::swizzle_clog, "");
  const std::uint64_t clogged_before = world_.links().counters().clogged;
  for (const Endpoint member : members) {
    if (prng_.chance(1, 3)) continue;
    const std::int64_t begin = draw_ns(0, 2000);
    const std::int64_t end = world_.now() + begin + draw_ns(100, 3000);
    world_.after(begin, [this, member, end] {
      if (healed_ || world_.now() >= end) return;
      for (const Endpoint other : member_endpoints()) {
        if (other == member) continue;
        world_.links().clog(member, other, end);
        world_.links().clog(other, member, end);
      }
    });
  }
  world_.after(6'000'000'000, [this, clogged_before] {
    if (world_.links().counters().clogged > clogged_before) matter(Fault::swizzle_clog);
  });
  return true;
}

bool Nemesis::loss() {
  const std::vector<Endpoint> members = member_endpoints();
  if (members.size() < 2) return false;
  const Endpoint victim = members[prng_.below(members.size())];
  const auto loss_ppm = static_cast<std::uint32_t>(prng_.between(10'000, 300'000));
  note(Fault::loss, std::to_string(loss_ppm) + " ppm around node " + std::to_string(victim + 1));
  const std::uint64_t lost_before = world_.links().counters().lost;
  const auto set = [this, victim](std::uint32_t ppm) {
    for (const Endpoint other : member_endpoints()) {
      if (other == victim) continue;
      world_.links().set_loss(victim, other, ppm);
      world_.links().set_loss(other, victim, ppm);
    }
  };
  set(loss_ppm);
  world_.after(draw_ns(500, 8000), [this, set, lost_before] {
    set(0);
    if (world_.links().counters().lost > lost_before) matter(Fault::loss);
  });
  return true;
}

bool Nemesis::slow_link() {
  const std::vector<Endpoint> members = member_endpoints();
  if (members.size() < 2) return false;
  const Endpoint victim = members[prng_.below(members.size())];
  const auto factor = static_cast<std::uint32_t>(prng_.between(10, 100));
  note(Fault::slow_link, "node " + std::to_string(victim + 1) + " by " + std::to_string(factor));
  matter(Fault::slow_link);
  const auto set = [this, victim](std::uint32_t slowness) {
    for (const Endpoint other : member_endpoints()) {
      if (other == victim) continue;
      world_.links().set_slowness(victim, other, slowness);
      world_.links().set_slowness(other, victim, slowness);
    }
  };
  set(factor);
  world_.after(draw_ns(500, 6000), [set] { set(1); });
  return true;
}

bool Nemesis::false_peer_lost() {
  const std::vector<NodeId> members = cluster_.members();
  if (members.size() < 2) return false;
  const NodeId told = pick_running();
  const NodeId peer = members[prng_.below(members.size())];
  if (told == NodeId{} || told == peer) return false;
  note(Fault::false_peer_lost,
       "node " + std::to_string(told.value()) + " about " + std::to_string(peer.value()));
  matter(Fault::false_peer_lost);
  world_.tell_peer_lost(told, peer);
  return true;
}

bool Nemesis::client_cut() {
  const std::vector<Endpoint> clients = client_endpoints();
  const Endpoint client = clients[prng_.below(clients.size())];
  std::vector<Pair> pairs;
  const bool answers_only = prng_.chance(1, 2);  // requests arrive, answers do not: unknown outcomes
  for (const Endpoint member : member_endpoints()) {
    if (prng_.chance(1, 4)) continue;
    pairs.emplace_back(member, client);
    if (!answers_only) pairs.emplace_back(client, member);
  }
  note(Fault::client_cut, "client endpoint " + std::to_string(client));
  return cut_for_a_while(Fault::client_cut, std::move(pairs));
}

}  // namespace lockstep::sim
