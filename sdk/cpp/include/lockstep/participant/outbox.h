// The outbox: what a service sends goes into a table of its own database, in the transaction that gives rise
// to it, and a relay publishes it afterwards. What commits is sent, what rolls back is not.
//
//   1. At least once: a row is removed after it was acknowledged. Whoever receives it drops repetitions by
//      (source, id); ids are never used again.
//   2. No row is passed over: ids are given when rows are inserted, and transactions commit in another order;
//      so the relay remembers no last id, and what remains in the table remains to be sent.
//   3. Rows of one (topic, key) are published in the order of their ids: the order of their commits, where
//   the
//      transactions exclude each other (they change the same order, say). Rows with an empty key have none.
//   4. A row that fails keeps back its key only. After attempts_max failures it moves, with its reason, to
//      `lockstep_outbox_dead`, until somebody redrives it.
//   5. One relay works at a time; others stand by, and take over when its connection ends (SQLite: when it
//   has
//      not been heard of for 30 seconds).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "lockstep/abi.h"
#include "lockstep/participant/sql.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

struct OutboxRow {
  std::int64_t id = 0;
  std::string topic;  // or an address: what the publisher makes of it
  std::string key;
  std::string payload;
  std::int64_t attempts = 0;  // that failed before this one
};

struct OutboxDeadRow {
  OutboxRow row;
  std::string reason;
};

class Outbox {
 public:
  // In your transaction. The row's id. Topic and key have up to 255 bytes. Throws SqlError.
  static std::int64_t add(SqlSession& session, std::string_view topic, std::string_view key,
                          std::string_view payload);
  // PostgreSQL: wakes the relay when your transaction commits, instead of at its next look. Not in a
  // transaction that is to be prepared (XA).
  static void wake(SqlSession& session);

  static std::string table_definition(SqlDialect dialect);
  static void create_table(SqlSession& session);

  // The oldest `count` dead rows.
  static std::vector<OutboxDeadRow> dead(SqlSession& session, std::int64_t count = 100);
  // Sends a dead row again, under its id and with no attempts counted. False: there is none of that id.
  static bool redrive(SqlSession& session, std::int64_t id);
};

// What became of one row.
class OutboxResult {
 public:
  enum class Kind : std::uint8_t {
    acknowledged,
    failed,   // counted as an attempt
    skipped,  // not sent, because an earlier one of its key had failed
  };
  static OutboxResult acknowledged() { return OutboxResult(Kind::acknowledged, {}); }
  static OutboxResult failed(std::string reason) { return OutboxResult(Kind::failed, std::move(reason)); }
  static OutboxResult skipped() { return OutboxResult(Kind::skipped, {}); }
  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  OutboxResult(Kind kind, std::string reason) : kind_(kind), reason_(std::move(reason)) {}
  Kind kind_;
  std::string reason_;
};

class OutboxRelay {
 public:
  // Publishes rows, in their order for each (topic, key), and says what became of each. When a row fails,
  // later ones of its key must be skipped. What it throws means that nobody could be reached: nothing is
  // counted, and everything is tried again.
  using Publish = std::function<std::vector<OutboxResult>(std::span<const OutboxRow>)>;
  // The same from a function for one row: nothing: acknowledged; a text: why it failed.
  using PublishOne = std::function<std::optional<std::string>(const OutboxRow&)>;
  static Publish one_by_one(PublishOne publish);

  // Keeps one of the sessions while it works.
  OutboxRelay(SqlSessions& sessions, Publish publish);
  OutboxRelay(const OutboxRelay&) = delete;
  OutboxRelay& operator=(const OutboxRelay&) = delete;
  ~OutboxRelay();

  // Rows that are published together. 500.
  OutboxRelay& batch(std::int64_t rows);
  // Failures of a row before it is dead. 10.
  OutboxRelay& attempts_max(std::int64_t attempts);
  // Before a failed row is tried again; doubles with each failure up to `longest`. 1 s, 60 s.
  OutboxRelay& retry_after(std::chrono::milliseconds first, std::chrono::milliseconds longest);
  // Between two looks at an empty table. 50 ms.
  OutboxRelay& look_every(std::chrono::milliseconds time);

  struct Turn {
    bool is_working = false;  // false: another relay is
    std::int64_t published = 0;
    std::int64_t failed = 0;
    std::int64_t died = 0;
  };
  // Looks through the table once. Throws SqlError, and what the publisher threw. A table that is missing is
  // created.
  Turn run_once(const std::stop_token& stop = {});
  // Until it is told to stop, whatever fails.
  void run(const std::stop_token& stop);

 private:
  using Clock = std::chrono::steady_clock;
  // Topic and key; rows without a key stand for themselves.
  using Lane = std::tuple<std::string, std::string, std::int64_t>;

  static Lane lane_of(const OutboxRow& row);
  bool claim();
  void pause(std::chrono::milliseconds time, bool until_woken, const std::stop_token& stop);
  void let_go();
  std::vector<OutboxRow> read();
  // False: the publisher skipped all of them.
  bool publish(const std::vector<OutboxRow>& rows, Turn& turn);
  void remove(const std::vector<std::int64_t>& ids);
  void count_failure(const OutboxRow& row, const std::string& reason, Turn& turn);

  SqlSessions* sessions_;
  Publish publish_;
  std::int64_t batch_ = 500;
  std::int64_t attempts_max_ = 10;
  std::chrono::milliseconds retry_first_ = std::chrono::seconds(1);
  std::chrono::milliseconds retry_longest_ = std::chrono::seconds(60);
  std::chrono::milliseconds look_every_ = std::chrono::milliseconds(50);
  std::string owner_;  // SQLite: who we are
  std::optional<SqlSessions::Lent> session_;
  bool is_claimed_ = false;
  Clock::time_point claimed_at_;  // SQLite
  std::map<Lane, Clock::time_point> blocked_;
  std::int64_t last_seen_ = 0;  // of the planted bug
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
