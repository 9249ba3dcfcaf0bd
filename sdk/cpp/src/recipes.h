// The recipes of src/service that one client uses, on its strand.
#pragma once

#include "runtime.h"
#include "service/lock/lock.h"

namespace lockstep::v1::detail {

class Recipes {
 public:
  explicit Recipes(Runtime& runtime) : locks(runtime.store()) {}
  // Gives back what is held.
  void begin_close() {}

  service::Lock locks;
};

}  // namespace lockstep::v1::detail
