#include "sim/world.h"

#include <bit>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"

namespace lockstep::sim {

namespace {

// What the assertion hook throws: it unwinds the event of the node whose assertion failed.
struct AssertionFailed {};

thread_local World* current_world = nullptr;

const char* name_of(EventKind kind) {
  switch (kind) {
    case EventKind::control:
      return "control";
    case EventKind::strand:
      return "strand";
    case EventKind::timer:
      return "timer";
    case EventKind::message:
      return "message";
    case EventKind::peer_lost:
      return "peer_lost";
    case EventKind::worker:
      return "worker";
    case EventKind::worker_done:
      return "worker_done";
    case EventKind::disk:
      return "disk";
  }
  return "?";
}

SharedBytes join(Pieces pieces) {
  if (pieces.size() == 1) return std::move(pieces.front());
  std::string bytes;
  bytes.reserve(size_of(pieces));
  for (const SharedBytes& piece : pieces) bytes.append(piece.view());
  return SharedBytes(std::move(bytes));
}

}  // namespace

World* World::current() {
  return current_world;
}

World::World(std::uint64_t seed, const WorldOptions& options)
    : options_(options),
      prng_(seed),
      post_prng_(prng_.fork()),
      links_(options.nodes_max + options.clients_max, prng_.fork(), options.links),
      hash_(seed) {
  LS_MUST(current_world == nullptr, "one world at a time on a thread");
  current_world = this;
  set_assertion_hook(&World::on_assertion);
}

World::~World() {
  // Processes go first, while the queue they might cancel timers in still stands.
  death_observer_ = nullptr;
  event_observer_ = nullptr;
  for (const auto& node : nodes_) {
    if (node->alive_) node->die();
  }
  current_world = nullptr;
}

void World::on_assertion(const char* condition, const char* hint, const char* file, int line) {
  World* world = current_world;
  // Outside a node's event it is the simulator's own assertion: let the program abort.
  if (world == nullptr || world->running_ == nullptr) return;
  Node& node = *world->running_;
  if (!node.doomed_) {
    world->assertions_.push_back({node.id(), world->now_,
                                  std::string(condition) + " at " + file + ":" + std::to_string(line) +
                                      (*hint != '\0' ? std::string(" (") + hint + ")" : "")});
    if (world->tracing()) world->trace("assertion failed: " + world->assertions_.back().text);
  }
  node.doom(DeathKind::killed);
  throw AssertionFailed{};
}

EventQueue::Handle World::at(std::int64_t time, env::Closure closure) {
  LS_MUST(time >= now_, "the past cannot be changed");
  return queue_.add(time, EventKind::control, no_owner, std::move(closure));
}

void World::mix(std::uint64_t value) {
  hash_ = (std::rotl(hash_, 23) ^ value) * 0x9e3779b97f4a7c15;
}

void World::run_until(std::int64_t time) {
  while (!stopped_ && step(time)) {
  }
  if (!stopped_ && now_ < time) now_ = time;
}

bool World::step(std::int64_t until) {
  std::int64_t time = 0;
  std::uint32_t slot = 0;
  if (!queue_.take(until, &time, &slot)) return false;
  LS_MUST(time >= now_, "time goes forward");
  if (time != now_) events_at_now_ = 0;
  LS_MUST(++events_at_now_ <= options_.events_at_one_time_max, "a loop that never lets time go on");
  now_ = time;
  Event& event = queue_.at(slot);
  if (event.owner == no_owner) {
    ++events_;
    mix(static_cast<std::uint64_t>(time));
    env::Closure closure = std::exchange(event.closure, nullptr);
    queue_.release(slot);
    closure();
    return true;
  }
  Node& node = *nodes_[event.owner];
  if (!node.alive_) {  // a message to a dead process
    queue_.release(slot);
    return true;
  }
  if (node.hold_if_paused(slot)) return true;
  ++events_;
  mix(static_cast<std::uint64_t>(time));
  mix((std::uint64_t{event.owner} << 8) | static_cast<std::uint64_t>(event.kind));
  if (event.kind == EventKind::message) mix(crc32c(event.message.view()));
  if (tracing()) trace_event(event);
  running_ = &node;
  try {
    node.run(slot);
  } catch (const AssertionFailed&) {
    // Recorded by the hook, which also doomed the node.
  }
  if (node.doomed_) {
    const bool killed = node.death_ == DeathKind::killed;
    if (killed) break_connections_of(node);
    node.die();
    running_ = nullptr;
    if (death_observer_) death_observer_(node);
    return true;
  }
  running_ = nullptr;
  if (event_observer_) event_observer_(node);
  return true;
}

Node& World::add_node(std::unique_ptr<Storage> storage, ProcessFactory factory) {
  LS_MUST(nodes_.size() < options_.nodes_max);
  const NodeId id = next_node_id();
  nodes_.push_back(std::make_unique<Node>(*this, static_cast<Owner>(nodes_.size()), id, prng_.fork(),
                                          std::move(storage), std::move(factory)));
  return *nodes_.back();
}

Node& World::node(NodeId id) {
  LS_MUST(id.value() >= 1);
  LS_MUST(id.value() <= nodes_.size());
  return *nodes_[id.value() - 1];
}

void World::start(NodeId id) {
  if (tracing()) trace("start node " + std::to_string(id.value()));
  node(id).start();
}

void World::crash(NodeId id, DeathKind kind) {
  Node& target = node(id);
  if (!target.alive_) return;
  target.doom(kind);
  if (running_ == &target) return;  // step() finishes it
  LS_MUST(running_ == nullptr, "one node does not kill another");
  if (tracing()) {
    trace("node " + std::to_string(id.value()) + (kind == DeathKind::killed ? " killed" : " power cut"));
  }
  running_ = &target;
  if (kind == DeathKind::killed) break_connections_of(target);
  target.die();
  running_ = nullptr;
  if (death_observer_) death_observer_(target);
}

void World::schedule_for(NodeId id, std::int64_t delay, EventKind kind, env::Closure closure) {
  Node& target = node(id);
  if (!target.running()) return;
  queue_.add(now_ + delay, kind, target.owner(), std::move(closure));
}

void World::tell_peer_lost(NodeId id, NodeId peer) {
  queue_.add_peer_lost(now_, node(id).owner(), peer);
}

void World::break_connections_of(Node& node) {
  for (const auto& other : nodes_) {
    if (other.get() == &node || !other->alive_) continue;
    const bool told = prng_.below(1'000'000) < options_.peer_lost_ppm;
    if (!told || links_.is_cut(member_endpoint(node.id()), member_endpoint(other->id()))) continue;
    queue_.add_peer_lost(now_ + links_.options().delay_min_ns, other->owner(), node.id());
  }
}

void World::send(Node& from, NodeId to, Pieces pieces) {
  if (to.value() < 1 || to.value() > nodes_.size()) return;
  const std::size_t bytes = size_of(pieces);
  const Links::Delivery delivery = links_.send(member_endpoint(from.id()), member_endpoint(to), bytes, now_);
  if (delivery.count == 0) return;
  const SharedBytes message = join(std::move(pieces));
  for (std::size_t i = 0; i < delivery.count; ++i) {
    queue_.add_message(delivery.times[i], node(to).owner(), from.id(), message);
  }
}

Endpoint World::client_endpoint(std::size_t client) const {
  LS_MUST(client < options_.clients_max);
  return static_cast<Endpoint>(options_.nodes_max + client);
}

void World::carry(Endpoint from, Endpoint to, std::size_t bytes, env::Closure deliver) {
  // One delivery only: clients speak over a connection, which drops what comes twice.
  const Links::Delivery delivery = links_.send(from, to, bytes, now_);
  if (delivery.count == 0) return;
  at(delivery.times[0], std::move(deliver));
}

void World::trace(const std::string& text) {
  if (!trace_sink_) return;
  std::string line = std::to_string(now_ / 1'000'000'000) + ".";
  std::string fraction = std::to_string(now_ % 1'000'000'000);
  line.append(9 - fraction.size(), '0').append(fraction).append(" ");
  if (running_ != nullptr) line += "n" + std::to_string(running_->id().value()) + " ";
  trace_sink_(line + text);
}

void World::trace_event(const Event& event) {
  std::string text = "n" + std::to_string(event.owner + 1) + " " + name_of(event.kind);
  if (event.kind == EventKind::message || event.kind == EventKind::peer_lost) {
    text += " from n" + std::to_string(event.from.value());
    if (event.kind == EventKind::message) text += " " + std::to_string(event.message.size()) + " bytes";
  }
  trace(text);
}

}  // namespace lockstep::sim
