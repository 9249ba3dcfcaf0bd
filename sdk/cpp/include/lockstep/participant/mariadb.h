// MariaDB (10.5 and newer; what is prepared survives its connection since then) and MySQL through libmariadb.
// Link lockstep::participant_mariadb.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "lockstep/abi.h"
#include "lockstep/participant/sql.h"

struct st_mysql;  // libmariadb's MYSQL

namespace lockstep::LOCKSTEP_INLINE v1 {

struct MariadbAddress {
  std::string host;         // empty: localhost
  unsigned int port = 0;    // 0: the usual one
  std::string unix_socket;  // empty: by host and port
  std::string user;
  std::string password;
  std::string database;
};

class MariadbSession final : public SqlSession {
 public:
  // Throws SqlError.
  static std::unique_ptr<MariadbSession> open(const MariadbAddress& address);
  // A connection of yours, which stays yours, outside a transaction.
  explicit MariadbSession(st_mysql* connection) : connection_(connection) {}
  ~MariadbSession() override;

  [[nodiscard]] st_mysql* connection() const { return connection_; }

  [[nodiscard]] SqlDialect dialect() const override { return SqlDialect::mariadb; }
  SqlResult run(std::string_view statement, std::span<const SqlValue> values) override;
  [[nodiscard]] bool is_idle() const override { return !is_lost_; }

 private:
  st_mysql* connection_;
  bool is_mine_ = false;
  bool is_lost_ = false;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
