// Latches: closed until so many parties have counted down, then open for good.
//
//   1. The latch opens when `of` different parties have counted. A party counts once, however often it says
//   so: saying
//      it again after an unknown outcome is safe.
//   2. An open latch stays open until it is removed.
//   3. Whoever waits is told in the moment in which the latch opens, or is removed.
//
// Keys: lockstep/latches/NAME says {"count":2,"of":3}; lockstep/latches/NAME/PARTY stands for who has
// counted. NAME and PARTY are written as key_segment() does. Costs: counting is one read and one write, and
// both again after a pause where others counted at the same moment; each count is a notice to each who waits.
//
// A latch belongs to nobody and outlives all sessions. Strand only; calls end by themselves or by their
// options.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "base/task.h"
#include "service/context.h"

namespace lockstep::service {

// Each leaves a key.
inline constexpr std::int64_t latch_parties_max = 10'000;

struct LatchState {
  std::string name;
  std::int64_t count = 0;  // still to come; 0: open
  std::int64_t of = 0;
};

namespace errors {
Status latch_not_found();     // not_found: there is no such latch, or it was removed while we waited
Status latch_differs();       // failed_precondition: it waits for another number of parties
Status latch_out_of_range();  // invalid_argument: 1 to 10,000 parties
Status latch_damaged();       // corruption: its key does not say what it waits for
}  // namespace errors

// ok also if it is there and waits for as many.
Task<Result<LatchState>> make_latch(Context context, std::string name, std::int64_t of,
                                    store::CallOptions options);
// `party`: any name; empty: one that nobody else has.
Task<Result<LatchState>> count_down(Context context, std::string name, std::string party,
                                    store::CallOptions options);
Task<Result<LatchState>> await_latch(Context context, std::string name, store::CallOptions options);
Task<Result<LatchState>> show_latch(Context context, std::string name, store::CallOptions options);
// ok also if there is none.
Task<Status> remove_latch(Context context, std::string name, store::CallOptions options);

}  // namespace lockstep::service
