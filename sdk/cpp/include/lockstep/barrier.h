// Barrier: so many parties wait for each other and go on together, again and again.
//
//   auto together = client.barrier("step", 3).enter().wait();   // when all three are there
//   …
//   together->leave().wait();                                   // when all three are through
//
// Guarantee: enter() is done for exactly the sessions that came first and were all alive in the store at one
// moment. A party that dies while it waits is there no more.
//
// Cost: entering is a read and a write; each who waits is told once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/operation.h"
#include "lockstep/session.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class BarrierPlace;
class Runtime;
}  // namespace detail

// One party of one round. Destroying it leaves, without waiting for the others.
class BarrierRound {
 public:
  explicit BarrierRound(std::shared_ptr<detail::BarrierPlace> place);
  BarrierRound(BarrierRound&&) noexcept;
  BarrierRound& operator=(BarrierRound&&) noexcept;
  ~BarrierRound();

  // The first is 1.
  [[nodiscard]] std::int64_t number() const;
  // Done when every party of this round has left, or died.
  Operation<void> leave(CallOptions options = {});

 private:
  std::shared_ptr<detail::BarrierPlace> place_;
};

class Barrier {
 public:
  Barrier(std::shared_ptr<detail::Runtime> runtime, std::string name, std::int64_t parties)
      : runtime_(std::move(runtime)), name_(std::move(name)), parties_(parties) {}

  // As this session instead of one of the client's own.
  Barrier& in(const Session& session) {
    session_ = session.holder();
    return *this;
  }
  // failed_precondition: it has another number of parties. An error: not counted.
  Operation<BarrierRound> enter(CallOptions options = {}) const;
  // While nobody waits; the next to come may say another number of parties.
  Operation<void> remove(CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string name_;
  std::int64_t parties_;
  std::shared_ptr<detail::SessionHolder> session_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
