// Transactions: what several services do over HTTP, all of it or nothing.
//
//   Outcome<TransactionInfo> end = client.saga("order-4711")
//       .step("stock", "http://stock/reserve", "http://stock/release", R"({"item": 7})")
//       .step("payment", "http://payment/charge", "http://payment/refund", R"({"cents": 1999})")
//       .run(CallOptions().timeout(30s)).wait();
//
// Guarantee: once submit() succeeded, the transaction ends, whatever dies: its coordinator, this program, the
// services. Each call comes at least once, with the same Idempotency-Key each time: services absorb
// duplicates (lockstep/participant/participant.h does it for them).
//
// The coordinator is a lockstepd; this program needs only the store. Who is called is its to allow: on
// --callouts-allow-loopback and --callouts-allow see docs/transactions.
//
// What can go wrong: committed is not when the service that answered last was heard, but when its answer was
// recorded: wait() tells. Unknown outcomes are repeated, so a transaction may stay under way for as long as a
// service is down; then TransactionInfo::needs_operator says so.
//
// Cost: one write to submit, and about one for each answer, which are written together.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class Runtime;
struct TransactionPlan;
struct OpenedTransaction;
}  // namespace detail

enum class TransactionState : std::uint8_t {
  submitted,   // under way
  trying,      // waits for its owner's decision
  committing,  // decided, second phase
  aborting,
  committed,  // final: all of it
  aborted,    // final: nothing of it
  failed,     // final: ended with effects that were told to an operator
};
[[nodiscard]] const char* to_string(TransactionState state);

struct TransactionInfo {
  std::string gid;
  TransactionState state = TransactionState::submitted;
  std::string reason;          // why it is undone, or failed
  std::string needs_operator;  // what hinders it; empty: nothing that somebody must look at
  std::string result;          // of a committed saga: the answers of its steps, as JSON
  [[nodiscard]] bool is_finished() const {
    return state == TransactionState::committed || state == TransactionState::aborted ||
           state == TransactionState::failed;
  }
};

// One transaction by its gid.
class Transaction {
 public:
  Transaction(std::shared_ptr<detail::Runtime> runtime, std::string gid)
      : runtime_(std::move(runtime)), gid_(std::move(gid)) {}
  [[nodiscard]] const std::string& gid() const { return gid_; }
  // not_found: there is none, or it was finished long ago.
  Operation<TransactionInfo> show(CallOptions options = {}) const;
  // Until it is finished. deadline_exceeded: it goes on.
  Operation<TransactionInfo> wait(CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string gid_;
};

// How calls whose outcome is not known are repeated. What is not said is the coordinator's: 3 s for an
// answer, again after 1 s, twice as long each time up to 60 s, without end, an operator told after 8
// attempts.
class RetryRule {
 public:
  using Duration = std::chrono::milliseconds;
  // For one answer.
  RetryRule& timeout(Duration time) {
    timeout_ = time;
    return *this;
  }
  // `backoff`: from 1.
  RetryRule& interval(Duration first, Duration longest, double backoff = 2) {
    interval_ = first;
    interval_max_ = longest;
    backoff_ = backoff;
    return *this;
  }
  RetryRule& attempts_max(std::int64_t attempts) {
    attempts_max_ = attempts;
    return *this;
  }
  RetryRule& attempts_alarm(std::int64_t attempts) {
    attempts_alarm_ = attempts;
    return *this;
  }
  [[nodiscard]] std::string to_json() const;

 private:
  std::optional<Duration> timeout_;
  std::optional<Duration> interval_;
  Duration interval_max_{};
  double backoff_ = 2;
  std::optional<std::int64_t> attempts_max_;
  std::optional<std::int64_t> attempts_alarm_;
};

// A saga: steps one after the other, each with what undoes it. One that is refused (409) undoes those before
// it, newest first.
class Saga {
 public:
  Saga(std::shared_ptr<detail::Runtime> runtime, std::string gid);
  // Addresses; `payload` is JSON, sent to both. Without `compensate` there is nothing to undo.
  Saga& step(const std::string& name, const std::string& action, const std::string& compensate = {},
             const std::string& payload = {});
  // Instead of steps: a definition in either language, as JSON.
  Saga& definition(std::string json);
  // For definitions: what expressions start with, and where a service of that name is.
  Saga& input(std::string json);
  Saga& service(const std::string& name, const std::string& address);
  // Of the calls of step()'s steps; a definition says its own.
  Saga& retry(const RetryRule& rule);
  // Given up and undone if it is not done by then.
  Saga& timeout(std::chrono::milliseconds time);

