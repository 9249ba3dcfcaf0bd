#include "lockstep/participant/sqlite.h"

#include <sqlite3.h>

namespace lockstep::v1 {
namespace {

constexpr int busy_timeout_ms = 10'000;

[[noreturn]] void fail(sqlite3* connection, int code) {
  const std::string message = connection == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(connection);
  SqlError::Kind kind = SqlError::Kind::other;
  const int extended = connection == nullptr ? code : sqlite3_extended_errcode(connection);
  if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED) kind = SqlError::Kind::retry;
  if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY) {
    kind = SqlError::Kind::duplicate;
  }
  // It has no code of its own.
  if (code == SQLITE_ERROR && message.starts_with("no such table")) kind = SqlError::Kind::no_table;
  throw SqlError(kind, std::to_string(extended), message);
}

// Finalizes whatever happens.
class Statement {
 public:
  Statement(sqlite3* connection, std::string_view text) : connection_(connection) {
    const char* rest = nullptr;
    const int code =
        sqlite3_prepare_v2(connection, text.data(), static_cast<int>(text.size()), &statement_, &rest);
    if (code != SQLITE_OK) fail(connection, code);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  void bind(int index, const SqlValue& value) {
    int code = SQLITE_OK;
    const auto size = static_cast<sqlite3_uint64>(value.text().size());
    switch (value.kind()) {
      case SqlValue::Kind::null:
        code = sqlite3_bind_null(statement_, index);
        break;
      case SqlValue::Kind::integer:
        code = sqlite3_bind_int64(statement_, index, value.integer());
        break;
      case SqlValue::Kind::text:
        code =
            sqlite3_bind_text64(statement_, index, value.text().data(), size, SQLITE_TRANSIENT, SQLITE_UTF8);
        break;
      case SqlValue::Kind::bytes:
        code = sqlite3_bind_blob64(statement_, index, value.text().data(), size, SQLITE_TRANSIENT);
        break;
    }
    if (code != SQLITE_OK) fail(connection_, code);
  }

  void read_rows(SqlResult& result) {
    for (;;) {
      const int code = sqlite3_step(statement_);
      if (code == SQLITE_DONE) return;
      if (code != SQLITE_ROW) fail(connection_, code);
      SqlRow& row = result.rows.emplace_back();
      for (int column = 0; column < sqlite3_column_count(statement_); ++column) {
        if (sqlite3_column_type(statement_, column) == SQLITE_NULL) {
          row.emplace_back();
          continue;
        }
        const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
        const int bytes = sqlite3_column_bytes(statement_, column);
        row.emplace_back(bytes == 0 ? std::string() : std::string(data, static_cast<std::size_t>(bytes)));
      }
    }
  }

  [[nodiscard]] int value_count() const { return sqlite3_bind_parameter_count(statement_); }

 private:
  sqlite3* connection_;
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace

std::unique_ptr<SqliteSession> SqliteSession::open(const std::string& path) {
  sqlite3* connection = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nullptr);
  auto session = std::make_unique<SqliteSession>(connection);
  session->is_mine_ = true;
  if (code != SQLITE_OK) fail(connection, code);
  sqlite3_busy_timeout(connection, busy_timeout_ms);
  session->execute("PRAGMA journal_mode = WAL");
  session->execute("PRAGMA synchronous = FULL");
  return session;
}

SqliteSession::~SqliteSession() {
  if (is_mine_) sqlite3_close_v2(connection_);
}

SqlResult SqliteSession::run(std::string_view statement, std::span<const SqlValue> values) {
  Statement prepared(connection_, statement);
  if (prepared.value_count() != static_cast<int>(values.size())) {
    throw SqlError(SqlError::Kind::other, "25", "the statement and its values do not fit");
  }
  for (std::size_t i = 0; i < values.size(); ++i) prepared.bind(static_cast<int>(i) + 1, values[i]);
  SqlResult result;
  const int before = sqlite3_total_changes(connection_);
  prepared.read_rows(result);
  if (sqlite3_total_changes(connection_) != before) result.changes = sqlite3_changes(connection_);
  return result;
}

}  // namespace lockstep::v1
