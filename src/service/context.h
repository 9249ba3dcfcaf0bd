// Everything a recipe may ask of the world, in one place.
//
// References only: what they name outlives the recipe and every call of it that runs. Strand: the store's,
// which is the executor's.
#pragma once

#include "env/clock.h"
#include "env/executor.h"
#include "env/random.h"
#include "store/store.h"

namespace lockstep::service {

struct Context {
  store::Store& store;
  env::Executor& executor;
  env::Clock& clock;
  env::Random& random;
};

}  // namespace lockstep::service
