// The barrier: one table in the participant's own database, written in the participant's own transaction,
// that makes each branch have its effect once whatever the network does to its calls.
//
//   1. Idempotency: a call that was done is not done again; it gets the first one's answer.
//   2. Empty rollback: a cancel, compensate or rollback whose try, action or prepare never came (or was
//      refused) is done without running the business, and is remembered.
//   3. Suspension: a try, action or prepare that comes after its cancel is refused.
//      A refusal stands for its round: one of a later round (Lockstep-Round) is run, unless it was undone.
//   4. Insert first: rows are claimed by inserting their primary key, never by reading them for update. A
//   call
//      that comes while its like or its opposite runs waits in the insert until that one has committed.
//   5. What is not committed did not happen: barrier and business share one transaction.
//
// Table `lockstep_barrier`: one row a (gid, branch, operation); `reason` is the operation that wrote it: its
// own, or the one that undoes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "lockstep/abi.h"
#include "lockstep/participant/branch.h"
#include "lockstep/participant/sql.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

class BranchBarrier {
 public:
  enum class Passage : std::uint8_t {
    first,      // run the business, then keep_answer(), then commit
    duplicate,  // done before: `answer` is the first one's
    empty,      // an undo with nothing to undo: commit, answer done
    suspended,  // its undo was there before it: roll back, answer refused
  };
  struct Entered {
    Passage passage = Passage::first;
    BranchAnswer answer = BranchAnswer::done();
  };

  // Inside an open transaction, before anything else in it. Throws SqlError.
  static Entered enter(SqlSession& session, const BranchContext& context);
  // What duplicates shall be answered; nothing to do for an empty 200.
  static void keep_answer(SqlSession& session, const BranchContext& context, const BranchAnswer& answer);
  // After a refusal was rolled back, in a transaction of its own (it opens and commits one): the same call
  // shall be refused again in its round, whatever has changed since. The answer that stands: a duplicate may
  // have been faster.
  static BranchAnswer keep_refusal(SqlSession& session, const BranchContext& context,
                                   const BranchAnswer& answer);

  // The table's definition, for migrations.
  static std::string table_definition(SqlDialect dialect);
  // Creates it if it is not there. Outside a transaction.
  static void create_table(SqlSession& session);
};

// Removes old rows, a bounded number a transaction. A row must live longer than its transaction can be
// called for: keep it for days. What MessageBarrier wrote lives longer: with its row gone, a message whose
// local transaction committed would be answered `refused` by the next check, and be lost.
class BarrierCleaner {
 public:
  explicit BarrierCleaner(SqlSessions& sessions) : sessions_(&sessions) {}
  // Rows younger than that stay. Seven days; at least an hour.
  BarrierCleaner& keep(std::chrono::seconds age);
  // The same of messages' rows: longer than a coordinator, or the way to it, may be away. Ninety days; never
  // less than keep().
  BarrierCleaner& keep_messages(std::chrono::seconds age);
  // At most so many rows a transaction. 1,000.
  BarrierCleaner& batch(std::int64_t rows);
  // Removes one batch; how many rows that were. 0: nothing old is left. Throws SqlError.
  std::int64_t run_once();

 private:
  SqlSessions* sessions_;
  std::chrono::seconds keep_ = std::chrono::hours(7 * 24);
  std::chrono::seconds keep_messages_ = std::chrono::hours(90 * 24);
  std::int64_t batch_ = 1000;
};

// Transactional messages: the sender's half. The local transaction records that it sends; the coordinator,
// when in doubt, asks (`check`), and whichever of the two comes first stands: a local transaction that was
// asked for before it committed cannot commit any more.
class MessageBarrier {
 public:
  // In the sender's own transaction. False: the check-back was faster, roll back. Throws SqlError.
  [[nodiscard]] static bool record(SqlSession& session, std::string_view transaction);
  // The answer to `check`: done (it committed), refused (it did not, and never will), ongoing (it is still
  // running). Opens and ends a transaction. Throws SqlError.
  static BranchAnswer check(SqlSession& session, std::string_view transaction);
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
