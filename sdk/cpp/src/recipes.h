// The recipes of src/service that one client uses, on its strand.
#pragma once

#include <memory>
#include <stop_token>

#include "runtime.h"
#include "service/counter/counter.h"
#include "service/election/elections.h"
#include "service/idempotency/idempotency.h"
#include "service/ids/ids.h"
#include "service/limiter/limiter.h"
#include "service/lock/locks.h"
#include "service/semaphore/semaphores.h"
#include "service/timer/timer_driver.h"
#include "service/timer/timers.h"
#include "service/topic/topics.h"
#include "service/transaction/transactions.h"
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
        elections(context),
        timers(context),
        topics(context),
        transactions(context),
        context_(context) {}
  // Gives back what is held.
  void begin_close() {
    sessions.clear();
    closing_ = true;
  }
  // False: nothing has to end. Otherwise `ended` is called, later or at once; `give_up` hastens it.
  bool stop_driving(const std::stop_token& give_up, env::Closure ended) {
    if (driver_ == nullptr) return false;
    driver_->stop(give_up, std::move(ended));
    return true;
  }

  SessionPool sessions;
  service::Locks locks;
  service::Counter counters;
  service::Ids ids;
  service::Limiter limiters;
  service::Idempotency idempotency;
  service::Semaphores semaphores;
  service::Elections elections;
  service::Timers timers;
  service::Topics topics;
  service::transaction::Transactions transactions;

  // From now on this client is a candidate for driving the timer clock.
  void drive_timers() {
    if (driver_ == nullptr && !closing_) driver_ = std::make_unique<service::TimerDriver>(context_);
  }

 private:
  service::Context context_;
  bool closing_ = false;
  std::unique_ptr<service::TimerDriver> driver_;
};

}  // namespace lockstep::v1::detail
