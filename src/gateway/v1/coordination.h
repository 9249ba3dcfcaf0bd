// The recipes that /v1 serves, on one store, and their routes: a file of routes for each family.
//
// Outlives the V1 that serves its routes. Strand: the store's.
#pragma once

#include "gateway/v1/route.h"
#include "service/context.h"
#include "service/simple/simple_lock.h"

namespace lockstep::gateway::v1 {

class Coordination {
 public:
  explicit Coordination(service::Context context) : context(context), simple_lock(context) {}
  Coordination(const Coordination&) = delete;
  Coordination& operator=(const Coordination&) = delete;

  [[nodiscard]] Routes routes();

  service::Context context;
  service::SimpleLock simple_lock;
};

Routes simple_routes(Coordination& recipes);

// ---- what families share
// A name as the recipes take it.
Field name_field(std::string meaning);

}  // namespace lockstep::gateway::v1
