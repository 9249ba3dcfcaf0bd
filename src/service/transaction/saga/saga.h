// Sagas: the machine (machine.h) of a definition in either of two languages.
//
//   {"steps": [...]}     steps one after the other, or a graph of them: definition.h
//   {"States": ...}      Seata's state machine language, States as an array or as a map: state_language.h
//   {"definition": one of the two, "services": {"orderService": "http://…"}, "input": {...},
//    "timeout": "10m"}   the same with what it needs to run
//
// What is kept of a transaction is the document as it was given: the machine is made of it again after every
// takeover. `gid` is part of the ids that `$Sequence` makes.
//
//   1. A step is compensated only if its action may have had an effect: it was done, or its outcome is not
//      known. A refused one and one that never began are not; nor one that certainly was not sent (dropped).
//      One that was refused after an attempt without outcome is.
//   2. Compensation begins when no action is under way any more: what is under way when a saga is given up is
//      named with attempts_max = 1, so its attempt is the last one, and its outcome is learned.
//   3. Compensations go newest first, one at a time, unless the definition says that they may go in parallel:
//      then a step's begins when those of all steps that came after it are done.
//   4. A compensation that is refused or given up is held for an operator, and with it those before it.
//
// Pure. Errors: invalid_argument with the place, "/steps/2/after/0: there is no step 'stok', did you mean
// stock?"; resource_exhausted for what is too large.
#pragma once

#include <memory>
#include <string_view>

#include "base/status.h"
#include "service/transaction/machine.h"

namespace lockstep::service::transaction {

Result<std::unique_ptr<Machine>> make_saga(std::string_view document, std::string_view gid,
                                           Rules rules = Rules::submitted);

}  // namespace lockstep::service::transaction
