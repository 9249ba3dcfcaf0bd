#include "client.h"

#include <algorithm>
#include <utility>

#include "sim/model_store.h"

namespace lockstep::faults {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t pause_after_failure_ns = 10 * ms;
constexpr std::int64_t beat_interval_ns = 10 * ms;
constexpr std::uint64_t beats_under_way_max = 500;

NodeId member_of(const sim::AnyResponse& response) {
  return std::visit(
      [](const auto& any) {
        if constexpr (std::is_same_v<std::decay_t<decltype(any)>, std::monostate>) {
          return NodeId{};
        } else {
          return any.header.member;
        }
      },
      response);
}

}  // namespace

RealActor::RealActor(Machine& machine, sim::Recorder& recorder, std::uint32_t number, Prng prng,
                     const std::vector<std::string>& endpoints, Duration timeout)
    : Actor(recorder, number, prng),
      machine_(machine),
      timeout_(timeout),
      connections_(machine.connect(endpoints)),
      store_(*connections_) {}

std::uint64_t RealActor::connections_made() const {
  std::uint64_t made = 0;
  for (const remote::EndpointStatus& endpoint : connections_->endpoints()) made += endpoint.connections;
  return made;
}

void RealActor::start(sim::AnyRequest request, std::move_only_function<void(sim::Answer)> done) {
  store::CallOptions options;
  options.deadline = machine_.after(timeout_);
  sim::issue(store_, std::move(request), std::move(options),
             [this, done = std::move(done)](Result<sim::AnyResponse> result) mutable {
               sim::Answer answer;
               if (result.ok()) {
                 answer.outcome = sim::Outcome::ok;
                 answer.response = *std::move(result);
                 answer.member = member_of(answer.response);
                 answer.member_life = connections_made();
               } else {
                 answer.status = result.status();
                 answer.outcome = is_unknown(answer.status) ? sim::Outcome::unknown : sim::Outcome::failed;
               }
               done(std::move(answer));
             });
}

// Begins before anybody awaits it: others that are ready may run first, and its value names its number.
Task<sim::Operation*> RealActor::execute(sim::AnyRequest request, bool /*retry*/) {
  return run(begin(std::move(request), machine_.now_ns()));
}

Task<sim::Operation*> RealActor::run(sim::Operation& operation) {
  sim::Answer answer = co_await from_callback<sim::Answer>(
      [this, &operation](auto done) { start(operation.request, std::move(done)); });
  record(operation, std::move(answer), machine_.now_ns());
  if (operation.outcome != sim::Outcome::ok) co_await sleep(pause_after_failure_ns);
  co_return &operation;
}

Task<void> RealActor::sleep(std::int64_t ns) {
  co_await from_callback<bool>([this, ns](auto done) {
    machine_.executor().schedule(machine_.after(Duration(ns)),
                                 [done = std::move(done)]() mutable { done(true); });
  });
}

namespace {

Task<void> beat(RealActor& client, std::string key, std::shared_ptr<std::uint64_t> under_way) {
  const sim::Actor::Active active(client);
  ++*under_way;
  store::PutRequest put;
  put.key = std::move(key);
  put.value = std::to_string(client.next_number()) + ":";
  co_await client.execute(std::move(put), false);
  --*under_way;
}

}  // namespace

Task<void> run_pulse(RealActor& client) {
  const sim::Actor::Active active(client);
  const auto under_way = std::make_shared<std::uint64_t>(0);
  while (!client.recorder().stopping()) {
    if (*under_way < beats_under_way_max)
      beat(client, pulse_prefix + std::to_string(client.number()), under_way).detach();
    co_await client.sleep(beat_interval_ns);
  }
}

Task<void> run_compactor(RealActor& client, const std::int64_t& collected) {
  const sim::Actor::Active active(client);
  while (!client.recorder().stopping()) {
    for (std::uint64_t i = client.prng().between(10, 40); i > 0 && !client.recorder().stopping(); --i)
      co_await client.sleep(100 * ms);
    if (client.recorder().stopping()) break;
    store::CompactRequest compact;
    compact.revision = Revision(collected - static_cast<std::int64_t>(client.prng().below(1000)));
    if (compact.revision.value() < 2) continue;
    client.recorder().coverage().add(sim::Covered::op_compact);
    co_await client.execute(compact, false);
  }
}

}  // namespace lockstep::faults
