// Elections under faults: leaders that proclaim and write, observers that are told who leads.
//
// What a leader is judged by is what a lock's holder is judged by (line_model.h): token, holder, resource,
// belief, leak; a proclamation counts as a deed of the holder. And
//
//   observer  is told leaders in the order of their tokens, of each one's words in their order, and only what
//             was said for that leader
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "sim/recipes/line_model.h"

namespace lockstep::sim {

class ElectionModel final : public LineModel {
 public:
  static constexpr const char* election = "elections/e0";

  explicit ElectionModel(Fleet& fleet) : LineModel(fleet, {{election, {1, false, true}}}, "led/") {}
  [[nodiscard]] std::string_view name() const override { return "election"; }
  void populate(FleetMachine& machine) override;

  // Something to be said: by this session only.
  std::string words_of(LeaseId session);
  struct Told {
    Revision token;
    Revision modified;
  };
  // `last`: what this observer was told before.
  void observed(Told& last, const store::KeyValue& leader);

 private:
  std::map<std::string, LeaseId> speakers_;  // by their words
};

}  // namespace lockstep::sim
