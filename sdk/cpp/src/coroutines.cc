// What the public coroutine types need of a thread.
#include <deque>
#include <stdexcept>

#include "base/task.h"
#include "lockstep/operation.h"
#include "lockstep/task.h"
#include "world.h"

namespace lockstep::v1::detail {
namespace {
thread_local int client_threads = 0;
}

ClientThread::ClientThread() {
  ++client_threads;
}
ClientThread::~ClientThread() {
  --client_threads;
}

bool on_client_thread() {
  return client_threads > 0;
}

Error waiting_on_client_thread() {
  return Error(
      Code::failed_precondition,
      "wait() on the client's own thread would wait for itself: co_await, or resume on an executor of yours");
}

void task_waited_on_client_thread() {
  throw NoValue(waiting_on_client_thread());
}

void task_run_twice() {
  throw std::logic_error("lockstep: a task is awaited once");
}

void resume_in_turn(std::coroutine_handle<> handle) {
  ResumeLoop::resume(handle);
}

}  // namespace lockstep::v1::detail
