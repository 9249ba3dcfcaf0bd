#include "lockstep/participant/barrier.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "participant/barrier_rows.h"
#include "participant/planted.h"

namespace lockstep::v1 {
namespace detail {

std::string_view now_expression(SqlDialect dialect) {
  switch (dialect) {
    case SqlDialect::postgres:
      return "CAST(EXTRACT(EPOCH FROM now()) AS BIGINT)";
    case SqlDialect::mariadb:
      return "UNIX_TIMESTAMP()";
    case SqlDialect::sqlite:
      break;
  }
  return "CAST(strftime('%s', 'now') AS INTEGER)";
}

namespace {

constexpr std::string_view postgres_lock_timeout = "55P03";
constexpr std::string_view mariadb_lock_timeout = "1205";

template <class Work>
void for_each_statement(std::string_view script, Work work) {
  for (std::size_t end = script.find(";\n"); end != std::string_view::npos; end = script.find(";\n")) {
    work(script.substr(0, end));
    script.remove_prefix(end + 2);
  }
}

bool insert(SqlSession& session, const BarrierKey& key, std::string_view reason, int status,
            std::string_view answer, std::int64_t round, bool soon) {
  std::string statement =
      "INSERT INTO lockstep_barrier (gid, branch, operation, reason, status, answer, round, created_at) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, " +
      std::string(now_expression(session.dialect())) + ")";
  // MariaDB's INSERT IGNORE would also swallow values that do not fit; a duplicate is told by its error
  // there, which undoes the statement only.
  const bool by_error = session.dialect() == SqlDialect::mariadb;
  if (!by_error) statement += " ON CONFLICT DO NOTHING";
  if (by_error && soon) statement.insert(0, "SET STATEMENT innodb_lock_wait_timeout = 1 FOR ");
  try {
    const SqlResult result =
        session.execute(statement, {key.transaction, key.branch, key.operation, reason, status,
                                    SqlValue::bytes(std::string(answer)), round});
    return result.changes == 1;
  } catch (const SqlError& error) {
    if (by_error && error.kind() == SqlError::Kind::duplicate) return false;
    throw;
  }
}

}  // namespace

bool insert_barrier_row(SqlSession& session, const BarrierKey& key, std::string_view reason, int status,
                        std::string_view answer, std::int64_t round) {
  return insert(session, key, reason, status, answer, round, false);
}

std::optional<BarrierRow> read_barrier_row(SqlSession& session, const BarrierKey& key) {
  const SqlResult result = session.execute(
      "SELECT reason, status, answer, round FROM lockstep_barrier WHERE gid = ? AND branch = ? AND operation "
      "= ?",
      {key.transaction, key.branch, key.operation});
  if (result.rows.empty()) return std::nullopt;
  const SqlRow& row = result.rows.front();
  BarrierRow read{.reason = row.at(0).value_or(""), .answer = row.at(2).value_or("")};
  const std::string status = row.at(1).value_or("");
  std::from_chars(status.data(), status.data() + status.size(), read.status);
  const std::string round = row.at(3).value_or("");
  std::from_chars(round.data(), round.data() + round.size(), read.round);
  return read;
}

void create_once(SqlSession& session, std::string_view table, std::string_view script) {
  if (session.dialect() != SqlDialect::postgres) {  // their IF NOT EXISTS is enough
    for_each_statement(script, [&](std::string_view statement) { session.execute(statement); });
    return;
  }
  // PostgreSQL's IF NOT EXISTS fails where another session is creating the same; and a CREATE INDEX IF NOT
  // EXISTS on a table in use waits for its writers, of which one may be prepared and wait for us.
  SqlTransaction transaction(session);
  session.execute("SELECT pg_advisory_xact_lock(5500711002671)");
  if (!session.execute("SELECT to_regclass(?)", {table}).rows.at(0).at(0)) {
    for_each_statement(script, [&](std::string_view statement) { session.execute(statement); });
  }
  transaction.commit();
}

Inserted insert_barrier_row_soon(SqlSession& session, const BarrierKey& key, std::string_view reason) {
  const bool postgres = session.dialect() == SqlDialect::postgres;
  if (postgres) session.execute("SET LOCAL lock_timeout = '1s'");
  try {
    const bool fresh = insert(session, key, reason, 200, {}, 0, true);
    if (postgres) session.execute("SET LOCAL lock_timeout = DEFAULT");
    return fresh ? Inserted::fresh : Inserted::present;
  } catch (const SqlError& error) {
    if (error.state() == postgres_lock_timeout || error.state() == mariadb_lock_timeout)
      return Inserted::held;
    throw;
  }
}

}  // namespace detail

namespace {

using detail::BarrierKey;
using detail::BarrierRow;

constexpr int status_refused = 409;

constexpr std::string_view message_branch = "message";
constexpr std::string_view message_operation = "send";
constexpr std::string_view message_rolled_back = "check";

BarrierKey key_of(const BranchContext& context, BranchOperation operation) {
  return {context.transaction(), context.branch(), to_string(operation)};
}

BranchAnswer cancelled_before(std::string_view reason) {
  return BranchAnswer::refused(R"({"code":"suspended","detail":"it came after its )" + std::string(reason) +
                               "\"}");
}

// A row that could not be inserted is there, but for a cleaner between the two statements: that one is run
// again.
BarrierRow must_read(SqlSession& session, const BarrierKey& key) {
  std::optional<BarrierRow> row = detail::read_barrier_row(session, key);
  if (!row) throw SqlError(SqlError::Kind::retry, "", "a barrier row vanished while it was read");
  return *std::move(row);
}

// A refusal of an earlier round becomes what is said here; false: there is none any more.
bool replace_refusal(SqlSession& session, const BarrierKey& key, int status, std::string_view answer,
                     std::int64_t round) {
  const SqlResult result = session.execute(
      "UPDATE lockstep_barrier SET status = ?, answer = ?, round = ? WHERE gid = ? AND branch = ? AND "
      "operation = ? AND status = ? AND round < ?",
      {status, SqlValue::bytes(std::string(answer)), round, key.transaction, key.branch, key.operation,
       status_refused, round});
  return result.changes == 1;
}

// What was read may be older than what is there (a snapshot): whoever loses the race runs again.
void must_replace_refusal(SqlSession& session, const BarrierKey& key, int status, std::string_view answer,
                          std::int64_t round) {
  if (replace_refusal(session, key, status, answer, round)) return;
  throw SqlError(SqlError::Kind::retry, "", "another call took a refused branch over while it was read");
}

constexpr std::int64_t last_round = std::numeric_limits<std::int64_t>::max();

}  // namespace

