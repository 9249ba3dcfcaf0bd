// Seata's state machine language, as far as it is about calling services and undoing what they did.
//
// States is a map, with StartState, or an array of states with a Name each, of which the first one is the
// start; CompensateMethod names a method of the same service where CompensateState names a state.
//
// A service is called by POST at URL/METHOD: URL is ServiceName's in the table of services, METHOD is
// ServiceMethod. The body is the value of Input, a list of one value bare; without Input it is the input of
// the saga.
//
// Differences to Seata, all towards safety: a failure that no Catch and no Choice looks at, and Fail, undo
// what was done; an outcome that is unknown counts as UN whatever Status says, unless it says SU; a 409 is
// FA; attempts end after 8 unless Retry says otherwise.
//
// Refused with the reason: ScriptTask (code is not run), SubStateMachine, CompensateSubMachine, Loop, service
// types that are no HTTP, exceptions that no HTTP call has.
#pragma once

#include <string>

#include "service/transaction/saga/definition.h"

namespace lockstep::service::transaction::saga {

void read_states(const Json& json, const std::string& path, const Services& services,
                 const ReadOptions& options, Definition* definition, Problems* problems);

}  // namespace lockstep::service::transaction::saga
