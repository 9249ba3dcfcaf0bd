// Subscriptions that end when whoever asked loses the permission to read what is watched.
//
// etcd judges a watch once, when it is made, and goes on delivering whatever happens to the user. Here access
// never widens (I12): every change of users and roles asks again, and so does every answer before it goes
// out.
//
// Strand: the member's. A subscription may outlive the guard; it is cancelled then.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/status.h"
#include "store/state_machine.h"
#include "store/store.h"

namespace lockstep::replica {

class WatchGuard {
 public:
  WatchGuard();
  ~WatchGuard();
  WatchGuard(const WatchGuard&) = delete;
  WatchGuard& operator=(const WatchGuard&) = delete;

  // The state to judge by; a new one after a snapshot was installed. It outlives this, or its successor.
  void set_state(const store::StateMachine& machine) { shared_->machine = &machine; }
  // Judged already.
  std::unique_ptr<store::Subscription> wrap(std::unique_ptr<store::Subscription> inner,
                                            const store::WatchRequest& request, store::Principal principal);
  // Judges all again if users or roles changed. Calls the callbacks of subscribers: never inside an apply.
  void check();

 private:
  class Guarded;
  struct Shared {
    const store::StateMachine* machine = nullptr;
    std::map<std::uint64_t, Guarded*>
        subscriptions;  // by number, so that their order is that of their making
    std::uint64_t last_number = 0;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::pair<store::AuthRevision, bool> checked_;
};

}  // namespace lockstep::replica