BranchBarrier::Entered BranchBarrier::enter(SqlSession& session, const BranchContext& context) {
  bool is_empty = false;
  if (const auto undone = undone_by(context.operation())) {
    const BarrierKey origin = key_of(context, *undone);
    if (detail::planted.cancel_not_remembered) {
      is_empty = !detail::read_barrier_row(session, origin);
    } else if (detail::insert_barrier_row(session, origin, to_string(context.operation()))) {
      is_empty = true;
    } else {
      const BarrierRow row = must_read(session, origin);
      // One that was refused had no effect either.
      is_empty = row.status == status_refused || row.reason != to_string(*undone);
      // No later round may come after its undo.
      if (row.status == status_refused && row.round < last_round)
        must_replace_refusal(session, origin, status_refused, row.answer, last_round);
    }
  }
  const BarrierKey own = key_of(context, context.operation());
  const std::string_view own_name = to_string(context.operation());
  if (detail::insert_barrier_row(session, own, own_name, 200, {}, context.round())) {
    return {.passage = is_empty ? Passage::empty : Passage::first};
  }
  BarrierRow row = must_read(session, own);
  if (row.reason != own_name) return {.passage = Passage::suspended, .answer = cancelled_before(row.reason)};
  if (row.status == status_refused && row.round < context.round()) {
    must_replace_refusal(session, own, 200, {}, context.round());
    return {.passage = Passage::first};
  }
  return {.passage = Passage::duplicate,
          .answer = BranchAnswer::of_status(row.status, std::move(row.answer))};
}

void BranchBarrier::keep_answer(SqlSession& session, const BranchContext& context,
                                const BranchAnswer& answer) {
  if (answer.status() == 200 && answer.body().empty()) return;
  const std::string kept = answer.body().substr(0, branch_answer_bytes_max);
  session.execute(
      "UPDATE lockstep_barrier SET status = ?, answer = ? WHERE gid = ? AND branch = ? AND operation = ?",
      {answer.status(), SqlValue::bytes(kept), context.transaction(), context.branch(),
       to_string(context.operation())});
}

BranchAnswer BranchBarrier::keep_refusal(SqlSession& session, const BranchContext& context,
                                         const BranchAnswer& answer) {
  if (detail::planted.refusal_not_remembered) return answer;
  SqlTransaction transaction(session);
  const BarrierKey own = key_of(context, context.operation());
  const std::string_view name = to_string(context.operation());
  const std::string kept = answer.body().substr(0, branch_answer_bytes_max);
  if (detail::insert_barrier_row(session, own, name, status_refused, kept, context.round()) ||
      replace_refusal(session, own, status_refused, kept, context.round())) {
    transaction.commit();
    return answer;
  }
  BarrierRow row = must_read(session, own);
  transaction.commit();
  if (row.reason != name) return cancelled_before(row.reason);
  return BranchAnswer::of_status(row.status, std::move(row.answer));
}

