// The figures, one function each. Each prints its row: what, figure, target, met or MISSED.
#pragma once

#include <string>
#include <vector>

#include "core/harness.h"

namespace lockstep::bench {

struct Scenario {
  std::string name;
  void (*run)(const Settings& settings);
};
const std::vector<Scenario>& scenarios();

// One of the three processes. Serves until it is killed. Peers: "1=host:port,2=host:port,…".
int run_member(const std::string& directory, NodeId node, const std::string& peers);

}  // namespace lockstep::bench
