// Recovery of prepared transactions that nobody finished: the coordinator forgot them, or cannot reach this
// participant. Preparing, committing and rolling back is Participant's, in mode xa.
//
// Presumed abort: the coordinator records the decision before it sends the first commit; so what is prepared
// and has no record of a decision was never decided, and is rolled back once it is older than a limit.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lockstep/abi.h"
#include "lockstep/participant/sql.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

enum class XaDecision : std::uint8_t {
  committed,  // or committing
  aborted,    // or aborting
  running,    // the coordinator knows it and has not decided
  unknown,    // the coordinator has no such transaction
};

struct XaReport {
  std::int64_t committed = 0;
  std::int64_t rolled_back = 0;
  std::int64_t left = 0;     // running, or unknown and young
  std::int64_t foreign = 0;  // without our prefix: never touched
  // What needs a person: a decision that could not be carried out, and why.
  std::vector<std::string> problems;
};

// One database. Not for several threads at once.
class XaRecovery {
 public:
  using Decide = std::function<XaDecision(const std::string& transaction)>;

  // `prefix`: the participants' xa_prefix(). Throws std::invalid_argument for one that no participant may
  // have.
  XaRecovery(SqlSessions& sessions, std::string prefix);
  // How old an unknown one must be. Ten minutes. PostgreSQL knows the age; in MariaDB it counts from the
  // first run_once() that saw it.
  XaRecovery& abort_unknown_after(std::chrono::seconds age);

  // Looks at all that is prepared and finishes what is decided. Throws SqlError if it cannot even look; what
  // `decide` throws ends it, too.
  XaReport run_once(const Decide& decide);

 private:
  SqlSessions* sessions_;
  std::string prefix_;
  std::chrono::seconds abort_unknown_after_ = std::chrono::minutes(10);
  std::map<std::string, std::chrono::steady_clock::time_point> first_seen_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
