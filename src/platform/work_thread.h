// One thread with a queue: takes one piece of work at a time, in the order it was pushed.
//
// The destructor waits for the piece at hand and drops the rest without running it (as a crash would).
// push() may be called from any thread. All signals are blocked in the thread: they belong to the server's.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "env/executor.h"

namespace lockstep::platform {

class WorkThread {
 public:
  // The name is what debuggers and `top -H` show, at most 15 characters.
  explicit WorkThread(const std::string& name);
  ~WorkThread();
  WorkThread(const WorkThread&) = delete;
  WorkThread& operator=(const WorkThread&) = delete;

  void push(env::Closure work);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable work_pushed_;
  std::deque<env::Closure> queue_;
  bool idle_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

// The Worker port on a thread of its own. The executor outlives it.
class ThreadWorker final : public env::Worker {
 public:
  explicit ThreadWorker(env::Executor& executor, const std::string& name = "ls-worker")
      : executor_(executor), thread_(name) {}
  void submit(env::Closure work, env::Closure done) override;

 private:
  env::Executor& executor_;
  WorkThread thread_;
};

}  // namespace lockstep::platform
