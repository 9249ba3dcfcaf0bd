// What every route shares that gives something to a session and may wait for it: the session that the request
// names, or one made for it.
#pragma once

#include <functional>
#include <string>

#include "gateway/v1/coordination.h"
#include "service/session/session.h"

namespace lockstep::gateway::v1 {

// One that was made for the request is kept alive here until the answer.
struct Seat {
  service::SessionPtr session;
  bool made_here = false;
};

// By the fields session, ttl_ms and lock_delay_ms. The call outlives the task.
Task<Result<Seat>> seat_of(Coordination* recipes, const Call* call, LeaseId named);
// As long as the request wants to wait, from now.
store::CallOptions waiting_options(Coordination& recipes, const Call& call);
// What was waited for is there: the client's time begins with the answer. An error: nobody will take it.
Task<Status> hand_over(Seat seat, Call* call);
// Takes back what nobody will use: the session if it was made here, else by `release`; empty: the request
// took nothing. Answers `why`, or that the outcome is unknown: something is still taken, for all we know.
Task<Status> give_up(Coordination* recipes, Seat seat, store::CallOptions options,
                     std::function<Task<Status>(store::CallOptions options)> release, Status why);

// The fields of a request that those read, with who asks and why; and of the answer.
Fields seat_fields(Field what);
Fields with_session(Fields fields);
void add_session(Coordination& recipes, JsonText* json, const Seat& seat);
service::Description description_of(const Call& call);

}  // namespace lockstep::gateway::v1
