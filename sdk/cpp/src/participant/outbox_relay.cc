#include <algorithm>
#include <exception>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

#include "lockstep/participant/outbox.h"
#include "participant/barrier_rows.h"
#include "participant/planted.h"

namespace lockstep::v1 {
namespace {

constexpr std::int64_t batch_max = 10'000;
constexpr std::size_t lanes_blocked_max =
    1'000;  // the receiver is as good as away; they are named in each query
constexpr auto deaf_time_max = std::chrono::milliseconds(100);  // to a request to stop
constexpr std::size_t reason_bytes_max = 1000;
constexpr std::string_view sqlite_claim_s = "30";
constexpr auto sqlite_renewal_time = std::chrono::seconds(10);

std::string random_name() {
  std::random_device random;
  return std::to_string(random()) + "-" + std::to_string(random());
}

std::string list_of(const std::vector<std::int64_t>& ids) {
  std::string text;
  for (const std::int64_t id : ids) text += (text.empty() ? "" : ",") + std::to_string(id);
  return text;
}

}  // namespace

OutboxRelay::Publish OutboxRelay::one_by_one(PublishOne publish) {
  return [publish = std::move(publish)](std::span<const OutboxRow> rows) {
    std::vector<OutboxResult> results;
    std::set<Lane> failed;
    for (const OutboxRow& row : rows) {
      if (failed.contains(lane_of(row))) {
        results.push_back(OutboxResult::skipped());
        continue;
      }
      std::optional<std::string> reason = publish(row);
      if (reason) failed.insert(lane_of(row));
      results.push_back(reason ? OutboxResult::failed(*std::move(reason)) : OutboxResult::acknowledged());
    }
    return results;
  };
}

OutboxRelay::OutboxRelay(SqlSessions& sessions, Publish publish)
    : sessions_(&sessions), publish_(std::move(publish)), owner_(random_name()) {}

OutboxRelay::~OutboxRelay() {
  let_go();
}

OutboxRelay& OutboxRelay::batch(std::int64_t rows) {
  batch_ = std::clamp<std::int64_t>(rows, 1, batch_max);
  return *this;
}

OutboxRelay& OutboxRelay::attempts_max(std::int64_t attempts) {
  attempts_max_ = std::max<std::int64_t>(attempts, 1);
  return *this;
}

OutboxRelay& OutboxRelay::retry_after(std::chrono::milliseconds first, std::chrono::milliseconds longest) {
  retry_first_ = first;
  retry_longest_ = std::max(first, longest);
  return *this;
}

OutboxRelay& OutboxRelay::look_every(std::chrono::milliseconds time) {
  look_every_ = time;
  return *this;
}

OutboxRelay::Lane OutboxRelay::lane_of(const OutboxRow& row) {
  return {row.topic, row.key, row.key.empty() ? row.id : 0};
}

// The claim of the servers ends with its connection, whatever becomes of this process.
bool OutboxRelay::claim() {
  if (!session_) session_ = sessions_->take();
  SqlSession& session = **session_;
  if (session.dialect() == SqlDialect::sqlite) {
    if (is_claimed_ && Clock::now() - claimed_at_ < sqlite_renewal_time) return true;
    claimed_at_ = Clock::now();
    const std::string now(detail::now_expression(SqlDialect::sqlite));
    const SqlResult result = session.execute(
        "INSERT INTO lockstep_outbox_relay (one, owner, ends_at) VALUES (1, ?, " + now + " + " +
            std::string(sqlite_claim_s) +
            ") ON CONFLICT (one) DO UPDATE SET owner = excluded.owner, ends_at = excluded.ends_at "
            "WHERE owner = excluded.owner OR ends_at < " +
            now,
        {owner_});
    is_claimed_ = result.changes == 1;
    return is_claimed_;
  }
  if (is_claimed_) return true;
  const bool postgres = session.dialect() == SqlDialect::postgres;
  const SqlResult result = session.execute(
      postgres ? "SELECT CAST(pg_try_advisory_lock(5500711, CAST(CAST('lockstep_outbox' AS regclass) AS "
                 "oid)::int) AS "
                 "int)"
               : "SELECT GET_LOCK(CONCAT('lockstep_outbox/', LEFT(SHA1(DATABASE()), 40)), 0)");
  is_claimed_ = result.rows.at(0).at(0) == "1";
  if (is_claimed_ && postgres) session.execute("LISTEN lockstep_outbox");
  return is_claimed_;
}

void OutboxRelay::let_go() {
  if (!session_) return;
  if ((*session_)->dialect() == SqlDialect::sqlite) {
    try {
      (*session_)->execute("DELETE FROM lockstep_outbox_relay WHERE owner = ?", {owner_});
    } catch (const SqlError&) {  // it ends by itself
    }
  } else {
    (*session_)->retire();
  }
  session_.reset();
  is_claimed_ = false;
}

// Always from the beginning, in one statement, which sees one state of the table: were it read in pages, a
// row that commits late would be passed by a later one of its key on the next page.
std::vector<OutboxRow> OutboxRelay::read() {
  std::string keys;
  std::vector<std::int64_t> ids;
  std::vector<SqlValue> values{detail::planted.high_water_mark ? last_seen_ : 0};
  for (const auto& [lane, until] : blocked_) {
    const auto& [topic, key, id] = lane;
    if (id != 0) {
      ids.push_back(id);
      continue;
    }
    keys += keys.empty() ? "(?, ?)" : ", (?, ?)";
    values.emplace_back(topic);
    values.emplace_back(key);
  }
  std::string statement =
      "SELECT id, topic, message_key, payload, attempts FROM lockstep_outbox WHERE id > ?";
  if (!keys.empty()) {
    const bool mariadb = (*session_)->dialect() == SqlDialect::mariadb;
    statement += std::string(" AND (topic, message_key) NOT IN (") + (mariadb ? "" : "VALUES ") + keys + ")";
  }
  if (!ids.empty()) statement += " AND id NOT IN (" + list_of(ids) + ")";
  values.emplace_back(batch_);
  const SqlResult result = (*session_)->run(statement + " ORDER BY id LIMIT ?", values);
  std::vector<OutboxRow> rows;
  rows.reserve(result.rows.size());
  for (const SqlRow& columns : result.rows) {
    rows.push_back({.id = std::stoll(columns.at(0).value_or("0")),
                    .topic = columns.at(1).value_or(""),
                    .key = columns.at(2).value_or(""),
                    .payload = columns.at(3).value_or(""),
                    .attempts = std::stoll(columns.at(4).value_or("0"))});
  }
  if (!rows.empty()) last_seen_ = rows.back().id;
  return rows;
}

void OutboxRelay::remove(const std::vector<std::int64_t>& ids) {
  if (!ids.empty()) (*session_)->execute("DELETE FROM lockstep_outbox WHERE id IN (" + list_of(ids) + ")");
}

void OutboxRelay::count_failure(const OutboxRow& row, const std::string& reason, Turn& turn) {
  ++turn.failed;
  SqlSession& session = **session_;
  if (row.attempts + 1 < attempts_max_) {
    session.execute("UPDATE lockstep_outbox SET attempts = attempts + 1 WHERE id = ?", {row.id});
    const auto doublings = std::min<std::int64_t>(row.attempts, 20);
    const auto time = std::min(retry_longest_, retry_first_ * (std::int64_t{1} << doublings));
    blocked_[lane_of(row)] = Clock::now() + time;
    return;
  }
  SqlTransaction transaction(session);
  session.execute(
      "INSERT INTO lockstep_outbox_dead (id, topic, message_key, payload, attempts, reason) SELECT id, "
      "topic, "
      "message_key, payload, attempts + 1, ? FROM lockstep_outbox WHERE id = ?",
      {reason.substr(0, reason_bytes_max), row.id});
  session.execute("DELETE FROM lockstep_outbox WHERE id = ?", {row.id});
  transaction.commit();
  blocked_.erase(lane_of(row));
  ++turn.died;
}

bool OutboxRelay::publish(const std::vector<OutboxRow>& rows, Turn& turn) {
  std::vector<std::int64_t> removed;
  if (detail::planted.marked_before_published) {
    for (const OutboxRow& row : rows) removed.push_back(row.id);
    remove(removed);
    removed.clear();
  }
  const std::vector<OutboxResult> results = publish_(rows);
  if (results.size() != rows.size()) {
    throw std::logic_error("lockstep: an outbox publisher answers each of its rows");
  }
  bool got_on = false;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (results[i].kind() == OutboxResult::Kind::acknowledged) removed.push_back(rows[i].id);
    got_on = got_on || results[i].kind() != OutboxResult::Kind::skipped;
  }
  remove(removed);
  turn.published += static_cast<std::int64_t>(removed.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (results[i].kind() == OutboxResult::Kind::failed) count_failure(rows[i], results[i].reason(), turn);
  }
  return got_on;
}

