#include "participant/xa_resource.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <thread>
#include <utility>

#include "participant/barrier_rows.h"

namespace lockstep::v1::detail {
namespace {

constexpr std::size_t prefix_bytes_max = 16;
constexpr std::size_t postgres_name_bytes_max = 199;  // PREPARE TRANSACTION: less than 200
constexpr std::size_t mariadb_part_bytes_max = 64;    // of the global name and of the branch
constexpr std::string_view format_id = "19539";       // "LS"
constexpr int tries = 4;
constexpr auto pause = std::chrono::milliseconds(50);
constexpr int status_refused = 409;

std::string global_name(std::string_view prefix, const XaName& name) {
  return "ls/" + std::string(prefix) + "/" + name.transaction;
}

// What a branch's headers may say, and all that is ever written into a statement: printable ASCII, in which
// no client encoding hides a quote or a backslash.
bool is_name(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

std::optional<XaName> parse(std::string_view prefix, std::string_view global, std::string_view branch) {
  const std::string ours = "ls/" + std::string(prefix) + "/";
  if (!global.starts_with(ours) || branch.empty() || !is_name(branch)) return std::nullopt;
  global.remove_prefix(ours.size());
  if (global.empty() || global.find('/') != std::string_view::npos || !is_name(global)) return std::nullopt;
  return XaName{.transaction = std::string(global), .branch = std::string(branch)};
}

std::string hexadecimal(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : text) {
    hex += digits[static_cast<unsigned char>(c) / 16];
    hex += digits[static_cast<unsigned char>(c) % 16];
  }
  return hex;
}

std::size_t number(const std::optional<std::string>& text) {
  std::size_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

BarrierKey key_of(const XaName& name) {
  return {name.transaction, name.branch, to_string(BranchOperation::prepare)};
}

bool is_prepare(const BarrierRow& row) {
  return row.reason == to_string(BranchOperation::prepare) && row.status != status_refused;
}

PreparedXa of_mariadb(std::string_view prefix, const SqlRow& row) {
  const std::string data = row.at(3).value_or("");
  const std::size_t global_bytes = std::min(number(row.at(1)), data.size());
  const std::string_view global = std::string_view(data).substr(0, global_bytes);
  const std::string_view branch = std::string_view(data).substr(global_bytes);
  PreparedXa found{.shown = "X'" + hexadecimal(global) + "',X'" + hexadecimal(branch) + "'"};
  if (row.at(0) == format_id) found.name = parse(prefix, global, branch);
  return found;
}

PreparedXa of_postgres(std::string_view prefix, const SqlRow& row) {
  PreparedXa found{.shown = row.at(0).value_or(""), .age = std::chrono::seconds(number(row.at(1)))};
  const std::string ours = "ls/" + std::string(prefix) + "/";
  if (!found.shown.starts_with(ours)) return found;
  const std::size_t slash = found.shown.find('/', ours.size());
  if (slash == std::string::npos) return found;
  const std::string_view shown = found.shown;
  found.name = parse(prefix, shown.substr(0, slash), shown.substr(slash + 1));
  return found;
}

}  // namespace

void check_xa_prefix(std::string_view prefix) {
  const auto is_fit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (prefix.empty() || prefix.size() > prefix_bytes_max || !std::ranges::all_of(prefix, is_fit)) {
    throw std::invalid_argument("lockstep: an XA prefix has 1 to 16 letters, digits, '-' and '_'");
  }
}

std::string xa_literal(SqlDialect dialect, std::string_view prefix, const XaName& name) {
  const std::string global = global_name(prefix, name);
  if (dialect == SqlDialect::mariadb) {
    return "X'" + hexadecimal(global) + "',X'" + hexadecimal(name.branch) + "'," + std::string(format_id);
  }
  // E'': what a backslash means in it does not depend on standard_conforming_strings, which a role or a
  // database may switch off. A quote is doubled, never escaped: backslash_quote does not matter either.
  std::string quoted = "E'";
  for (const char c : global + "/" + name.branch) {
    if (c == '\'' || c == '\\') quoted += c;
    quoted += c;
  }
  return quoted + "'";
}

std::optional<std::string> XaResource::refuses(const XaName& name) const {
  if (name.transaction.empty() || name.branch.empty() || !is_name(name.transaction) || !is_name(name.branch))
    return "transaction and branch must be printable ASCII without spaces";
  const std::size_t global_bytes = global_name(prefix_, name).size();
  switch (session_->dialect()) {
    case SqlDialect::sqlite:
      return "SQLite has no two-phase commit";
    case SqlDialect::postgres:
      if (global_bytes + 1 + name.branch.size() <= postgres_name_bytes_max) return std::nullopt;
      return "prefix, transaction and branch have " + std::to_string(global_bytes + 1 + name.branch.size()) +
             " bytes; PostgreSQL takes 199";
    case SqlDialect::mariadb:
      break;
  }
  if (global_bytes <= mariadb_part_bytes_max && name.branch.size() <= mariadb_part_bytes_max)
    return std::nullopt;
  return "prefix and transaction have " + std::to_string(global_bytes) + " bytes, the branch " +
         std::to_string(name.branch.size()) + "; MariaDB takes 64 of each";
}

bool XaResource::start(const XaName& name, SqlIsolation isolation) {
  if (session_->dialect() == SqlDialect::postgres) {
    session_->begin(isolation);
    return true;
  }
  session_->retire();  // whatever comes of it, the connection ends with the branch
  if (isolation == SqlIsolation::read_committed) {
    session_->execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
  } else if (isolation == SqlIsolation::serializable) {
    session_->execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
  }
  try {
    session_->execute("XA START " + xa_literal(session_->dialect(), prefix_, name));
    return true;
  } catch (const SqlError& error) {
    if (error.kind() == SqlError::Kind::xid_taken) return false;
    throw;
  }
}

void XaResource::prepare(const XaName& name) {
  if (session_->dialect() == SqlDialect::mariadb) {
    session_->execute("XA END " + xa_literal(session_->dialect(), prefix_, name));
    session_->execute("XA PREPARE " + xa_literal(session_->dialect(), prefix_, name));
    return;
  }
  const SqlResult result =
      session_->execute("PREPARE TRANSACTION " + xa_literal(session_->dialect(), prefix_, name));
  session_->note_end_of_transaction();
  if (result.command == "ROLLBACK") {
    throw SqlError(SqlError::Kind::other, "25P02", "a statement had failed: the transaction was rolled back");
  }
}

void XaResource::abandon(const XaName& name) noexcept {
  if (session_->dialect() == SqlDialect::postgres) {
    if (session_->in_transaction()) session_->rollback();
    return;
  }
  for (const char* verb : {"XA END ", "XA ROLLBACK "}) {
    try {
      session_->execute(verb + xa_literal(session_->dialect(), prefix_, name));
    } catch (...) {  // it was not that far; the connection ends anyway, and what is not prepared with it
    }
  }
}

bool XaResource::is_prepared(const XaName& name) {
  if (session_->dialect() == SqlDialect::postgres) {
    return !session_
                ->execute("SELECT 1 FROM pg_prepared_xacts WHERE gid = ? AND database = current_database()",
                          {global_name(prefix_, name) + "/" + name.branch})
                .rows.empty();
  }
  return std::ranges::any_of(list(), [&](const PreparedXa& one) {
    return one.name && one.name->transaction == name.transaction && one.name->branch == name.branch;
  });
}

std::vector<PreparedXa> XaResource::list() {
  std::vector<PreparedXa> found;
  switch (session_->dialect()) {
    case SqlDialect::sqlite:
      break;
    case SqlDialect::postgres:
      for (const SqlRow& row :
           session_
               ->execute(
                   "SELECT gid, CAST(EXTRACT(EPOCH FROM now() - prepared) AS BIGINT) FROM pg_prepared_xacts "
                   "WHERE database = current_database() ORDER BY prepared, gid")
               .rows) {
        found.push_back(of_postgres(prefix_, row));
      }
      break;
    case SqlDialect::mariadb:
      for (const SqlRow& row : session_->execute("XA RECOVER").rows)
        found.push_back(of_mariadb(prefix_, row));
      break;
  }
  return found;
}

bool XaResource::finish(std::string_view verb, const XaName& name) {
  const bool mariadb = session_->dialect() == SqlDialect::mariadb;
  const std::string statement =
      mariadb ? "XA " + std::string(verb) + " " + xa_literal(session_->dialect(), prefix_, name)
              : std::string(verb) + " PREPARED " + xa_literal(session_->dialect(), prefix_, name);
  try {
    session_->execute(statement);
    return true;
  } catch (const SqlError& error) {
    if (error.kind() == SqlError::Kind::no_xid) return false;
    throw;
  }
}

BranchAnswer XaResource::commit(const XaName& name) {
  for (int i = 0; i < tries; ++i) {
    if (finish("COMMIT", name)) return BranchAnswer::done();
    // Listed, and yet unknown: it still belongs to the connection that prepared it, or another one is at it.
    // The list is asked before the row: what is not listed any more has committed, or never will.
    if (!is_prepared(name)) {
      const std::optional<BarrierRow> row = read_barrier_row(*session_, key_of(name));
      if (row && is_prepare(*row)) return BranchAnswer::done();
      return BranchAnswer::refused(
          R"({"code":"prepared_work_lost","detail":"neither prepared nor committed: the database lost it"})");
    }
    std::this_thread::sleep_for(pause);
  }
  return BranchAnswer::ongoing();
}

BranchAnswer XaResource::rollback(const XaName& name) {
  for (int i = 0; i < tries; ++i) {
    if (!finish("ROLLBACK", name) && is_prepared(name)) {
      std::this_thread::sleep_for(pause);
      continue;
    }
    BranchAnswer answer = remember_rollback(name);
    // Prepared, and passing from its connection to everybody: MariaDB did not list it for a moment.
    if (answer.is_ongoing() && is_prepared(name)) continue;
    return answer;
  }
  return BranchAnswer::ongoing();
}

// So that a prepare that comes late is refused.
BranchAnswer XaResource::remember_rollback(const XaName& name) {
  SqlTransaction transaction(*session_);
  const Inserted inserted =
      insert_barrier_row_soon(*session_, key_of(name), to_string(BranchOperation::rollback));
  if (inserted == Inserted::held) return BranchAnswer::ongoing();  // its prepare is running
  const std::optional<BarrierRow> row =
      inserted == Inserted::present ? read_barrier_row(*session_, key_of(name)) : std::nullopt;
  transaction.commit();
  if (!row || !is_prepare(*row)) return BranchAnswer::done();
  return BranchAnswer::refused(R"({"code":"committed_before","detail":"this branch was committed"})");
}

}  // namespace lockstep::v1::detail
