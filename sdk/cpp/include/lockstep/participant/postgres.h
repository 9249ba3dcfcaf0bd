// PostgreSQL through libpq (12 and newer). Link lockstep::participant_postgres.
//
// `?` in a statement becomes $1, $2, …; where an operator has a question mark, write it by its function's
// name or use connection().
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "lockstep/abi.h"
#include "lockstep/participant/sql.h"

struct pg_conn;  // libpq's PGconn

namespace lockstep::LOCKSTEP_INLINE v1 {

class PostgresSession final : public SqlSession {
 public:
  // "host=… dbname=…", or a postgresql:// address. Throws SqlError.
  static std::unique_ptr<PostgresSession> open(const std::string& connection_string);
  // A connection of yours, which stays yours, outside a transaction.
  explicit PostgresSession(pg_conn* connection) : connection_(connection) {}
  ~PostgresSession() override;

  [[nodiscard]] pg_conn* connection() const { return connection_; }

  [[nodiscard]] SqlDialect dialect() const override { return SqlDialect::postgres; }
  SqlResult run(std::string_view statement, std::span<const SqlValue> values) override;
  [[nodiscard]] bool is_idle() const override;
  // Ends early at a notification on a channel that this session listens to.
  bool wait(std::chrono::milliseconds time) override;

 private:
  pg_conn* connection_;
  bool is_mine_ = false;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