std::string BranchBarrier::table_definition(SqlDialect dialect) {
  // The natural key is the primary one: MariaDB locks the single row at a duplicate, where a secondary unique
  // index would lock the gap to its neighbours, and branches that have nothing in common would deadlock.
  // Names are bytes: in its text columns "a" and "a " are one.
  const bool mariadb = dialect == SqlDialect::mariadb;
  const std::string name = mariadb ? "VARBINARY(128)" : "TEXT";
  const std::string word = mariadb ? "VARBINARY(16)" : "TEXT";
  const std::string bytes = dialect == SqlDialect::postgres ? "BYTEA" : "BLOB";
  std::string text = "CREATE TABLE IF NOT EXISTS lockstep_barrier (\n  gid " + name +
                     " NOT NULL,\n  branch " + name + " NOT NULL,\n  operation " + word +
                     " NOT NULL,\n  reason " + word + " NOT NULL,\n  status INT NOT NULL,\n  answer " +
                     bytes +
                     " NOT NULL,\n  round BIGINT NOT NULL,\n  created_at BIGINT NOT NULL,\n  PRIMARY KEY "
                     "(gid, branch, operation)";
  if (mariadb) return text + ",\n  KEY lockstep_barrier_created_at (created_at)\n) ENGINE = InnoDB;\n";
  text += dialect == SqlDialect::sqlite ? "\n) WITHOUT ROWID;\n" : "\n);\n";
  return text + "CREATE INDEX IF NOT EXISTS lockstep_barrier_created_at ON lockstep_barrier (created_at);\n";
}

void BranchBarrier::create_table(SqlSession& session) {
  detail::create_once(session, "lockstep_barrier", table_definition(session.dialect()));
}

BarrierCleaner& BarrierCleaner::keep(std::chrono::seconds age) {
  keep_ = std::max<std::chrono::seconds>(age, std::chrono::hours(1));
  return *this;
}

BarrierCleaner& BarrierCleaner::keep_messages(std::chrono::seconds age) {
  keep_messages_ = age;
  return *this;
}

BarrierCleaner& BarrierCleaner::batch(std::int64_t rows) {
  batch_ = std::clamp<std::int64_t>(rows, 1, 100'000);
  return *this;
}

std::int64_t BarrierCleaner::run_once() {
  const SqlSessions::Lent session = sessions_->take();
  const std::string now(detail::now_expression(session->dialect()));
  const std::string old = "created_at < " + now + " - ? AND (operation <> '" +
                          std::string(message_operation) + "' OR created_at < " + now + " - ?)";
  const std::int64_t kept_seconds = keep_.count();
  const std::int64_t messages_kept_seconds = std::max(keep_, keep_messages_).count();
  SqlTransaction transaction(*session);
  SqlResult result;
  if (session->dialect() == SqlDialect::mariadb) {
    result = session->execute("DELETE FROM lockstep_barrier WHERE " + old + " ORDER BY created_at LIMIT ?",
                              {kept_seconds, messages_kept_seconds, batch_});
  } else {
    // What another cleaner deletes at the same time is left to it.
    const std::string skip = session->dialect() == SqlDialect::postgres ? " FOR UPDATE SKIP LOCKED" : "";
    result = session->execute(
        "DELETE FROM lockstep_barrier WHERE (gid, branch, operation) IN (SELECT gid, branch, "
        "operation FROM lockstep_barrier WHERE " +
            old + " ORDER BY created_at LIMIT ?" + skip + ")",
        {kept_seconds, messages_kept_seconds, batch_});
  }
  transaction.commit();
  return result.changes;
}

bool MessageBarrier::record(SqlSession& session, std::string_view transaction) {
  const BarrierKey key{transaction, message_branch, message_operation};
  return detail::insert_barrier_row(session, key, message_operation);
}

BranchAnswer MessageBarrier::check(SqlSession& session, std::string_view transaction) {
  const BarrierKey key{transaction, message_branch, message_operation};
  SqlTransaction checking(session);
  const detail::Inserted inserted = detail::insert_barrier_row_soon(session, key, message_rolled_back);
  if (inserted == detail::Inserted::held) return BranchAnswer::ongoing();
  const bool rolled_back =
      inserted == detail::Inserted::fresh || must_read(session, key).reason == message_rolled_back;
  checking.commit();
  return rolled_back ? BranchAnswer::refused(R"({"code":"rolled_back"})") : BranchAnswer::done();
}

}  // namespace lockstep::v1
