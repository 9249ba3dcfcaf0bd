// The recipes of src/service that one client uses, on its strand.
#pragma once

#include "runtime.h"
#include "service/counter/counter.h"
#include "service/lock/locks.h"
#include "sessions.h"

namespace lockstep::v1::detail {

class Recipes {
 public:
  explicit Recipes(Runtime& runtime) : locks(runtime.context()), counters(runtime.context()) {}
  // Gives back what is held.
  void begin_close() { sessions.clear(); }

  SessionPool sessions;
  service::Locks locks;
  service::Counter counters;
};

}  // namespace lockstep::v1::detail
