#include "lockstep/participant/postgres.h"

#include <cerrno>
#include <libpq-fe.h>
#include <poll.h>

#include "participant/placeholders.h"

namespace lockstep::v1 {
namespace {

// Types by their fixed numbers in pg_type.
constexpr Oid bytes_type = 17;
constexpr Oid integer_type = 20;

struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
  void operator()(PGnotify* notification) const { PQfreemem(notification); }
};
using Result = std::unique_ptr<PGresult, Clear>;

SqlError::Kind kind_of(std::string_view state, bool is_connected) {
  if (!is_connected || state.starts_with("08") || state.starts_with("57P")) return SqlError::Kind::lost;
  // Serialization failure, deadlock, lock_timeout; a prepared transaction that another session is ending.
  if (state == "40001" || state == "40P01" || state == "55P03" || state == "55000")
    return SqlError::Kind::retry;
  if (state == "23505") return SqlError::Kind::duplicate;
  if (state == "42P01") return SqlError::Kind::no_table;
  if (state == "42704") return SqlError::Kind::no_xid;
  if (state == "42710") return SqlError::Kind::xid_taken;
  return SqlError::Kind::other;
}

[[noreturn]] void fail(PGconn* connection, const PGresult* result) {
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const std::string text = state == nullptr ? "" : state;
  std::string message = result == nullptr ? PQerrorMessage(connection) : PQresultErrorMessage(result);
  while (message.ends_with('\n')) message.pop_back();
  // 55000 also says that prepared transactions are switched off, which no repetition changes.
  SqlError::Kind kind = kind_of(text, PQstatus(connection) == CONNECTION_OK);
  if (text == "55000" && message.find("max_prepared_transactions") != std::string::npos)
    kind = SqlError::Kind::other;
  throw SqlError(kind, text, message);
}

int nibble(char c) {
  return c <= '9' ? c - '0' : c - 'a' + 10;
}

// "\x0aff" as bytea is written in text.
std::string bytes_of(std::string_view text) {
  if (!text.starts_with("\\x")) throw SqlError(SqlError::Kind::other, "", "bytea_output must be hex");
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 2; i + 1 < text.size(); i += 2) {
    bytes += static_cast<char>(nibble(text[i]) * 16 + nibble(text[i + 1]));
  }
  return bytes;
}

SqlResult rows_of(const PGresult* result) {
  SqlResult answer;
  const int rows = PQntuples(result);
  const int columns = PQnfields(result);
  answer.rows.reserve(static_cast<std::size_t>(rows));
  for (int row = 0; row < rows; ++row) {
    SqlRow& values = answer.rows.emplace_back();
    values.reserve(static_cast<std::size_t>(columns));
    for (int column = 0; column < columns; ++column) {
      if (PQgetisnull(result, row, column) != 0) {
        values.emplace_back();
        continue;
      }
      const std::string_view text(PQgetvalue(result, row, column),
                                  static_cast<std::size_t>(PQgetlength(result, row, column)));
      values.emplace_back(PQftype(result, column) == bytes_type ? bytes_of(text) : std::string(text));
    }
  }
  return answer;
}

// What libpq wants of the values, side by side.
struct Parameters {
  explicit Parameters(std::span<const SqlValue> values) {
    integers.reserve(values.size());  // their text must not move
    for (const SqlValue& value : values) add(value);
  }
  void add(const SqlValue& value) {
    const bool is_bytes = value.kind() == SqlValue::Kind::bytes;
    if (value.kind() == SqlValue::Kind::text && value.text().find('\0') != std::string::npos) {
      throw SqlError(SqlError::Kind::other, "22021", "a text with a zero byte: use SqlValue::bytes");
    }
    if (value.kind() == SqlValue::Kind::integer) integers.push_back(std::to_string(value.integer()));
    types.push_back(is_bytes ? bytes_type : value.kind() == SqlValue::Kind::integer ? integer_type : 0);
    data.push_back(value.kind() == SqlValue::Kind::null      ? nullptr
                   : value.kind() == SqlValue::Kind::integer ? integers.back().c_str()
                                                             : value.text().c_str());
    lengths.push_back(static_cast<int>(value.text().size()));
    formats.push_back(is_bytes ? 1 : 0);
  }
  std::vector<std::string> integers;
  std::vector<Oid> types;
  std::vector<const char*> data;
  std::vector<int> lengths;
  std::vector<int> formats;
};

void ignore_notice(void* /*nobody*/, const PGresult* /*notice*/) {}

}  // namespace

std::unique_ptr<PostgresSession> PostgresSession::open(const std::string& connection_string) {
  PGconn* connection = PQconnectdb(connection_string.c_str());
  auto session = std::make_unique<PostgresSession>(connection);
  session->is_mine_ = true;
  if (PQstatus(connection) != CONNECTION_OK) {
    throw SqlError(SqlError::Kind::lost, "08001", PQerrorMessage(connection));
  }
  // "the table exists, skipping" belongs on nobody's terminal.
  PQsetNoticeReceiver(connection, &ignore_notice, nullptr);
  return session;
}

PostgresSession::~PostgresSession() {
  if (is_mine_) PQfinish(connection_);
}

SqlResult PostgresSession::run(std::string_view statement, std::span<const SqlValue> values) {
  std::size_t count = 0;
  const std::string text = detail::replace_placeholders(
      statement, count, [](std::size_t index) { return "$" + std::to_string(index + 1); });
  if (count != values.size()) {
    throw SqlError(SqlError::Kind::other, "07001", "the statement and its values do not fit");
  }
  const Parameters parameters(values);
  // Without values by the simple protocol, which takes statements that cannot be prepared.
  const Result result(values.empty()
                          ? PQexec(connection_, text.c_str())
                          : PQexecParams(connection_, text.c_str(), static_cast<int>(values.size()),
                                         parameters.types.data(), parameters.data.data(),
                                         parameters.lengths.data(), parameters.formats.data(), 0));
  const ExecStatusType status = result == nullptr ? PGRES_FATAL_ERROR : PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) fail(connection_, result.get());
  SqlResult answer = rows_of(result.get());
  const std::string changes = PQcmdTuples(result.get());
  if (!changes.empty()) answer.changes = std::stoll(changes);
  answer.command = PQcmdStatus(result.get());
  return answer;
}

bool PostgresSession::is_idle() const {
  return PQstatus(connection_) == CONNECTION_OK && PQtransactionStatus(connection_) == PQTRANS_IDLE;
}

bool PostgresSession::wait(std::chrono::milliseconds time) {
  bool woken = false;
  const auto take = [&] {
    while (const std::unique_ptr<PGnotify, Clear> one{PQnotifies(connection_)}) woken = true;
  };
  take();  // what came with the last answer
  if (woken) return true;
  pollfd waiting{.fd = PQsocket(connection_), .events = POLLIN, .revents = 0};
  if (waiting.fd < 0 || ::poll(&waiting, 1, static_cast<int>(time.count())) <= 0) return false;
  PQconsumeInput(connection_);
  take();
  return woken;
}

}  // namespace lockstep::v1
