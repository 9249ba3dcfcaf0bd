// A stream of states: what a range of keys means now, and then each time that it means something else.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "base/task.h"
#include "gateway/v1/coordination.h"

namespace lockstep::gateway::v1 {

struct State {
  std::string event;
  JsonText data;
  Revision revision;  // of the store, at which this held
  bool last = false;  // nothing will follow
};

// The store, or who was asked for it, cannot answer now.
bool may_pass(const Status& failure);

struct Following {
  std::string key;
  std::string range_end;
  // Reads what the keys mean. States between two readings may be skipped, the last one never is.
  std::function<Task<Result<State>>(store::CallOptions options)> read;
};

// What is sent where the range could not be followed (compacted, or the store was away for a while): then the
// state as it is now, also if it is the one that was sent last.
Event restarted_event();

// Until the client is gone (ok), the state is the last one (ok) or an error that does not pass; one that may
// pass is an error only for the first state.
Task<Status> follow(Coordination* recipes, Following what, store::CallOptions options, EventSink* sink);

}  // namespace lockstep::gateway::v1
