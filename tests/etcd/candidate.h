// The state machine under test, driven as the replica would: mutations gathered into entries, reads between.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "base/prng.h"
#include "step.h"
#include "store/command.h"
#include "store/state_machine.h"

namespace lockstep::etcd_test {

class Candidate {
 public:
  // The smallest TTL is etcd's, so that grants compare.
  Candidate();

  // Queues a step; its answer comes with flush() at the latest. Answers are in the order of the steps.
  void step(const Step& step);
  void flush();
  [[nodiscard]] std::vector<boost::json::value> take_answers();
  // Entries hold up to this many commands.
  void set_batch(std::size_t commands) { batch_ = commands; }
  // Writes everything into rows and goes on with a new state machine made of them.
  void restart();

  [[nodiscard]] Known known() const;

 private:
  bool try_propose(const Step& step);
  boost::json::value read(const Step& step);

  std::unique_ptr<store::StateMachine> machine_;
  store::BatchBuilder builder_;
  std::vector<Step> queued_;
  std::vector<boost::json::value> answers_;
  std::size_t batch_ = 1;
};

}  // namespace lockstep::etcd_test
