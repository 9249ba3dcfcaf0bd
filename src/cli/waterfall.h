// A transaction drawn for the terminal: a line for each call, in the order in which they ended, with a bar
// where it lay in time.
//
//   stock        action      done     1   200      12ms  |█                        |
//   payment      action      refused  3   409     1.10s  | ░░░░░░░░░░░░████████    |
//   (aborting)                                   1.12s   |                     |
//
// Solid: the last attempt. Light: from the step before until that, which is when earlier attempts were made.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "service/transaction/machine.h"
#include "service/transaction/state.h"
#include "service/transaction/transactions.h"

namespace lockstep::cli {

// `now_ms`: counted from the transaction's begin, for calls that have not ended.
std::string draw_waterfall(const service::transaction::State& state,
                           const std::vector<service::transaction::JournalLine>& journal,
                           const service::transaction::Next& next, std::int64_t now_ms);

// What an operator did: "ann@desk (user ann): skip stock: put back by hand". The user is who the server knew.
std::string line_of(const service::transaction::Audit& audit);

}  // namespace lockstep::cli
