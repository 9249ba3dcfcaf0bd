// SQLite (3.35 and newer). Link lockstep::participant_sqlite. Transactions are BEGIN IMMEDIATE: one writer at
// a time, the others wait in begin(). There is no XA.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "lockstep/abi.h"
#include "lockstep/participant/sql.h"

struct sqlite3;

namespace lockstep::LOCKSTEP_INLINE v1 {

class SqliteSession final : public SqlSession {
 public:
  // With a write-ahead log, synced at every commit, and ten seconds' patience for other writers. Throws
  // SqlError.
  static std::unique_ptr<SqliteSession> open(const std::string& path);
  // A connection of yours, which stays yours, outside a transaction.
  explicit SqliteSession(sqlite3* connection) : connection_(connection) {}
  ~SqliteSession() override;

  [[nodiscard]] sqlite3* connection() const { return connection_; }

  [[nodiscard]] SqlDialect dialect() const override { return SqlDialect::sqlite; }
  SqlResult run(std::string_view statement, std::span<const SqlValue> values) override;
  [[nodiscard]] bool is_idle() const override { return connection_ != nullptr; }

 private:
  sqlite3* connection_;
  bool is_mine_ = false;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
