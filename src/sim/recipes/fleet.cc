#include "sim/recipes/fleet.h"

#include <algorithm>
#include <utility>

#include "service/waiting.h"
#include "sim/storage.h"

namespace lockstep::sim {

namespace {
constexpr std::int64_t tick_ns = 20'000'000;
}

FleetMachine::FleetMachine(Fleet& fleet, Node& node, std::size_t index)
    : fleet_(fleet),
      node_(node),
      index_(index),
      store_(fleet.wires(), node, index, fleet.fork_prng()),
      context_{store_, node.environment().executor, node.environment().clock, node.environment().random} {
  if (fleet.stopping()) return;
  for (const auto& model : fleet.models()) model->populate(*this);
}

FleetMachine::~FleetMachine() {
  installed_.clear();
  workers_.clear();
}

Endpoint FleetMachine::endpoint() const {
  return fleet_.world().client_endpoint(index_);
}

FleetWorker::FleetWorker(FleetMachine& machine)
    : machine_(machine), number_(++machine.fleet().workers_made_), prng_(machine.fleet().fork_prng()) {
  machine_.fleet().workers_.push_back(this);
}

FleetWorker::~FleetWorker() {
  std::erase(machine_.fleet().workers_, this);
}

bool FleetWorker::wanted() const {
  return !machine_.fleet().stopping();
}

void FleetWorker::doing(std::string what) {
  doing_ = std::move(what);
  World& world = machine_.fleet().world();
  if (world.tracing()) world.trace(describe());
}

std::string FleetWorker::describe() const {
  return "worker " + std::to_string(number_) + " on machine " + std::to_string(machine_.index()) + ": " +
         doing_;
}

Task<void> FleetWorker::pause(std::int64_t low_ms, std::int64_t high_ms) {
  const std::uint64_t length_us =
      prng_.between(static_cast<std::uint64_t>(low_ms) * 1000, static_cast<std::uint64_t>(high_ms) * 1000);
  const TimePoint when = context().clock.now() + std::chrono::microseconds(length_us);
  (void)co_await service::pause_until(context(), when, {});
}

store::CallOptions FleetWorker::within(std::int64_t low_ms, std::int64_t high_ms) {
  store::CallOptions options;
  options.deadline =
      context().clock.now() + std::chrono::milliseconds(prng_.between(static_cast<std::uint64_t>(low_ms),
                                                                      static_cast<std::uint64_t>(high_ms)));
  return options;
}

Fleet::Fleet(Clients& clients, const FleetOptions& options, Prng prng)
    : wires_(clients), options_(options), prng_(prng) {
  wires_.on_notice([this](const store::Event& event) {
    for (const auto& model : models_) model->on_notice(event);
  });
}

void Fleet::start() {
  for (std::size_t index = 0; index < options_.machines; ++index) {
    const NodeId id = world().next_node_id();
    world().add_node(std::make_unique<SimDiskStorage>(world(), id), [this, index](Node& node) {
      return std::make_unique<FleetMachine>(*this, node, index);
    });
    machines_.push_back(id);
    world().start(id);
  }
  tick();
}

void Fleet::tick() {
  for (const auto& model : models_) model->on_tick();
  world().after(tick_ns, [this] { tick(); });
}

bool Fleet::owns(NodeId id) const {
  return std::ranges::find(machines_, id) != machines_.end();
}

void Fleet::report(std::string checker, std::string text) {
  wires_.cluster().report(std::move(checker), std::move(text));
}

}  // namespace lockstep::sim
