#include "platform/work_thread.h"

#include <pthread.h>
#include <signal.h>
#include <utility>

#include "base/assert.h"

namespace lockstep::platform {

WorkThread::WorkThread(const std::string& name) {
  LS_MUST(name.size() <= 15, "the kernel's limit on thread names");
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  LS_MUST(::pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
  thread_ = std::thread([this] { run(); });
  LS_MUST(::pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
  ::pthread_setname_np(thread_.native_handle(), name.c_str());
}

WorkThread::~WorkThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_pushed_.notify_one();
  thread_.join();
}

void WorkThread::push(env::Closure work) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    LS_MUST(!stopping_);
    queue_.push_back(std::move(work));
    wake = std::exchange(idle_, false);
  }
  if (wake) work_pushed_.notify_one();
}

void WorkThread::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    while (queue_.empty() && !stopping_) {
      idle_ = true;
      work_pushed_.wait(lock);
    }
    if (stopping_) return;
    env::Closure work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
  }
}

void ThreadWorker::submit(env::Closure work, env::Closure done) {
  thread_.push([this, work = std::move(work), done = std::move(done)]() mutable {
    work();
    work = nullptr;
    executor_.post_from_any_thread(std::move(done));
  });
}

}  // namespace lockstep::platform
