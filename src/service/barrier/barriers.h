// Barriers: so many parties wait for each other, go on together, and may leave together. Used again and
// again.
//
//   1. enter() answers ok for exactly the `parties` sessions that came first and were all there, alive in the
//   store, at
//      one revision: the barrier's next generation begins with it. Whoever came later belongs to the next
//      one.
//   2. A party whose session ends while it waits is there no more; another one must come for it.
//   3. Whoever is told an error is not counted, unless it was its session that ended; if the others have gone
//   on with it
//      in that very moment, it is told ok.
//   4. leave() answers ok when every party of the generation has left or its session has ended, and those who
//   came too late
//      for it have gone on to the next one, or are gone. Whoever is told that its time is over has left all
//      the same, or will as soon as the store can be reached.
//   5. The number of parties is the barrier's: whoever names another one is refused, until it is removed.
//
// Keys: lockstep/barriers/NAME says {"parties":3,"generation":7,"last":41}, where `last` is the token of the
// last party of the generation before; parties stand at lockstep/barriers/NAME/<generation>/<lease hex>, NAME
// as key_segment() writes it. Costs: entering is a read and a write; the last one to come writes once more;
// each who waits is told once. A party's key says {"passed":true} from then on. Leaving is a write and a
// read.
//
// A deadline that passes is answered when it is certain what became of the party, a moment later; if the
// store is away for half a minute, unknown_outcome, and the party is withdrawn when it is back. Strand only;
// calls end by themselves, by their options, or with the session.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "base/task.h"
#include "service/context.h"
#include "service/session/session.h"

namespace lockstep::service {

// Going on asks for each of them in one transaction.
inline constexpr std::int64_t barrier_parties_max = 100;

struct BarrierPassed {
  std::string name;
  std::int64_t generation = 0;  // the first is 1
  Revision token;               // of this party; smaller ones came earlier
  store::Header header;
};

struct BarrierState {
  std::string name;
  std::int64_t parties = 0;     // zero: there is no such barrier
  std::int64_t generation = 0;  // the one that gathers now
  std::int64_t there = 0;       // parties that wait
};

namespace errors {
Status barrier_differs();       // failed_precondition: it has another number of parties
Status barrier_out_of_range();  // invalid_argument: 1 to 100 parties
Status barrier_damaged();       // corruption: its key does not say what it waits for
Status barrier_not_entered();   // failed_precondition: the session is no party of that generation
Status barrier_in_use();        // failed_precondition: somebody waits
}  // namespace errors

Task<Result<BarrierPassed>> enter_barrier(Context context, SessionPtr session, std::string name,
                                          std::int64_t parties, store::CallOptions options);
Task<Status> leave_barrier(Context context, SessionPtr session, std::string name, std::int64_t generation,
                           store::CallOptions options);
Task<Result<BarrierState>> show_barrier(Context context, std::string name, store::CallOptions options);
// While nobody waits; ok also if there is none.
Task<Status> remove_barrier(Context context, std::string name, store::CallOptions options);

}  // namespace lockstep::service
