#include "tamper.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

namespace lockstep::faults {
namespace {

bool lose_write(sim::History& history) {
  if (history.effects.empty()) return false;
  const Revision lost = history.effects.back().revision;
  history.effects.pop_back();
  for (sim::FinalState& state : history.final_states) {
    state.revision = Revision(lost.value() - 1);
    std::erase_if(state.kvs, [&](const store::KeyValue& kv) { return kv.mod_revision == lost; });
  }
  return true;
}

bool answer_stale(sim::History& history) {
  std::map<std::string, const sim::Operation*> before;  // by key: what was read first
  for (sim::Operation& operation : history.operations) {
    const auto* request = std::get_if<store::RangeRequest>(&operation.request);
    const auto* response = std::get_if<store::RangeResponse>(&operation.response);
    if (request == nullptr || response == nullptr || !request->key.starts_with("r/")) continue;
    const sim::Operation*& first = before[request->key];
    if (first == nullptr) first = &operation;
    if (operation.invoked_ns < first->returned_ns || response->kvs.empty()) continue;
    if (std::get<store::RangeResponse>(first->response).kvs == response->kvs) continue;
    operation.response = first->response;
    return true;
  }
  return false;
}

bool lose_event(sim::History& history) {
  for (sim::WatchRecord& watch : history.watches) {
    for (store::WatchResponse& response : watch.responses) {
      if (response.events.size() < 2 || response.fragment) continue;
      response.events.erase(response.events.begin());
      return true;
    }
  }
  return false;
}

bool answer_twice(sim::History& history) {
  store::PutResponse* first = nullptr;
  for (sim::Operation& operation : history.operations) {
    auto* response = std::get_if<store::PutResponse>(&operation.response);
    if (response == nullptr) continue;
    if (first != nullptr) {
      response->header.revision = first->header.revision;
      return true;
    }
    first = response;
  }
  return false;
}

constexpr std::array<std::pair<std::string_view, Tamper>, 4> tampers = {{{"lost-write", lose_write},
                                                                         {"stale-read", answer_stale},
                                                                         {"lost-event", lose_event},
                                                                         {"two-causes", answer_twice}}};

}  // namespace

std::span<const std::pair<std::string_view, Tamper>> all_tampers() {
  return tampers;
}

}  // namespace lockstep::faults
