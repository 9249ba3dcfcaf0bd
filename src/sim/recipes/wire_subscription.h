// A subscription over the wires: resumed elsewhere when its stream breaks, says nothing for long, or its
// member died. Delivers each event once and in order.
//
// Strand: the machine's. The store outlives it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "sim/recipes/wire_store.h"

namespace lockstep::sim {

class WireSubscription final : public store::Subscription {
 public:
  WireSubscription(WireStore& store, store::WatchRequest request);
  ~WireSubscription() override;

  std::optional<store::WatchResponse> next(std::size_t bytes_max) override;
  void notify_when_ready(std::move_only_function<void()> ready) override;
  void request_progress() override;

 private:
  class Stream;  // one attempt at one member
  class Pump;    // its end there

  void open();
  void close();
  void arrived(const std::shared_ptr<Stream>& stream, std::uint64_t order, store::WatchResponse response);
  void watch_silence();
  void announce();

  WireStore& store_;
  store::WatchRequest request_;
  std::int64_t covered_;  // everything up to this revision was delivered
  std::shared_ptr<Stream> stream_;
  std::deque<store::WatchResponse> answers_;
  std::move_only_function<void()> ready_;
  env::TimerId timer_;
  bool heard_ = false;  // since the timer was set
  bool over_ = false;
  std::shared_ptr<WireSubscription*> self_;
};

}  // namespace lockstep::sim
