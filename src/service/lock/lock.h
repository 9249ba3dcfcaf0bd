// A lock that its holder's lease backs: etcd's lock service on any Store.
//
// Strand, ownership and errors: as the queue's (ownership_queue.h).
#pragma once

#include <string>
#include <utility>

#include "service/ownership_queue.h"
#include "store/store.h"

namespace lockstep::service {

class Lock {
 public:
  explicit Lock(store::Store& store) : store_(store), queue_(store) {}

  // Answers once the lock is held. The ownership's token goes along to whatever the lock protects (I5).
  void lock(std::string name, LeaseId lease, store::CallOptions options, store::Callback<Ownership> done) {
    AcquireRequest request;
    request.name = std::move(name);
    request.lease = lease;
    queue_.acquire(std::move(request), std::move(options), std::move(done));
  }

  // `key`: the ownership's. Ok also if it was not held any more.
  void unlock(std::string key, store::CallOptions options, store::Callback<store::DeleteRangeResponse> done) {
    store::DeleteRangeRequest request;
    request.key = std::move(key);
    store_.delete_range(std::move(request), std::move(options), std::move(done));
  }

  [[nodiscard]] std::size_t contenders() const { return queue_.contenders(); }

 private:
  store::Store& store_;
  OwnershipQueue queue_;
};

}  // namespace lockstep::service