OutboxRelay::Turn OutboxRelay::run_once(const std::stop_token& stop) {
  Turn turn;
  try {
    turn.is_working = claim();
    if (!turn.is_working) return turn;
    // Here only: a row that fails is not tried twice in one look.
    const auto now = Clock::now();
    std::erase_if(blocked_, [&](const auto& one) { return one.second <= now; });
    while (blocked_.size() < lanes_blocked_max && !stop.stop_requested()) {
      const std::vector<OutboxRow> rows = read();
      if (rows.empty() || !publish(rows, turn) || static_cast<std::int64_t>(rows.size()) < batch_) break;
      if (!claim()) break;  // SQLite: also says that we are still here
    }
    return turn;
  } catch (const SqlError& error) {
    let_go();
    if (error.kind() != SqlError::Kind::no_table) throw;
    Outbox::create_table(*sessions_->take());
    return turn;
  }
}

void OutboxRelay::pause(std::chrono::milliseconds time, bool until_woken, const std::stop_token& stop) {
  const auto end = Clock::now() + time;
  while (!stop.stop_requested() && Clock::now() < end) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    const auto piece = std::min<std::chrono::milliseconds>(left, deaf_time_max);
    if (!session_) {
      std::this_thread::sleep_for(piece);
    } else if ((*session_)->wait(piece) && until_woken) {
      return;
    }
  }
}

void OutboxRelay::run(const std::stop_token& stop) {
  auto away = look_every_;
  while (!stop.stop_requested()) {
    try {
      const Turn turn = run_once(stop);
      away = look_every_;
      if (turn.published == 0) pause(look_every_, true, stop);
    } catch (const std::exception&) {  // the database or the receiver is away
      pause(away, false, stop);
      away = std::min(std::max(away * 2, std::chrono::milliseconds(1)), retry_longest_);
    }
  }
  let_go();
}

}  // namespace lockstep::v1
