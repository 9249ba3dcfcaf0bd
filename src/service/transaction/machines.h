// The machine of each mode, from the document that the transaction was submitted with.
//
//   saga          saga/saga.h
//   tcc, xa       {"branches": [{"id": "stock", "try": URL, "confirm": URL, "cancel": URL, "payload": …}, …],
//                  "timeout": "35s"}; xa: "prepare", "commit", "rollback"
//   message       {"check": URL, "check_after": "10s", "targets": [{"url": URL, "payload": …}, …]}
//   notification  {"targets": […], "timeout": …}
//
// Everywhere also "retry": {"timeout": "3s", "interval": "1s", "backoff": 2, "interval_max": "60s",
// "attempts_max": 0, "attempts_alarm": 8} and "headers": {…}, at the top and in a branch or target, which may
// have an "id". A payload is any JSON and sent as such; "payload_text" is a text and sent as it is.
//
//   1. tcc, xa: branches without "try" or "prepare" are called by whoever began the transaction, who also
//      decides; more may be registered until then. With it the coordinator calls them, all at once, and the
//      recorded outcome of the last one is the decision. Either all are so or none.
//   2. Presumed abort: whatever is undecided when the time limit passes is aborted. A refused branch needs no
//      undoing; every other one that may have been called is undone, also one whose outcome is unknown.
//   3. tcc confirms and cancels the newest branch first, xa the oldest, one after the other, until each is
//      done.
//   4. message: the sender's decision, or what the check says, whichever is recorded first. The check begins
//      check_after the submit. Then each target is sent to until it has it.
//   5. notification: a target that refuses, or is given up after attempts_max, is a dead letter: the
//      transaction fails, and Entry::Kind::forward sends the dead ones again.
//
// Pure. Errors: invalid_argument with the place; resource_exhausted for what is too large.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "service/transaction/machine.h"

namespace lockstep::service::transaction {

// `registered`: branches that came later, in their order; of tcc and xa.
Result<std::unique_ptr<Machine>> make_machine(Mode mode, std::string_view document,
                                              const std::vector<std::string>& registered,
                                              std::string_view gid, Rules rules = Rules::submitted);

// Parts of the above.
Result<std::unique_ptr<Machine>> make_two_phase(Mode mode, std::string_view document,
                                                const std::vector<std::string>& registered, Rules rules);
Result<std::unique_ptr<Machine>> make_message(std::string_view document, Rules rules);
Result<std::unique_ptr<Machine>> make_notification(std::string_view document, Rules rules);

namespace errors {
Status decided_otherwise(bool committed);  // failed_precondition: the decision was the other one
Status entry_does_not_fit();               // failed_precondition
}  // namespace errors

}  // namespace lockstep::service::transaction
