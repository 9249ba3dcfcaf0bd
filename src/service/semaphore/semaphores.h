// Semaphores: at most so many sessions at once.
//
//   1. At most `permits` sessions hold a permit, decided in the store, at the revision in the answer's
//   header. Served
//      in the order of arrival.
//   2. A permit that is given back, or whose holder's session ends, serves one waiter, and wakes no other but
//   the one
//      who is first in line then.
//   3. The number of permits is the semaphore's: whoever names another one is refused. It can change only by
//   removing
//      the semaphore while nobody holds or awaits a permit.
//   4. A session has one permit of a semaphore at most; asking again is the same holding, with the same
//   token.
//   5. A call that ends with an error holds nothing and leaves no key (line.h 3).
//
// What can go wrong: as for locks, a holder that is stopped longer than its session lasts is one too many;
// the token is a fencing token (guard.h), but there are `permits` of them at a time.
//
// Keys: lockstep/semaphores/NAME says {"permits":N}; holders and waiters stand at
// lockstep/semaphores/NAME/<lease hex>, NAME as key_segment() writes it. Costs: a free permit is one write; a
// waiter one write and one watch; a hand-over the write that releases and one by which the next is told that
// it is first.
//
// Strand only. Destroying it cancels who waits; what is held stays held.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "service/context.h"
#include "service/line.h"
#include "service/lock/description.h"
#include "service/session/session.h"

namespace lockstep::service {

// Whoever is first in line reads them all at each hand-over.
inline constexpr std::int64_t permits_max = 1000;

struct PermitRequest {
  std::string name;
  std::int64_t permits = 1;  // of the semaphore; the first to come makes it
  bool wait = true;          // until the deadline of the options; false: errors::no_permit_free at once
  Description description;
};

struct Permit {
  std::string name;
  Revision token;
  LeaseId session;
  std::string key;
  Revision modified{};  // the key's mod_revision
  store::Header header;
  bool was_held = false;  // by the session, before: this call took nothing
};

struct PermitRelease {
  std::string name;
  LeaseId session;
  Revision token;
  Revision modified{};  // the permit's if it is known: saves a question
};

struct PermitContender {
  std::string key;
  LeaseId session;
  Revision token;
  bool holds = false;
  HolderValue value;
};

struct SemaphoreState {
  std::string name;
  std::int64_t permits = 0;                 // zero: there is no such semaphore
  std::vector<PermitContender> contenders;  // in the order of service; at most contenders_shown_max
  bool more = false;

  static constexpr std::size_t contenders_shown_max = 2000;
  static_assert(contenders_shown_max > permits_max);
};

namespace errors {
Status no_permit_free();        // failed_precondition, and we do not wait
Status permits_out_of_range();  // invalid_argument: 1 to 1000
Status permits_differ();        // failed_precondition: the semaphore has another number of them
Status semaphore_damaged();     // corruption: its key does not say how many there are
Status semaphore_in_use();      // failed_precondition
}  // namespace errors

class Semaphores {
 public:
  explicit Semaphores(const Context& context) : context_(context), line_(std::make_shared<Line>(context)) {}
  ~Semaphores() { line_->close(); }
  Semaphores(const Semaphores&) = delete;
  Semaphores& operator=(const Semaphores&) = delete;

  [[nodiscard]] Task<Result<Permit>> acquire(SessionPtr session, PermitRequest request,
                                             store::CallOptions options);
  // errors::not_holder, errors::stale_token. unknown_outcome: repeat it, it takes effect once.
  [[nodiscard]] Task<Result<store::Header>> release(const PermitRelease& release, store::CallOptions options);
  [[nodiscard]] Task<Result<SemaphoreState>> show(std::string name, store::CallOptions options);
  // ok also if there is none.
  [[nodiscard]] Task<Status> remove(std::string name, store::CallOptions options);

  [[nodiscard]] std::size_t waiters() const { return line_->waiters(); }

 private:
  Context context_;
  std::shared_ptr<Line> line_;  // also of calls that run
};

}  // namespace lockstep::service
