// Clients of real members, doing the simulator's workload (sim/workload.h).
//
// A RealActor is one client with connections of its own. What came of an operation is what remote::Store says
// of it: a mutation that may have reached a member and got no answer is unknown, whatever anybody believes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "machine.h"
#include "remote/store.h"
#include "sim/actor.h"

namespace lockstep::faults {

class RealActor final : public sim::Actor {
 public:
  RealActor(Machine& machine, sim::Recorder& recorder, std::uint32_t number, Prng prng,
            const std::vector<std::string>& endpoints, Duration timeout);

  [[nodiscard]] Machine& machine() { return machine_; }
  [[nodiscard]] store::Store& store() { return store_; }

  Task<sim::Operation*> execute(sim::AnyRequest request, bool retry) override;
  // Servers of etcd's protocol know no RequestIds.
  Task<void> register_client() override { co_return; }
  Task<void> sleep(std::int64_t ns) override;

 private:
  Task<sim::Operation*> run(sim::Operation& operation);
  void start(sim::AnyRequest request, std::move_only_function<void(sim::Answer)> done);
  // Which of a member's lives answered: a later life needs a new connection.
  [[nodiscard]] std::uint64_t connections_made() const;

  Machine& machine_;
  Duration timeout_;
  std::unique_ptr<remote::Connections> connections_;
  remote::Store store_;
};

// Puts one key of its own as fast as the pauses allow, so that a gap in acknowledged writes shows how long
// nobody could write.
inline constexpr const char* pulse_prefix = "pulse/";
Task<void> run_pulse(RealActor& client);

// Compacts now and then, never beyond what `collected` says was collected.
Task<void> run_compactor(RealActor& client, const std::int64_t& collected);

}  // namespace lockstep::faults
