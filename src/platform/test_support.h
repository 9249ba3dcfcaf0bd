// What the platform tests share: a strand on its own thread, and waiting for conditions instead of sleeping.
#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "base/assert.h"
#include "platform/executor.h"
#include "platform/system.h"

namespace lockstep::platform {

// Generous: only a test that fails waits this long.
inline constexpr std::chrono::seconds patience{60};

// Polls until `condition` holds. For what other threads or the kernel do; a false result fails the test.
inline bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// An executor with its thread. Everything that lives on the strand is reached with on().
class StrandThread {
 public:
  StrandThread() : executor(clock), thread_([this] { executor.run(); }) {}
  ~StrandThread() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    executor.stop();
    thread_.join();
  }
  // Runs `call` on the strand and returns its result.
  template <class Call>
  auto on(Call call) -> std::invoke_result_t<Call> {
    std::packaged_task<std::invoke_result_t<Call>()> task(std::move(call));
    auto result = task.get_future();
    executor.post_from_any_thread(std::move(task));
    return result.get();
  }

  RealClock clock;
  AsioExecutor executor;

 private:
  std::thread thread_;
};

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lockstep-test-XXXXXX").string();
    LS_MUST(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace lockstep::platform
