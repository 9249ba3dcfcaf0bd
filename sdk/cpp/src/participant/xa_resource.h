// Two-phase commit at one database: prepare in the open transaction, finish from any session.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/participant/branch.h"
#include "lockstep/participant/sql.h"

namespace lockstep::LOCKSTEP_INLINE v1::detail {

// Throws std::invalid_argument: 1 to 16 letters, digits, '-' and '_'.
void check_xa_prefix(std::string_view prefix);

// Whose a prepared transaction is: "ls/<prefix>/<transaction>" and the branch.
struct XaName {
  std::string transaction;
  std::string branch;
};

struct PreparedXa {
  std::optional<XaName> name;               // nothing: somebody else's
  std::string shown;                        // as the database lists it
  std::optional<std::chrono::seconds> age;  // where the database knows
};

// The name as a statement has it, for the commands that take no parameters. Safe for any bytes but those that
// refuses() refuses, under any setting of the database.
std::string xa_literal(SqlDialect dialect, std::string_view prefix, const XaName& name);

class XaResource {
 public:
  XaResource(SqlSession& session, std::string prefix) : session_(&session), prefix_(std::move(prefix)) {}

  // Why this database cannot name such a transaction or has no XA; nothing: it can.
  [[nodiscard]] std::optional<std::string> refuses(const XaName& name) const;
  // False: one of that name is running or prepared.
  [[nodiscard]] bool start(const XaName& name, SqlIsolation isolation);
  // Afterwards the session is in no transaction. MariaDB: and must be closed, others cannot finish before.
  void prepare(const XaName& name);
  // What was started and not prepared.
  void abandon(const XaName& name) noexcept;
  [[nodiscard]] bool is_prepared(const XaName& name);

  // done, refused (with the reason: an operator is needed) or ongoing.
  BranchAnswer commit(const XaName& name);
  BranchAnswer rollback(const XaName& name);

  // Everything that is prepared in this database.
  std::vector<PreparedXa> list();

 private:
  // False: there is none of that name.
  bool finish(std::string_view verb, const XaName& name);
  BranchAnswer remember_rollback(const XaName& name);

  SqlSession* session_;
  std::string prefix_;
};

}  // namespace lockstep::LOCKSTEP_INLINE
