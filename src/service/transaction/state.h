// What is kept of a transaction beside its definition: where it stands, its journal, and of each call that
// did not come to an outcome yet how often it was tried and when it is tried again.
//
// A line of JSON for people and filters, then a line for each such call and each entry of the journal:
//
//   {"mode":"tcc","state":"committing","created_ms":1790000000000,…}
//   call confirm stock 2 0 45100 503 no answer
//   at 12 1 3 done try stock 200 {}
//   at 40 0 0 decision commit
//
// Times: `*_ms` of the line are by the wall clock of whoever wrote it, for people, but for deadline_ms and
// next_ms, which are by the coordinators' clock (coordinator.h), as are those of calls. Of an entry: how long
// after created_ms it was written, attempts, and how long the last one took, in milliseconds.
//
// Pure. Decoding is strict, memory bounded by the text. Errors: failed_precondition, naming what is damaged.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "service/transaction/machine.h"

namespace lockstep::service::transaction {

// Of all outputs in one journal; later ones are kept without theirs.
inline constexpr std::size_t journal_output_bytes_max = std::size_t{512} * 1024;
inline constexpr std::size_t result_bytes_max = std::size_t{64} * 1024;
inline constexpr std::size_t reason_bytes_max = 512;
// As next_ms: nothing is to be done until something happens.
inline constexpr std::int64_t never_ms = std::numeric_limits<std::int64_t>::max() / 4;
// Of stored times, 31,000 years: sums of them, and the same in nanoseconds since a near time, stay in range.
inline constexpr std::int64_t stored_ms_max = 1'000'000'000'000'000;
static_assert(stored_ms_max < never_ms);
// branches, audits: nobody comes to that by using it
inline constexpr std::int64_t counted_max = 1'000'000'000;

std::string_view to_string(Mode mode);
std::optional<Mode> parse_mode(std::string_view text);
// As participants see it: "action", "compensate", "try", "confirm" and so on.
std::string_view to_string(Operation operation);
std::optional<Operation> parse_operation(std::string_view text);
std::string_view to_string(Outcome outcome);
std::optional<Outcome> parse_outcome(std::string_view text);
// submitted, trying, committing, aborting, committed, aborted, failed
std::string_view to_string(Verdict verdict);
std::optional<Verdict> parse_verdict(std::string_view text);

struct CallState {
  std::string branch;
  Operation operation = Operation::action;
  std::int64_t attempts = 0;  // begun, as far as is recorded
  std::int64_t ongoing = 0;   // of these, answered with 425
  std::int64_t due_ms = 0;    // zero: now
  int status = 0;             // of the last answer; 0: there was none
  std::string error;          // why the last attempt failed
  friend bool operator==(const CallState&, const CallState&) = default;
};

struct JournalLine {
  std::int64_t at_ms = 0;
  std::int64_t attempts = 0;
  std::int64_t took_ms = 0;
  Entry entry;
};

struct State {
  Mode mode = Mode::saga;
  Verdict verdict = Verdict::running;
  std::string reason;
  std::int64_t created_ms = 0;
  std::int64_t changed_ms = 0;
  std::int64_t deadline_ms = 0;  // zero: not counted from yet, or none
  std::int64_t next_ms = 0;      // nothing is to be done before; zero: look
  std::int64_t branches = 0;     // registered one by one
  std::int64_t audits = 0;
  std::string needs_operator;  // why; empty: it does not
  std::int64_t needs_operator_since_ms = 0;
  std::string result;      // of a finished one
  std::string definition;  // digest_of() what it was submitted with
  std::string user;        // who submitted it, as the server knew them; empty: it did not
  // Of one that is only remembered: since when, by the coordinators' clock.
  std::int64_t remembered_ms = 0;
  std::vector<CallState> calls;
  std::string journal;  // its lines, as they are
  friend bool operator==(const State&, const State&) = default;
};

std::string encode(const State& state);
Result<State> parse_state(std::string_view text);

// 128 bits as hexadecimal digits. Against mistakes, not against malice: who chooses the gid chooses both.
std::string digest_of(std::string_view document);

void append_to_journal(std::string& journal, const JournalLine& line);
Result<std::vector<JournalLine>> parse_journal(std::string_view journal);

// What fits into a line of these documents: UTF-8, no longer than that.
std::string printable(std::string_view text, std::size_t bytes_max = reason_bytes_max);

}  // namespace lockstep::service::transaction
