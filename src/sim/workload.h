// What clients do. Each kind has its own keys, so that each checker knows what may touch them:
//   r/     registers: put, get, delete and compare-and-swap of one key, nothing else (linearizability)
//   bank/  accounts: transfers between two of them, reads of all (sum)
//   lease/ one key for each lease, removed only by its lease's end (lease)
//   k/     anything: options, ranges, transactions, deletions of ranges, historical and serializable reads
#pragma once

#include <cstdint>
#include <string>

#include "sim/actor.h"

namespace lockstep::sim {

inline constexpr std::int64_t bank_accounts = 5;
inline constexpr std::int64_t bank_sum = 500;
inline constexpr const char* bank_prefix = "bank/";
inline constexpr const char* register_prefix = "r/";

// Makes the accounts; returns once they exist.
Task<void> set_up(Actor& client);
// Until Clients::stop().
Task<void> run_client(Actor& client);
Task<void> run_lease_client(Actor& client);
Task<void> run_compactor(Actor& client);

}  // namespace lockstep::sim
