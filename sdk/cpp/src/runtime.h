// The part of a client that lives on its strand: the recipes, and every call that runs.
//
// Invariants: 1. a call that was begun completes exactly once, on the strand; 2. after close() nothing of
// this client runs any more, and every later call completes at once with `cancelled`. Threads: post(),
// close() and what operations do: any; everything else on the strand.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>

#include "base/task.h"
#include "env/executor.h"
#include "lockstep/client.h"
#include "service/context.h"
#include "store/store.h"
#include "world.h"

namespace lockstep::v1::detail {

class Recipes;  // recipes.h

class Runtime : public std::enable_shared_from_this<Runtime> {
 public:
  Runtime(std::shared_ptr<World> world, const ClientOptions& options);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // False: closed, nothing will run.
  bool post(env::Closure closure);
  void close();

  [[nodiscard]] const ClientOptions& options() const { return options_; }
  World& world() { return *world_; }
  store::Store& store() { return world_->store(); }
  [[nodiscard]] service::Context context() {
    return {world_->store(), world_->executor(), world_->clock(), world_->random()};
  }
  Recipes& recipes();

  // One call while it runs.
  struct Call {
    std::uint64_t number = 0;
    std::stop_source source;
    env::TimerId deadline_timer;
    bool timed_out = false;
    std::function<void()> abort;  // completes it without its body
    std::optional<std::stop_callback<std::function<void()>>> user_stop;
    TimePoint deadline = no_deadline;
  };
  using CallPtr = std::shared_ptr<Call>;
  // `waits`: on others, so that without a deadline of the caller's there is none.
  CallPtr begin_call(const CallOptions& options, bool waits, std::function<void()> abort);
  void end_call(const CallPtr& call);
  // For what is released in the background: after a session's time it would be over anyway.
  store::CallOptions release_options();
  // Keeps something on the strand until it is dropped, or the client is closed. Handle does it.
  std::uint64_t keep(std::shared_ptr<void> thing);
  [[nodiscard]] std::shared_ptr<void> kept(std::uint64_t number) const;
  void drop(std::uint64_t number);
  // close() waits for what is being released.
  void release_began() { ++releasing_; }
  void release_ended();
  [[nodiscard]] bool closing() const { return closing_; }

 private:
  void begin_close();
  void give_up();
  void wait_until_released(std::unique_lock<std::mutex>& lock, Duration time);
  void finish_close();
  void tell_if_released();
  void tell(bool& flag);

  const std::shared_ptr<World> world_;
  const ClientOptions options_;

  // On the strand.
  std::unique_ptr<Recipes> recipes_;
  std::map<std::uint64_t, CallPtr> calls_;
  std::uint64_t calls_made_ = 0;
  std::map<std::uint64_t, std::shared_ptr<void>> things_;
  std::uint64_t things_made_ = 0;
  int releasing_ = 0;
  std::stop_source releases_;  // stopped when close() waits no longer for what is being released
  bool closing_ = false;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool closed_ = false;  // post() refuses
  bool close_called_ = false;
  bool released_ = false;
  bool finished_ = false;
};

// Of an open client.
Runtime& runtime_of(const Client& client);

}  // namespace lockstep::v1::detail