  // The same one again, under the same gid, is the same saga; another one of that gid: already_exists.
  Operation<TransactionInfo> submit(CallOptions options = {}) const;
  // And waits for its end. deadline_exceeded: it goes on, unless it was never submitted: the same again
  // tells.
  Operation<TransactionInfo> run(CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::shared_ptr<detail::TransactionPlan> plan_;
};

// One branch of a TCC: what the coordinator calls when it is decided.
struct TccBranch {
  std::string confirm;
  std::string cancel;
  std::string payload;  // JSON, sent to both; empty: nothing
};

// A transaction whose owner, this program, decides. Destroyed without a decision it is aborted, as far as
// this program gets to say so; otherwise by its time limit. Move only, any thread.
class OpenTransaction {
 public:
  explicit OpenTransaction(std::shared_ptr<detail::OpenedTransaction> opened);
  OpenTransaction(OpenTransaction&&) noexcept = default;
  OpenTransaction& operator=(OpenTransaction&&) noexcept = default;
  [[nodiscard]] const std::string& gid() const;

  // Of tcc: before the branch is tried, so that whatever was tried is confirmed or cancelled.
  // failed_precondition: it is decided.
  Operation<void> branch(const std::string& id, const TccBranch& branch, CallOptions options = {}) const;
  // Registers a branch, then calls `try_it`, which calls the service and says whether it is reserved. False:
  // it is not, or the branch could not be registered; what follows is abort(). Blocks this thread.
  template <class Try>
  [[nodiscard]] bool try_branch(const std::string& id, const TccBranch& branch_of, Try try_it,
                                CallOptions options = {}) const {
    if (!branch(id, branch_of, std::move(options)).wait().is_done()) return false;
    return try_it();
  }
  // Recorded; the calls follow. failed_precondition: it was decided otherwise, by its time limit or by
  // somebody else.
  Operation<TransactionInfo> commit(CallOptions options = {}) const;
  Operation<TransactionInfo> abort(CallOptions options = {}) const;
  // Not aborted by the destructor: somebody else decides, or the check of a message.
  void leave() const;
  [[nodiscard]] Transaction transaction() const;

 private:
  std::shared_ptr<detail::OpenedTransaction> opened_;
};

// try, confirm, cancel: every service reserves, then all confirm or all cancel. Either the owner tries them,
// and decides: begin(). Or the coordinator does, all at once, whatever becomes of this program: branch() for
// each, and submit() or run().
class Tcc {
 public:
  Tcc(std::shared_ptr<detail::Runtime> runtime, std::string gid);
  // Aborted if it is not decided by then. 35 s.
  Tcc& timeout(std::chrono::milliseconds time);
  Tcc& retry(const RetryRule& rule);

  // invalid_argument: it has branches that the coordinator tries.
  Operation<OpenTransaction> begin(CallOptions options = {}) const;

  // Confirmed and cancelled from the last one to the first.
  Tcc& branch(const std::string& id, const std::string& try_address, const TccBranch& branch);
  // As a saga's. invalid_argument: there is no branch.
  Operation<TransactionInfo> submit(CallOptions options = {}) const;
  Operation<TransactionInfo> run(CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::shared_ptr<detail::TransactionPlan> plan_;
};

// A message that is delivered if a local transaction of this program commits, and only then: prepare(), the
// local transaction, commit(). Whoever dies in between is asked at `check`: 200 it committed, 409 it did not.
class TransactionalMessage {
 public:
  TransactionalMessage(std::shared_ptr<detail::Runtime> runtime, std::string gid, std::string check);
  TransactionalMessage& deliver_to(const std::string& address, const std::string& payload = {});
  TransactionalMessage& check_after(std::chrono::milliseconds time);
  // Destroying what comes of it decides nothing.
  Operation<OpenTransaction> prepare(CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::shared_ptr<detail::TransactionPlan> plan_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
