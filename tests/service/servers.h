// Recipes on real servers: every suite here runs in front of lockstepd, three lockstepds, and a stock etcd,
// through the remote store, each client with connections of its own.
//
// The test's thread is the strand while it waits. A machine without etcd says so, and runs the rest.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/assert.h"
#include "base/task.h"
#include "platform/executor.h"
#include "platform/system.h"
#include "platform/tcp_streams.h"
#include "remote/store.h"
#include "service/context.h"

namespace lockstep::service_test {

struct Servers {
  std::string name;
  std::function<std::vector<std::string>()> endpoints;  // starts them the first time
};
// Those that this machine has.
std::vector<Servers> all_servers();

class OnServers : public ::testing::TestWithParam<Servers> {
 protected:
  // Somebody with connections of his own.
  class Client {
   public:
    Client(OnServers& test, const std::vector<std::string>& endpoints);
    [[nodiscard]] service::Context context() { return {store, test_.executor_, test_.clock_, test_.random_}; }

   private:
    OnServers& test_;
    remote::Connections connections_;

   public:
    remote::Store store;
  };
  // A task under way, and what became of it.
  template <class T>
  class Running {
   public:
    [[nodiscard]] bool waits() const { return !result_->has_value(); }
    [[nodiscard]] T& result() {
      LS_MUST(result_->has_value(), "it still waits");
      return **result_;
    }

   private:
    friend class OnServers;
    static Task<void> follow(Task<T> task, std::shared_ptr<std::optional<T>> result) {
      result->emplace(co_await std::move(task));
    }
    std::shared_ptr<std::optional<T>> result_ = std::make_shared<std::optional<T>>();
  };

  ~OnServers() override;
  Client& client();
  // A name of this test alone.
  [[nodiscard]] static std::string name(const std::string& text);

  template <class T>
  Running<T> start(Task<T> task) {
    Running<T> running;
    on_strand([&] { Running<T>::follow(std::move(task), running.result_).detach(); });
    return running;
  }
  // False: it did not end in any reasonable time.
  template <class T>
  bool ends(Running<T>& running) {
    return run_until([&] { return !running.waits(); });
  }
  template <class T>
  T run(Task<T> task) {
    Running<T> running = start(std::move(task));
    LS_MUST(ends(running), "no answer of the servers");
    return std::move(running.result());
  }
  void on_strand(const std::function<void()>& step);
  bool run_until(const std::function<bool()>& condition);
  // Everything that happens meanwhile, for so long.
  void pass(Duration time);
  [[nodiscard]] TimePoint now() { return clock_.now(); }

 private:
  platform::RealClock clock_;
  platform::RealRandom random_;
  platform::AsioExecutor executor_{clock_};
  platform::TcpStreams streams_{executor_};
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace lockstep::service_test
