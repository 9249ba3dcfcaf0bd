#include "lockstep/participant/sql.h"

#include <thread>

namespace lockstep::v1 {
namespace {

std::string_view level_of(SqlIsolation isolation) {
  switch (isolation) {
    case SqlIsolation::read_committed:
      return "READ COMMITTED";
    case SqlIsolation::repeatable_read:
      return "REPEATABLE READ";
    case SqlIsolation::serializable:
      return "SERIALIZABLE";
    case SqlIsolation::as_configured:
      break;
  }
  return {};
}

}  // namespace

bool SqlSession::wait(std::chrono::milliseconds time) {
  std::this_thread::sleep_for(time);
  return false;
}

void SqlSession::begin(SqlIsolation isolation) {
  const std::string_view level = level_of(isolation);
  switch (dialect()) {
    case SqlDialect::postgres:
      execute(level.empty() ? std::string("BEGIN") : "BEGIN ISOLATION LEVEL " + std::string(level));
      break;
    case SqlDialect::mariadb:
      if (!level.empty()) execute("SET TRANSACTION ISOLATION LEVEL " + std::string(level));
      execute("START TRANSACTION");
      break;
    case SqlDialect::sqlite:
      // Taken at once: a transaction that begins by reading could not be promoted when another one wrote.
      execute("BEGIN IMMEDIATE");
      break;
  }
  in_transaction_ = true;
}

void SqlSession::commit() {
  const SqlResult result = execute("COMMIT");
  in_transaction_ = false;
  // PostgreSQL answers so, without an error, when a statement of the transaction had failed.
  if (result.command == "ROLLBACK") {
    throw SqlError(SqlError::Kind::other, "25P02", "a statement had failed: the transaction was rolled back");
  }
}

void SqlSession::rollback() noexcept {
  try {
    execute("ROLLBACK");
  } catch (...) {
    retire();
  }
  in_transaction_ = false;
}

SqlSessions::Lent SqlSessions::take() {
  std::unique_ptr<SqlSession> session;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      session = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (session == nullptr) session = open_();
  return {session.release(), GiveBack(this)};
}

void SqlSessions::GiveBack::operator()(SqlSession* session) const {
  std::unique_ptr<SqlSession> owned(session);
  if (owned->in_transaction()) owned->rollback();
  if (owned->is_reusable()) owner_->give_back(std::move(owned));
}

void SqlSessions::close_idle() {
  std::vector<std::unique_ptr<SqlSession>> closing;
  {
    const std::lock_guard lock(mutex_);
    closing.swap(idle_);
  }
}

void SqlSessions::give_back(std::unique_ptr<SqlSession> session) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < idle_max_) idle_.push_back(std::move(session));
}

}  // namespace lockstep::v1
