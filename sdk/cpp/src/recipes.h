// The recipes of src/service that one client uses, on its strand.
#pragma once

#include "runtime.h"
#include "service/counter/counter.h"
#include "service/election/elections.h"
#include "service/idempotency/idempotency.h"
#include "service/ids/ids.h"
#include "service/limiter/limiter.h"
#include "service/lock/locks.h"
#include "service/semaphore/semaphores.h"
#include "sessions.h"

namespace lockstep::v1::detail {

class Recipes {
 public:
  explicit Recipes(const service::Context& context)
      : locks(context),
        counters(context),
        ids(context),
        limiters(context),
        idempotency(context),
        semaphores(context),
        elections(context) {}
  // Gives back what is held.
  void begin_close() { sessions.clear(); }

  SessionPool sessions;
  service::Locks locks;
  service::Counter counters;
  service::Ids ids;
  service::Limiter limiters;
  service::Idempotency idempotency;
  service::Semaphores semaphores;
  service::Elections elections;
};

}  // namespace lockstep::v1::detail
