// One run's way to the cluster: a strand of its own, connections, and calls that wait for their answer.
//
// Threads: everything on the thread that made it; wait() runs the strand there.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <google/protobuf/message_lite.h>

#include "cli/settings.h"
#include "platform/executor.h"
#include "platform/system.h"
#include "remote/admin.h"
#include "remote/connections.h"
#include "remote/store.h"

namespace lockstep::cli {

class Client {
 public:
  // Connects later, when something is asked. `fail_fast`: what cannot be reached is said at once. Errors:
  // invalid_argument for files that cannot be used.
  static Result<std::unique_ptr<Client>> make(const ClientSettings& settings, std::string password,
                                              bool fail_fast = true);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  [[nodiscard]] const ClientSettings& settings() const { return settings_; }
  // For another client of the same user.
  [[nodiscard]] const std::string& password() const { return password_; }
  platform::AsioExecutor& executor() { return executor_; }
  platform::RealClock& clock() { return clock_; }
  platform::RealRandom& random() { return random_; }
  remote::Connections& connections() { return *connections_; }
  remote::Store& store() { return *store_; }
  remote::Admin& admin() { return *admin_; }
  // More of the same kind, for the load client. `one_of_many`: see rpc::ChannelOptions.
  std::unique_ptr<remote::Connections> connections_to(const std::string& endpoint, bool one_of_many);

  [[nodiscard]] TimePoint deadline() { return clock_.now() + settings_.timeout; }
  [[nodiscard]] store::CallOptions options() {
    store::CallOptions options;
    options.deadline = deadline();
    return options;
  }

  // Runs the strand until the callable that `start` was given has been called, and returns what with.
  template <class Value, class Start>
  Value wait(Start start) {
    auto slot = std::make_shared<std::optional<Value>>();
    start([this, slot](Value value) {
      slot->emplace(std::move(value));
      if (waiting_) executor_.stop();
    });
    waiting_ = true;
    while (!slot->has_value()) executor_.run();
    waiting_ = false;
    return std::move(**slot);
  }
  // A call of the Store: wait_store<store::PutResponse>([&](auto done) { store.put(…, std::move(done)); })
  template <class Response, class Start>
  Result<Response> wait_store(Start start) {
    return wait<Result<Response>>(std::move(start));
  }
  // One call of a service beside the Store.
  template <class Response>
  Result<Response> ask(std::string_view path, const google::protobuf::MessageLite& request,
                       remote::Effect effect, const std::string& endpoint = {}) {
    Response response;
    const Status status = wait<Status>([&](auto done) {
      admin_->call(path, request, &response, effect, {deadline(), endpoint}, std::move(done));
    });
    if (!status.ok()) return status;
    return response;
  }
  // Runs the strand until stop() is called.
  void run() { executor_.run(); }
  void stop() { executor_.stop(); }

 private:
  Client(ClientSettings settings, std::string password, bool fail_fast);
  [[nodiscard]] remote::ConnectionsOptions connection_options(
      const std::vector<std::string>& endpoints) const;

  ClientSettings settings_;
  std::string password_;
  platform::RealClock clock_;
  platform::RealRandom random_;
  platform::AsioExecutor executor_;
  std::unique_ptr<env::Streams> streams_;
  std::unique_ptr<remote::Connections> connections_;
  std::unique_ptr<remote::Store> store_;
  std::unique_ptr<remote::Admin> admin_;
  bool fail_fast_;
  bool waiting_ = false;
};

}  // namespace lockstep::cli
