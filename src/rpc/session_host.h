// What a session asks of whoever has it on a stream. Internal to rpc.
#pragma once

#include "base/time.h"
#include "env/executor.h"
#include "rpc/pipe.h"

namespace lockstep::rpc {

class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // produce() has something, at the latest at the end of this turn; produce_early() may run inside.
  virtual void on_output(Output kind) = 0;
  // expire() is wanted then, if nothing earlier is armed.
  virtual void on_deadline(TimePoint deadline) = 0;
  virtual env::Executor& executor() = 0;
  // Calls the session's work_off() soon, unless it is gone by then.
  virtual void work_off_soon() {}
};

}  // namespace lockstep::rpc
