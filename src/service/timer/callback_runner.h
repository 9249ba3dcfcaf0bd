// Sends the timers of one queue to their targets: each is claimed, sent, and acknowledged once its receiver
// said that it has it, or given back to be sent again later, ever later, until it is a dead letter. A
// receiver that wants no more of a timer ends it, with all its runs to come.
//
// Every server runs one; claims share the work. A receiver gets each firing at least once, with the token of
// the delivery: of two deliveries of one firing, the later has the larger token. One whose answer came too
// late, or got lost, is sent again.
//
// Bounded: in_flight_max at a time. Nothing is sent for a delivery that may be over before the sending is.
// Ownership: the sender outlives the runner and what it sends. Destroying the runner ends the claiming; what
// is being sent is not acknowledged any more, and comes again. Strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "service/context.h"
#include "store/principal.h"

namespace lockstep::service {

struct CallbackRequest {
  std::string target;  // as the timer was set with
  std::string queue;
  std::string name;
  std::string payload;
  Revision token;
  std::int64_t attempt = 1;
  std::optional<Duration> wall;  // the moment it was scheduled for, if by the wall clock
};

struct CallbackAnswer {
  // NOLINTNEXTLINE(google-explicit-constructor): a sender that has no more to say
  CallbackAnswer(Status status) : received(std::move(status)) {}
  Status received;        // ok: the receiver has it; anything else: it is sent again later
  bool stop = false;      // it wants no more of this timer
  Duration not_before{};  // it asks not to be told again sooner
};

// How something is sent: by HTTP (http_callbacks.h).
class CallbackSender {
 public:
  virtual ~CallbackSender() = default;
  // `done` is called exactly once, on the strand, at the deadline at the latest.
  virtual void send(CallbackRequest request, TimePoint deadline,
                    std::move_only_function<void(CallbackAnswer)> done) = 0;
};

struct CallbackOptions {
  std::string queue = "callbacks";
  std::size_t in_flight_max = 64;
  Duration send_time_max = 10s;
  Duration back_off_min = 1s;
  Duration back_off_max = 300s;
  store::Principal principal;
};

class CallbackRunner {
 public:
  CallbackRunner(const Context& context, CallbackSender& sender, CallbackOptions options = {});
  ~CallbackRunner();
  CallbackRunner(const CallbackRunner&) = delete;
  CallbackRunner& operator=(const CallbackRunner&) = delete;

  [[nodiscard]] std::uint64_t sent() const;    // and received
  [[nodiscard]] std::uint64_t failed() const;  // to be sent again, or dead

 private:
  class Run;
  std::shared_ptr<Run> run_;
};

}  // namespace lockstep::service
