// A participant of distributed transactions: handlers by operation, run behind the barrier in one
// transaction.
//
//   SqlSessions sessions([] { return SqliteSession::open("stock.db"); });
//   Participant stock(sessions);
//   stock.on(BranchOperation::attempt, [](BranchCall& call) {
//     const auto taken = call.sql().execute("UPDATE stock SET free = free - 1 WHERE free > 0");
//     return taken.changes == 1 ? BranchAnswer::done() : BranchAnswer::refused("sold out");
//   });
//   …
//   BranchAnswer answer = stock.handle(header_lookup, body);  // from any HTTP framework
//
// What becomes of what a handler does:
//   done      committed, with the barrier's row; duplicates get the same answer
//   refused   rolled back; 409, and 409 again for every duplicate (where a refusal is an outcome)
//   ongoing   rolled back; 425, and the handler runs again when it is asked again
//   throws    rolled back; 500, and the handler runs again. Serialization failures and deadlocks are run
//   again
//             at once, some times.
// A handler therefore has its effects through call.sql() only.
//
// Threads: handle() may run in any number of them at once; on() before the first of them.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/participant/barrier.h"
#include "lockstep/participant/branch.h"
#include "lockstep/participant/sql.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

// What a handler is given. Valid while it runs.
class BranchCall {
 public:
  BranchCall(const BranchContext& context, std::string_view body, SqlSession& sql)
      : context_(&context), body_(body), sql_(&sql) {}
  [[nodiscard]] const BranchContext& context() const { return *context_; }
  [[nodiscard]] std::string_view body() const { return body_; }
  // The open transaction.
  [[nodiscard]] SqlSession& sql() const { return *sql_; }

 private:
  const BranchContext* context_;
  std::string_view body_;
  SqlSession* sql_;
};

class ParticipantOptions {
 public:
  // Of the transactions that handlers run in. As the connection has it.
  ParticipantOptions& isolation(SqlIsolation isolation) {
    isolation_ = isolation;
    return *this;
  }
  // How often a transaction is run that lost a race. 10.
  ParticipantOptions& attempts_max(int attempts) {
    attempts_max_ = attempts;
    return *this;
  }
  // The first part of the names of prepared transactions: whose they are (1 to 16 letters, digits, '-', '_').
  // "default".
  ParticipantOptions& xa_prefix(std::string prefix) {
    xa_prefix_ = std::move(prefix);
    return *this;
  }
  [[nodiscard]] SqlIsolation isolation() const { return isolation_; }
  [[nodiscard]] int attempts_max() const { return attempts_max_; }
  [[nodiscard]] const std::string& xa_prefix() const { return xa_prefix_; }

 private:
  SqlIsolation isolation_ = SqlIsolation::as_configured;
  int attempts_max_ = 10;
  std::string xa_prefix_ = "default";
};

class Participant {
 public:
  using Handler = std::function<BranchAnswer(BranchCall&)>;

  explicit Participant(SqlSessions& sessions, ParticipantOptions options = {});

  // `check`, `commit` and `rollback` need no handler: the barrier and the database answer them.
  Participant& on(BranchOperation operation, Handler handler);

  // Never throws. 400: the headers are not those of a branch's call. 501: no handler for the operation.
  BranchAnswer handle(const BranchContext::HeaderLookup& header, std::string_view body);
  BranchAnswer handle(const BranchContext& context, std::string_view body);

 private:
  BranchAnswer run(const BranchContext& context, std::string_view body);
  BranchAnswer run_once(SqlSession& session, const BranchContext& context, std::string_view body);
  BranchAnswer run_handler(SqlSession& session, const BranchContext& context, std::string_view body);
  BranchAnswer run_xa(SqlSession& session, const BranchContext& context, std::string_view body);

  SqlSessions* sessions_;
  ParticipantOptions options_;
  std::map<BranchOperation, Handler> handlers_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
