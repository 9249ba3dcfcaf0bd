#include "lockstep/participant/mariadb.h"

#include <mutex>

#include <mariadb/errmsg.h>
#include <mariadb/mysql.h>

#include "participant/placeholders.h"

namespace lockstep::v1 {
namespace {

constexpr unsigned int connect_timeout_s = 10;

SqlError::Kind kind_of(unsigned int code) {
  switch (code) {
    case 1205:  // lock wait timeout
    case 1213:  // deadlock
    case 1020:  // the record has changed since last read (snapshot isolation)
    case 1614:  // XA: rolled back because of a deadlock
      return SqlError::Kind::retry;
    case 1062:
      return SqlError::Kind::duplicate;
    case 1146:
      return SqlError::Kind::no_table;
    case 1397:
      return SqlError::Kind::no_xid;
    case 1440:
      return SqlError::Kind::xid_taken;
    case 1053:  // shutdown in progress
    case 1927:  // connection was killed
    case CR_CONNECTION_ERROR:
    case CR_CONN_HOST_ERROR:
    case CR_SERVER_GONE_ERROR:
    case CR_SERVER_LOST:
      return SqlError::Kind::lost;
    default:
      return SqlError::Kind::other;
  }
}

[[noreturn]] void fail(MYSQL* connection) {
  const unsigned int code = mysql_errno(connection);
  throw SqlError(kind_of(code), std::to_string(code), mysql_error(connection));
}

std::string literal(MYSQL* connection, const SqlValue& value) {
  switch (value.kind()) {
    case SqlValue::Kind::null:
      return "NULL";
    case SqlValue::Kind::integer:
      return std::to_string(value.integer());
    case SqlValue::Kind::text: {
      std::string escaped(value.text().size() * 2 + 1, '\0');
      escaped.resize(mysql_real_escape_string(connection, escaped.data(), value.text().data(),
                                              static_cast<unsigned long>(value.text().size())));
      return "'" + escaped + "'";
    }
    case SqlValue::Kind::bytes:
      break;
  }
  static constexpr char digits[] = "0123456789abcdef";
  std::string text = "X'";
  text.reserve(value.text().size() * 2 + 3);
  for (const char c : value.text()) {
    text += digits[static_cast<unsigned char>(c) / 16];
    text += digits[static_cast<unsigned char>(c) % 16];
  }
  return text + "'";
}

struct Free {
  void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
};

SqlResult rows_of(MYSQL_RES* result) {
  SqlResult answer;
  const unsigned int columns = mysql_num_fields(result);
  while (MYSQL_ROW row = mysql_fetch_row(result)) {
    const unsigned long* lengths = mysql_fetch_lengths(result);
    SqlRow& values = answer.rows.emplace_back();
    values.reserve(columns);
    for (unsigned int column = 0; column < columns; ++column) {
      if (row[column] == nullptr) {
        values.emplace_back();
      } else {
        values.emplace_back(std::string(row[column], lengths[column]));
      }
    }
  }
  return answer;
}

const char* or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

}  // namespace

std::unique_ptr<MariadbSession> MariadbSession::open(const MariadbAddress& address) {
  // The library's own first use is not safe in several threads at once.
  static std::once_flag once;
  std::call_once(once, [] { mysql_library_init(0, nullptr, nullptr); });
  MYSQL* connection = mysql_init(nullptr);
  if (connection == nullptr) throw SqlError(SqlError::Kind::other, "", "no memory for a connection");
  auto session = std::make_unique<MariadbSession>(connection);
  session->is_mine_ = true;
  mysql_options(connection, MYSQL_OPT_CONNECT_TIMEOUT, &connect_timeout_s);
  mysql_options(connection, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  if (mysql_real_connect(connection, or_null(address.host), or_null(address.user), or_null(address.password),
                         or_null(address.database), address.port, or_null(address.unix_socket),
                         CLIENT_FOUND_ROWS) == nullptr) {
    fail(connection);
  }
  return session;
}

MariadbSession::~MariadbSession() {
  if (is_mine_) mysql_close(connection_);
}

SqlResult MariadbSession::run(std::string_view statement, std::span<const SqlValue> values) {
  std::size_t count = 0;
  const std::string text = detail::replace_placeholders(statement, count, [&](std::size_t index) {
    return index < values.size() ? literal(connection_, values[index]) : std::string();
  });
  if (count != values.size()) {
    throw SqlError(SqlError::Kind::other, "1210", "the statement and its values do not fit");
  }
  try {
    if (mysql_real_query(connection_, text.data(), static_cast<unsigned long>(text.size())) != 0)
      fail(connection_);
    const std::unique_ptr<MYSQL_RES, Free> rows(mysql_store_result(connection_));
    if (rows == nullptr && mysql_field_count(connection_) != 0) fail(connection_);
    if (rows != nullptr) return rows_of(rows.get());
  } catch (const SqlError& error) {
    is_lost_ = is_lost_ || error.kind() == SqlError::Kind::lost;
    throw;
  }
  SqlResult answer;
  answer.changes = static_cast<std::int64_t>(mysql_affected_rows(connection_));
  return answer;
}

}  // namespace lockstep::v1
