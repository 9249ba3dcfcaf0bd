// The steps of a transaction's state, alike for whoever makes them: the coordinator, owners, operators.
//
//   1. A step of the machine is a line of the journal: replay() of what record() wrote gives the same
//   machine.
//   2. An unfinished transaction stands under unfinished_key, a finished one under finished_key, never under
//      both: operations_of() moves it.
//
// Pure but for load(), which is one read. Strand only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "service/context.h"
#include "service/transaction/machine.h"
#include "service/transaction/state.h"
#include "service/transaction/transactions.h"
#include "store/store.h"

namespace lockstep::service::transaction {

// The machine that was told the state's journal.
Result<std::unique_ptr<Machine>> replay(const State& state, std::string_view gid, std::string_view document,
                                        const std::vector<std::string>& registered);

// One step: the machine is told, and the line is added. An entry that does not fit changes nothing.
Status record(State& state, Machine& machine, JournalLine line);

// What follows for the rest of the state from where the machine stands: verdict, reason, calls that are not
// named any more, whether an operator is needed, the result. `next` is the machine's.
void settle(State& state, const Machine& machine, const Next& next, std::int64_t wall_ms);

// Whether a call failed in a way, or so often, that somebody should look.
bool is_alarming(const CallState& state, const Call& call);
const CallState* find_call(const State& state, std::string_view branch, Operation operation);

// Writes the state where it belongs; `was_finished`: where it lay before, if it did.
std::vector<store::RequestOperation> operations_of(std::string_view gid, const State& state,
                                                   std::optional<bool> was_finished);

// Everything about one transaction.
struct Loaded {
  TransactionView view;
  bool finished = false;    // where it lies
  bool remembered = false;  // finished, and only this much is left of it: no journal, no document
  Revision seen;            // of the store
  std::string document;     // empty: it is gone, of what is finished
  std::vector<std::string> registered;
};
// What a read of these answers: the state, wherever it is, and the documents.
std::vector<store::RequestOperation> reads_of(std::string_view gid);
inline constexpr std::size_t reads_per_transaction = 5;
Result<Loaded> loaded_of(std::string_view gid, const store::TxnResponse& answer, std::size_t first);
Task<Result<Loaded>> load(Context context, std::string gid, store::CallOptions options);
// What an operator can still end: one under unfinished_key whose state or documents cannot be read. Its state
// is what can be told of it; not_found: there is none.
Task<Result<Loaded>> load_damaged(Context context, std::string gid, store::CallOptions options);

}  // namespace lockstep::service::transaction
