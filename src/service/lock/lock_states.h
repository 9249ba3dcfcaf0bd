// Who holds which lock, who waits, since when and why; and taking a lock away from its holder, on the record.
//
// Everything is read at one revision. Contenders of etcd's own clients are shown, too: they say nothing about
// themselves. Pure functions of the store; strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "service/context.h"
#include "service/lock/locks.h"

namespace lockstep::service {

struct LockContender {
  std::string key;
  LockMode mode = LockMode::exclusive;
  LeaseId session;
  Revision token;
  bool holds = false;
  HolderValue value;
};

struct LockState {
  std::string name;
  std::vector<LockContender> contenders;  // holders first, then those who wait, in the order of service
  bool more = false;                      // there are more than are shown
  Revision revision;                      // of the store, at which this held
};

// Shown of one lock.
inline constexpr std::size_t lock_contenders_shown_max = 1000;
// Locks in one page, and keys looked through for them.
inline constexpr std::size_t locks_listed_max = 100;
inline constexpr std::size_t lock_contenders_listed_max = 10;  // of each of them
// A page ends with the locks that come to so many bytes of keys and values.
inline constexpr std::size_t lock_list_bytes_max = 1024 * 1024;
inline constexpr std::size_t lock_keys_scanned_max = 10'000;

// No contenders: it is free.
Task<Result<LockState>> show_lock(Context context, std::string name, store::CallOptions options,
                                  std::size_t contenders_max = lock_contenders_shown_max);

struct LockListRequest {
  std::string prefix;  // of the names; empty: all
  std::string from;    // `next` of the page before
};
struct LockList {
  std::vector<LockState> locks;
  std::string next;  // empty: that was all
};
// Locks that somebody holds or waits for. A key is a lock's if it ends in "/" and the hexadecimal number of
// its lease. Costs a scan of the keys with that prefix. While it goes on page by page, locks come and go.
Task<Result<LockList>> list_locks(Context context, LockListRequest request, store::CallOptions options);

struct ForceRelease {
  std::string name;
  Revision token;  // of a holder, or of somebody who waits
  std::string by;  // who does it, and why: for the record
  std::string reason;
};
struct ForcedRelease {
  store::Header header;
  std::string audit_key;
};
// The key is removed and the record written at lockstep/audit/, or neither. errors::not_holder if the token
// is over. What the holder believes does not change until it asks: only the resource protects itself
// (guard.h).
Task<Result<ForcedRelease>> force_release(Context context, ForceRelease request, store::CallOptions options);

}  // namespace lockstep::service
