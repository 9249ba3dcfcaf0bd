// The rows of lockstep_barrier, for those who write them: barriers, messages, XA.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lockstep/participant/sql.h"

namespace lockstep::v1::detail {

struct BarrierKey {
  std::string_view transaction;
  std::string_view branch;
  std::string_view operation;
};

struct BarrierRow {
  std::string reason;
  int status = 0;
  std::string answer;
  std::int64_t round = 0;  // of the call that was refused
};

// `now` in whole seconds, as the database counts them.
std::string_view now_expression(SqlDialect dialect);

// Whether the row is new; waits for another transaction that inserts the same one. `status` is what
// duplicates are answered.
bool insert_barrier_row(SqlSession& session, const BarrierKey& key, std::string_view reason, int status = 200,
                        std::string_view answer = {}, std::int64_t round = 0);
std::optional<BarrierRow> read_barrier_row(SqlSession& session, const BarrierKey& key);

// Runs the script that creates `table` (statements ended by ";\n"), unless it is there; outside a
// transaction. Others may do so at the same time.
void create_once(SqlSession& session, std::string_view table, std::string_view script);

enum class Inserted : std::uint8_t { fresh, present, held };

// The same, but waits a second only: `held` by a transaction of another session, and the present one must be
// rolled back.
Inserted insert_barrier_row_soon(SqlSession& session, const BarrierKey& key, std::string_view reason);

}  // namespace lockstep::v1::detail
