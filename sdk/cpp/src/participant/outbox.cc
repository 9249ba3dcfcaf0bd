#include "lockstep/participant/outbox.h"

#include <charconv>

#include "participant/barrier_rows.h"

namespace lockstep::v1 {
namespace {

std::int64_t number(const std::optional<std::string>& text) {
  std::int64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

// From the columns id, topic, message_key, payload, attempts.
OutboxRow row_of(const SqlRow& columns) {
  return {.id = number(columns.at(0)),
          .topic = columns.at(1).value_or(""),
          .key = columns.at(2).value_or(""),
          .payload = columns.at(3).value_or(""),
          .attempts = number(columns.at(4))};
}

}  // namespace

std::int64_t Outbox::add(SqlSession& session, std::string_view topic, std::string_view key,
                         std::string_view payload) {
  const SqlResult result = session.execute(
      "INSERT INTO lockstep_outbox (topic, message_key, payload) VALUES (?, ?, ?) RETURNING id",
      {topic, key, SqlValue::bytes(std::string(payload))});
  return number(result.rows.at(0).at(0));
}

void Outbox::wake(SqlSession& session) {
  if (session.dialect() == SqlDialect::postgres) session.execute("NOTIFY lockstep_outbox");
}

std::string Outbox::table_definition(SqlDialect dialect) {
  struct Words {
    std::string id, name, bytes, text, end;
  };
  Words words{"BIGSERIAL PRIMARY KEY", "TEXT", "BYTEA", "TEXT", ");\n"};
  if (dialect == SqlDialect::mariadb) {
    words = {"BIGINT AUTO_INCREMENT PRIMARY KEY", "VARBINARY(255)", "LONGBLOB", "TEXT",
             ") ENGINE = InnoDB;\n"};
  }
  // AUTOINCREMENT: an id is not used again after its row is gone.
  if (dialect == SqlDialect::sqlite)
    words = {"INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT", "BLOB", "TEXT", ");\n"};
  const std::string columns = "  topic " + words.name + " NOT NULL,\n  message_key " + words.name +
                              " NOT NULL,\n  payload " + words.bytes +
                              " NOT NULL,\n  attempts BIGINT NOT NULL DEFAULT 0";
  std::string text = "CREATE TABLE IF NOT EXISTS lockstep_outbox_dead (\n  id BIGINT PRIMARY KEY,\n" +
                     columns + ",\n  reason " + words.text + " NOT NULL\n" + words.end;
  if (dialect == SqlDialect::sqlite) {
    text +=
        "CREATE TABLE IF NOT EXISTS lockstep_outbox_relay (\n  one INTEGER PRIMARY KEY,\n  owner TEXT NOT "
        "NULL,\n"
        "  ends_at INTEGER NOT NULL\n);\n";
  }
  return text + "CREATE TABLE IF NOT EXISTS lockstep_outbox (\n  id " + words.id + ",\n" + columns + "\n" +
         words.end;
}

void Outbox::create_table(SqlSession& session) {
  detail::create_once(session, "lockstep_outbox", table_definition(session.dialect()));
}

std::vector<OutboxDeadRow> Outbox::dead(SqlSession& session, std::int64_t count) {
  std::vector<OutboxDeadRow> rows;
  for (const SqlRow& columns : session
                                   .execute("SELECT id, topic, message_key, payload, attempts, reason FROM "
                                            "lockstep_outbox_dead ORDER BY id "
                                            "LIMIT ?",
                                            {count})
                                   .rows) {
    rows.push_back({.row = row_of(columns), .reason = columns.at(5).value_or("")});
  }
  return rows;
}

bool Outbox::redrive(SqlSession& session, std::int64_t id) {
  SqlTransaction transaction(session);
  session.execute(
      "INSERT INTO lockstep_outbox (id, topic, message_key, payload) SELECT id, topic, message_key, payload "
      "FROM "
      "lockstep_outbox_dead WHERE id = ?",
      {id});
  const bool found = session.execute("DELETE FROM lockstep_outbox_dead WHERE id = ?", {id}).changes == 1;
  transaction.commit();
  return found;
}

}  // namespace lockstep::v1
