// What a transaction does next, as a pure value: no store, clock, randomness or network.
//
// A machine is built from a definition, which never changes, and is told what happened, in the order in which
// it was recorded: the journal. Two machines of one definition and one journal say the same. So a coordinator
// that takes over builds the machine, tells it the journal, and goes on where the other one was.
//
//   1. next() names the calls that should be under way now, and no others: the coordinator sends each until
//   it has an
//      outcome, records the outcome, and tells it (learn()). A call is named by (branch, operation); both are
//      unique in a transaction but for `attempt`, which the coordinator counts.
//   2. A call that next() named stays named until an entry for it is learned. Calls come to be named only by
//   learning.
//   3. An outcome is learned once. Verdicts go one way: running -> aborting -> aborted, or running ->
//   committed;
//      where `decided` is needed (2PC), running -> committing -> committed only after learning
//      Decision::commit.
//   4. next() is bounded: calls_at_once_max of them.
//
// Errors in definitions are found when a machine is built, never later.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace lockstep::service::transaction {

inline constexpr std::size_t definition_bytes_max = 1 << 20;
inline constexpr std::size_t branches_max = 1000;
inline constexpr std::size_t calls_at_once_max = 64;
// Of one attempt. Calls under way are bounded, and some that are never answered would hold up all others.
inline constexpr Duration attempt_time_max = 60s;
inline constexpr std::size_t output_bytes_max = 16 * 1024;  // of one branch's answer, as far as it is kept

// By which rules a definition is read. A stored one was taken by those of its time: what is refused only
// since then is sent within today's bounds, or left out, and never stops what is under way.
enum class Rules : std::uint8_t { submitted, stored };

enum class Mode : std::uint8_t { saga, tcc, xa, message, notification };

enum class Operation : std::uint8_t {
  action,      // saga: a step
  compensate,  // saga: undoes one
  attempt,     // tcc: try
  confirm,     // tcc
  cancel,      // tcc
  prepare,     // xa
  commit,      // xa
  rollback,    // xa
  check,       // message: did the sender's local transaction commit?
  deliver,     // message, notification
};

// How often and how long a call is repeated while its outcome is not known.
struct RetryRule {
  Duration timeout = 3s;   // of one attempt; up to attempt_time_max
  Duration interval = 1s;  // after the first; doubles with backoff
  double backoff = 2.0;
  Duration interval_max = 60s;
  std::int64_t attempts_max = 0;    // then the outcome is `gave_up`; 0: never
  std::int64_t attempts_alarm = 8;  // then an operator is called, and the repeating goes on; 0: never
};

struct Call {
  std::string branch;  // unique within the transaction: what participants know it by
  Operation operation = Operation::action;
  std::string url;  // empty: nothing to call, done at once
  std::string method = "POST";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  RetryRule retry;
  bool may_refuse =
      true;          // a refusal (409) is an outcome; otherwise it is repeated, and an operator is called
  int round = 0;     // how often an operator had it tried again after it had failed
  Duration delay{};  // before the first attempt, counted from when it came to be named
};

enum class Outcome : std::uint8_t {
  done,          // 200 to 299
  refused,       // 409: for good, and without effect
  gave_up,       // attempts_max reached: it may or may not have had its effect
  skipped,       // an operator said so
  refused_late,  // 409, and an attempt before it had no outcome: it may have had its effect
  dropped,       // never sent, and of no use any more; of a saga's actions
};

// One line of the journal.
struct Entry {
  enum class Kind : std::uint8_t {
    outcome,    // of a call
    decision,   // commit or abort, by the owner of the transaction (tcc, xa, message) or by a time limit
    timed_out,  // the transaction's own time limit passed while it ran
    forward,    // an operator wants what failed to be tried again
    compensate  // an operator wants it undone
  };
  Kind kind = Kind::outcome;
  std::string branch;                       // outcome
  Operation operation = Operation::action;  // outcome
  Outcome outcome = Outcome::done;          // outcome
  int status = 0;                           // outcome: HTTP's, of the last answer; 0: none
  std::string output;                       // outcome: the answer's body, up to output_bytes_max
  bool commit = false;                      // decision
};

enum class Verdict : std::uint8_t {
  running,
  waiting,     // for the owner's decision: nothing to call (tcc and xa while trying, message before submit)
  committing,  // decided; second phase under way
  aborting,
  committed,  // final
  aborted,    // final: everything that was done is undone
  failed,  // final: ended by an error of its own with nothing to undo, or with effects an operator was told
           // of
};

struct Next {
  Verdict verdict = Verdict::running;
  std::vector<Call> calls;
  std::string reason;  // of aborting, aborted, failed, and of being held: for people
  // Something failed that the machine does not go on from by itself: an operator says forward, compensate or,
  // of the branches named here, skip. Calls may be under way beside it.
  bool held = false;
  std::vector<std::pair<std::string, Operation>> held_calls;
};

class Machine {
 public:
  virtual ~Machine() = default;
  // An entry that does not fit (an outcome nobody waits for, a decision after another) is refused with
  // failed_precondition and changes nothing.
  [[nodiscard]] virtual Status learn(const Entry& entry) = 0;
  [[nodiscard]] virtual Next next() const = 0;
  // After which it is told timed_out, counted from the submit; 0: never.
  [[nodiscard]] virtual Duration time_limit() const { return {}; }
  // What it takes of memory, about, with what it learned; quickly told.
  [[nodiscard]] virtual std::size_t bytes() const = 0;
  // What a finished transaction answers with (a saga's outputs as JSON); empty: nothing.
  [[nodiscard]] virtual std::string result() const { return {}; }
};

constexpr bool final(Verdict verdict) {
  return verdict == Verdict::committed || verdict == Verdict::aborted || verdict == Verdict::failed;
}

}  // namespace lockstep::service::transaction
