// Transactions under faults: machines submit transfers between accounts, decide some of them, coordinate
// them in turn; the verdict is at the accounts (participants.h), and
//
//   monotone   what was seen decided, or finished, stays so
//   stuck      everything that was submitted is finished in the end
//   decided    what whoever began it was told is what it came to
//
// Transfers by tcc, xa, saga and message with check-back, and notifications. Wall clocks jump, clocks run
// fast and slow; coordinators, owners and senders die at any moment.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "service/transaction/machine.h"
#include "sim/recipes/fleet.h"
#include "sim/recipes/participants.h"

namespace lockstep::sim {

class TransactionModel final : public Model {
 public:
  using Verdict = service::transaction::Verdict;

  explicit TransactionModel(Fleet& fleet) : fleet_(fleet), participants_(fleet, fleet.fork_prng()) {}
  [[nodiscard]] std::string_view name() const override { return "transaction"; }
  void populate(FleetMachine& machine) override;
  [[nodiscard]] std::uint64_t achieved() const override { return finished_; }
  Violations check(const History& history) override;
  void on_tick() override;

  // What workers tell.
  std::string begin();
  void was_submitted(const std::string& gid) { transactions_[gid].submitted = true; }
  void was_decided(const std::string& gid, bool commit);
  void seen(const std::string& gid, Verdict verdict);
  [[nodiscard]] bool all_done() const;
  [[nodiscard]] std::string first_open() const;
  [[nodiscard]] Participants& participants() { return participants_; }
  [[nodiscard]] std::int64_t now_ns() { return fleet_.world().now(); }

 private:
  struct Record {
    bool submitted = false;  // for certain
    bool committed = false;  // as whoever decided was told
    bool aborted = false;
    Verdict verdict = Verdict::running;  // the furthest that was seen
  };
  Fleet& fleet_;
  Participants participants_;
  std::map<std::string, Record> transactions_;
  std::uint64_t finished_ = 0;
};

}  // namespace lockstep::sim
