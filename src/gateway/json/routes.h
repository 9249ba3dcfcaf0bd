// Which JSON path is which gRPC method. Internal to the JSON gateway.
#pragma once

#include <span>
#include <string_view>

namespace lockstep::gateway {

struct JsonRoute {
  std::string_view path;
  std::string_view method;  // "/etcdserverpb.KV/Range"
};

std::span<const JsonRoute> json_routes();

}  // namespace lockstep::gateway
