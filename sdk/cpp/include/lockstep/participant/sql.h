// The port to a relational database: what barriers, XA and the outbox need of one. Adapters: postgres.h,
// mariadb.h, sqlite.h, each a component of its own, so that a program links the clients it has.
//
//   1. A session is one connection, used by one thread at a time.
//   2. Statements have `?` where values go (outside quotes). Values travel beside the statement or quoted by
//      the client library, never pasted in.
//   3. Failures are exceptions, SqlError: what a handler of yours does not catch rolls its transaction back.
//   4. commit() that returns has committed. One that throws with `lost` may have: run the branch again, the
//      barrier knows.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lockstep/abi.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

enum class SqlDialect : std::uint8_t { postgres, mariadb, sqlite };

enum class SqlIsolation : std::uint8_t { as_configured, read_committed, repeatable_read, serializable };

// NULL, an integer, text or bytes.
class SqlValue {
 public:
  enum class Kind : std::uint8_t { null, integer, text, bytes };
  // Implicit: values are written as they are.
  // NOLINTBEGIN(google-explicit-constructor)
  SqlValue(std::nullptr_t) {}
  template <std::integral Integer>
  SqlValue(Integer integer) : kind_(Kind::integer), integer_(static_cast<std::int64_t>(integer)) {}
  SqlValue(std::string text) : kind_(Kind::text), text_(std::move(text)) {}
  SqlValue(std::string_view text) : SqlValue(std::string(text)) {}
  SqlValue(const char* text) : SqlValue(std::string(text)) {}
  // NOLINTEND(google-explicit-constructor)
  static SqlValue bytes(std::string bytes) {
    SqlValue value(std::move(bytes));
    value.kind_ = Kind::bytes;
    return value;
  }

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] std::int64_t integer() const { return integer_; }
  [[nodiscard]] const std::string& text() const { return text_; }  // and bytes

 private:
  Kind kind_ = Kind::null;
  std::int64_t integer_ = 0;
  std::string text_;
};

// One row; NULL is nothing. Numbers are text, bytes are bytes.
using SqlRow = std::vector<std::optional<std::string>>;

struct SqlResult {
  std::vector<SqlRow> rows;
  std::int64_t changes = 0;  // rows inserted, updated or deleted
  std::string command;       // PostgreSQL's command tag ("COMMIT", "ROLLBACK"); empty elsewhere
};

class SqlError : public std::runtime_error {
 public:
  enum class Kind : std::uint8_t {
    retry,      // serialization failure, deadlock, lock not granted in time: the transaction again
    lost,       // the connection is gone; a commit may have happened
    duplicate,  // a unique key
    no_table,   // a table that does not exist
    no_xid,     // no prepared transaction of that name
    xid_taken,  // there is one already
    other
  };
  // `state`: what the database calls it ("40001", "1213", "5").
  SqlError(Kind kind, std::string state, const std::string& message)
      : std::runtime_error(message), kind_(kind), state_(std::move(state)) {}
  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] const std::string& state() const { return state_; }

 private:
  Kind kind_;
  std::string state_;
};

class SqlSession {
 public:
  SqlSession() = default;
  SqlSession(const SqlSession&) = delete;
  SqlSession& operator=(const SqlSession&) = delete;
  virtual ~SqlSession() = default;

  [[nodiscard]] virtual SqlDialect dialect() const = 0;
  // One statement. Throws SqlError.
  virtual SqlResult run(std::string_view statement, std::span<const SqlValue> values) = 0;
  // Connected and in no transaction, as far as is known.
  [[nodiscard]] virtual bool is_idle() const = 0;
  // Waits until somebody wakes this session (PostgreSQL: a notification), which it says, or the time is over.
  virtual bool wait(std::chrono::milliseconds time);

  SqlResult execute(std::string_view statement, std::initializer_list<SqlValue> values = {}) {
    return run(statement, std::span<const SqlValue>(values.begin(), values.size()));
  }

  void begin(SqlIsolation isolation = SqlIsolation::as_configured);
  void commit();
  // Never throws: a connection that cannot even do that is thrown away.
  void rollback() noexcept;
  [[nodiscard]] bool in_transaction() const { return in_transaction_; }
  // A statement of yours ended the transaction (PREPARE TRANSACTION).
  void note_end_of_transaction() { in_transaction_ = false; }

  // Not to be used again once the present user is done with it (a pool drops it).
  void retire() { retired_ = true; }
  [[nodiscard]] bool is_reusable() const { return !retired_ && !in_transaction_ && is_idle(); }

 private:
  bool in_transaction_ = false;
  bool retired_ = false;
};

// Rolls back what was not committed.
class SqlTransaction {
 public:
  explicit SqlTransaction(SqlSession& session, SqlIsolation isolation = SqlIsolation::as_configured)
      : session_(&session) {
    session.begin(isolation);
  }
  SqlTransaction(const SqlTransaction&) = delete;
  SqlTransaction& operator=(const SqlTransaction&) = delete;
  ~SqlTransaction() {
    if (session_->in_transaction()) session_->rollback();
  }
  void commit() { session_->commit(); }

 private:
  SqlSession* session_;
};

// Connections by turns. Any number of threads; outlives what it lent.
class SqlSessions {
 public:
  // Opens a connection; throws SqlError.
  using Open = std::function<std::unique_ptr<SqlSession>()>;

  // `idle_max`: so many connections are kept open while nobody uses them.
  explicit SqlSessions(Open open, std::size_t idle_max = 8) : open_(std::move(open)), idle_max_(idle_max) {}

  class GiveBack {
   public:
    explicit GiveBack(SqlSessions* owner) : owner_(owner) {}
    void operator()(SqlSession* session) const;

   private:
    SqlSessions* owner_;
  };
  using Lent = std::unique_ptr<SqlSession, GiveBack>;

  // An idle connection or a new one; goes back by its destructor.
  Lent take();
  // Closes the idle ones: after a restart of the server none of them is good.
  void close_idle();

 private:
  void give_back(std::unique_ptr<SqlSession> session);

  Open open_;
  std::size_t idle_max_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<SqlSession>> idle_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
