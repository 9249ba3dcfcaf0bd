// What the contract suite needs of an implementation of Store: a fresh store, and a world that goes on.
//
// Nothing here says how time passes: in one world a virtual clock jumps, in another there are threads,
// sockets and a server process beside us. So the suite only ever waits until something holds.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "base/time.h"
#include "store/store.h"

namespace lockstep::store_contract {

// One store and everything it needs, ready to serve. Keys of other tests may lie in it, and its revision may
// stand anywhere.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  // To be called inside on_strand() and run_until() only.
  virtual store::Store& store() = 0;
  // Runs `step` on the store's strand and returns when it returned.
  virtual void on_strand(const std::function<void()>& step) = 0;
  // Lets the world go on until `condition`, which is asked on the strand, holds. False: it does not, however
  // long one waits.
  [[nodiscard]] virtual bool run_until(const std::function<bool()>& condition) = 0;
  // Of the clock that deadlines are compared with.
  virtual TimePoint now() = 0;
};

struct Implementation {
  std::string name;
  std::function<std::unique_ptr<StoreUnderTest>()> create;

  friend void PrintTo(const Implementation& implementation, std::ostream* out) {
    *out << implementation.name;
  }
};

Implementation memory();  // the state machine alone, virtual time
Implementation native();  // one member, in virtual time, on the simulator's disk and the memory engine
Implementation native_on_disk();  // one member as it is deployed: real files, threads, clock, RocksDB

}  // namespace lockstep::store_contract
