// Timers sent by HTTP, and the queues whose timers are.
//
// A POST with the payload as its body (application/json if it is JSON, else application/octet-stream) and the
// headers Lockstep-Timer-Queue, -Name (both with %XX for what a header cannot have), -Token, -Attempt, and
// -Scheduled (milliseconds since 1970; only where the timer has a time of day). An answer of 2xx: the
// receiver has it. 410: it wants no more of this timer. Anything else, no answer included: sent again, after
// Retry-After if that is later.
//
// Strand only. What they are given outlives them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "env/http_client.h"
#include "service/timer/callback_runner.h"

namespace lockstep::service {

class HttpCallbackSender final : public CallbackSender {
 public:
  explicit HttpCallbackSender(env::HttpClient& client) : client_(client) {}
  void send(CallbackRequest request, TimePoint deadline,
            std::move_only_function<void(CallbackAnswer)> done) override;

 private:
  env::HttpClient& client_;
};

// What is sent for a request, and what an answer means.
env::HttpCall http_call_of(const CallbackRequest& request);
CallbackAnswer callback_answer_of(const Result<env::HttpReply>& reply);

// Runs a CallbackRunner for each queue whose timers are sent; a new one is noticed within a second.
class TimerCallbacks {
 public:
  TimerCallbacks(const Context& context, env::HttpClient& client, CallbackOptions options = {});
  ~TimerCallbacks();
  TimerCallbacks(const TimerCallbacks&) = delete;
  TimerCallbacks& operator=(const TimerCallbacks&) = delete;

  [[nodiscard]] std::uint64_t sent() const;
  [[nodiscard]] std::uint64_t failed() const;
  [[nodiscard]] std::size_t queues() const;

 private:
  class Queues;
  std::shared_ptr<Queues> queues_;
};

}  // namespace lockstep::service
