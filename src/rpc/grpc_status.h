// How a gRPC call ended: the codes and texts that go over the wire.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"

namespace lockstep::rpc {

// Numbers as in the gRPC protocol.
enum class GrpcCode : std::uint8_t {
  ok = 0,
  cancelled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16,
};

// What retry_after says where nobody knows how long an overload lasts.
inline constexpr Duration overload_pause = 1s;

struct GrpcStatus {
  GrpcCode code = GrpcCode::ok;
  std::string message;  // UTF-8; empty when ok
  // Asks the client to wait so long before it repeats the call; zero says nothing.
  Duration retry_after{0};

  [[nodiscard]] bool ok() const { return code == GrpcCode::ok; }
  friend bool operator==(const GrpcStatus&, const GrpcStatus&) = default;
};

// "UNAVAILABLE", as the protocol's documents write it.
std::string_view to_string(GrpcCode code);

// The plain mapping of our codes; a protocol with texts of its own (etcd's) maps before it comes here.
// unknown_outcome becomes UNAVAILABLE, corruption DATA_LOSS, io_error INTERNAL.
GrpcStatus to_grpc(const Status& status);

}  // namespace lockstep::rpc
