// Distributed transactions as whoever uses them sees them; the work is the coordinator's (coordinator.h),
// which may run elsewhere: this needs nothing but the store.
//
//   1. submit() with the gid and document of one that exists is answered with that one, however often, also
//      of one that finished less than finished_kept ago (coordinator.h). Then the gid is free again.
//   2. The first decision recorded is the decision; asking for the other one is refused for good with
//      errors::decided_otherwise(), asking for the same one again is ok.
//   3. Whatever an operator does is recorded under audit keys in the same step as it takes effect.
//   4. Answers after unknown_outcome: everything here but register_branch, forward and compensate may be
//      asked for again.
//
// Costs: submit one transaction of the store; a decision or an operator's action a read and a transaction;
// wait() a read and a watch on one key.
//
// Permissions: reading and writing "lockstep/tx/". Destroying it is safe at any time. Strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/context.h"
#include "service/transaction/keys.h"
#include "service/transaction/machines.h"
#include "service/transaction/state.h"
#include "store/store.h"

namespace lockstep::service::transaction {

inline constexpr std::size_t listed_max = 1000;

struct Submission {
  Mode mode = Mode::saga;
  std::string gid;        // empty: one is made
  std::string document;   // machines.h
  std::string user = {};  // who asks, as the server knows them
};

struct TransactionView {
  std::string gid;
  State state;
  Revision revision;  // of its last transition
  [[nodiscard]] bool finished() const { return final(state.verdict); }
};

struct Submitted {
  TransactionView transaction;
  bool existed = false;  // it had been submitted before
};

struct ListRequest {
  std::optional<Verdict> state;
  bool needs_operator_only = false;
  std::string cursor;  // from the page before; empty: from the beginning
  std::size_t limit = 100;
};
struct Listed {
  // Those that are not finished first; without journals and calls.
  std::vector<TransactionView> transactions;
  std::string cursor;  // empty: that was the last page. A page may be short, or empty
};

// Who does something by hand, and why.
struct OperatorNote {
  std::string by;
  std::string reason;
  std::string user = {};  // as the server knows them, whatever `by` says
};
struct Audit {
  std::string action;  // retry, skip, finish, forward, compensate
  std::string branch;
  std::string by;
  std::string user;
  std::string reason;
  std::string was;  // the state before
  std::int64_t at_ms = 0;
};
std::string encode(const Audit& audit);
Result<Audit> parse_audit(std::string_view text);

namespace errors {
Status transaction_not_found();  // not_found
Status transaction_exists();     // already_exists: with another document, or of another mode
Status transaction_finished();   // failed_precondition
Status transaction_forgotten();  // failed_precondition: finished, and no more than its end is left of it
Status too_many_remembered();    // resource_exhausted: until some were finished long enough
Status transaction_not_open();   // failed_precondition: no branch can be registered any more
Status branch_exists();          // already_exists: with another document
Status branch_not_called();      // failed_precondition: it has no call under way that could be skipped
Status document_too_large();     // resource_exhausted
Status definition_gone();        // failed_precondition: somebody removed it
Status list_request_wrong();     // invalid_argument
}  // namespace errors

class Transactions {
 public:
  explicit Transactions(const Context& context) : context_(context) {}

  // Errors of the document: make_machine()'s.
  [[nodiscard]] Task<Result<Submitted>> submit(Submission submission, store::CallOptions options);
  // One more branch of a tcc or xa transaction that is not decided: {"id": …, "confirm": …, …}. The same one
  // again is ok.
  [[nodiscard]] Task<Result<TransactionView>> register_branch(std::string gid, std::string branch_document,
                                                              store::CallOptions options);
  // Of tcc, xa and message.
  [[nodiscard]] Task<Result<TransactionView>> decide(std::string gid, bool commit,
                                                     store::CallOptions options);
  [[nodiscard]] Task<Result<TransactionView>> get(std::string gid, store::CallOptions options);
  // What it was submitted with, and the branches that were registered.
  [[nodiscard]] Task<Result<std::vector<std::string>>> documents(std::string gid, store::CallOptions options);
  // The calls that are under way or held now, as its machine names them.
  [[nodiscard]] Task<Result<Next>> next(std::string gid, store::CallOptions options);
  [[nodiscard]] Task<Result<Listed>> list(ListRequest request, store::CallOptions options);
  // Until it is final; deadline_exceeded by the options.
  [[nodiscard]] Task<Result<TransactionView>> wait(std::string gid, store::CallOptions options);

  // ---- For operators.
  // Whatever waits to be tried again is tried now.
  [[nodiscard]] Task<Result<TransactionView>> retry_now(std::string gid, OperatorNote note,
                                                        store::CallOptions options);
  // The call of that branch counts as done.
  [[nodiscard]] Task<Result<TransactionView>> skip(std::string gid, std::string branch, OperatorNote note,
                                                   store::CallOptions options);
  // Ends it as it is, as failed: nothing is called any more.
  [[nodiscard]] Task<Result<TransactionView>> force_finish(std::string gid, OperatorNote note,
                                                           store::CallOptions options);
  // What failed or is held is tried again; also of a notification that failed: dead letters are sent again.
  [[nodiscard]] Task<Result<TransactionView>> forward(std::string gid, OperatorNote note,
                                                      store::CallOptions options);
  // A saga that is held goes back.
  [[nodiscard]] Task<Result<TransactionView>> compensate(std::string gid, OperatorNote note,
                                                         store::CallOptions options);
  [[nodiscard]] Task<Result<std::vector<Audit>>> audits(std::string gid, store::CallOptions options);

 private:
  Context context_;
};

}  // namespace lockstep::service::transaction
