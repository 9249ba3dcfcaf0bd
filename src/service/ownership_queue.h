// Many contenders for one name, one owner at a time, in the order of their arrival.
//
//   1. The owner is the contender whose key under "name/" has the smallest create_revision. That number is
//   its fencing
//      token: of two owners, one after the other, the second's is larger (I5).
//   2. A waiter watches only the key before its own: a release wakes one waiter.
//   3. acquire() answers ok only if, at the revision in the header, the key was there and no older one was.
//   4. A contender that ends without owning (error, cancelled, past its deadline) removes its key; if that
//   fails, too,
//      the key ends with its lease. A lease made here is revoked instead.
//
// A repeated acquire() with the same name and lease finds its own key and carries on from there, so repeating
// after an unknown outcome is safe.
//
// Ownership: destroying the queue forgets its waiters without calling them. The store outlives the queue, or
// dies with its pending callbacks before. Strand: the store's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "store/store.h"

namespace lockstep::service {

// Of the lease of a contender that brings none, from when it began to wait. Nobody renews it: etcd's rule.
inline constexpr Duration default_session_ttl = std::chrono::seconds(60);

struct AcquireRequest {
  std::string name;
  LeaseId lease;  // zero: one of default_session_ttl is made
  std::string value;
  bool replace_value = false;  // of a key that this lease already has under that name
};

struct Ownership {
  store::Header header;
  std::string key;  // exists as long as it is owned
  Revision token;   // the key's create_revision
  LeaseId lease;
};

// "name/1f", the key of a contender.
std::string contender_key(const std::string& name, LeaseId lease);
// Every contender of a name, oldest first, at most one.
store::RangeRequest oldest_contender(const std::string& name);
// The smallest key above all that begin with `prefix`, "\0" if there is none.
std::string prefix_end(std::string prefix);

namespace errors {
// The lease ended while its contender waited.
Status session_expired();
}  // namespace errors

class OwnershipQueue {
 public:
  explicit OwnershipQueue(store::Store& store) : store_(store) {}
  ~OwnershipQueue();
  OwnershipQueue(const OwnershipQueue&) = delete;
  OwnershipQueue& operator=(const OwnershipQueue&) = delete;

  // Waits as long as the options allow. The deadline counts through their cancellation token, which whoever
  // set the deadline stops when it passes.
  void acquire(AcquireRequest request, store::CallOptions options, store::Callback<Ownership> done);

  [[nodiscard]] std::size_t contenders() const { return contenders_.size(); }

 private:
  class Contender;

  store::Store& store_;
  std::map<std::uint64_t, std::shared_ptr<Contender>> contenders_;
  std::uint64_t next_id_ = 1;
};

}  // namespace lockstep::service
