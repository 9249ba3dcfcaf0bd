// grpc.health.v1: whether a service is served. Internal to rpc. Strand only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rpc/server_call.h"

namespace lockstep::rpc {

class HealthService {
 public:
  static void register_with(const std::shared_ptr<HealthService>& health, ServiceRegistry& registry);
  void set_serving(std::string_view service, bool serving);
  // Everything, for good.
  void set_shutting_down();

 private:
  class Watcher;
  // Numbers of the protocol.
  enum class Serving : std::uint8_t { unknown = 0, serving = 1, not_serving = 2, service_unknown = 3 };
  [[nodiscard]] Serving status_of(std::string_view service) const;
  static std::string encode(Serving status);
  void check(const ServerCallPtr& call, std::string_view request) const;

  std::map<std::string, bool, std::less<>> serving_ = {{"", true}};
  std::vector<Watcher*> watchers_;
  bool shutting_down_ = false;
};

}  // namespace lockstep::rpc
