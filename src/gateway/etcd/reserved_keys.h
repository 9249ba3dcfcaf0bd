// Keys that begin with a zero byte are the server's own (decision 13): clients neither see nor change them.
//
// A client's range begins behind them; a single one is refused. The key "\0" alone stays what etcd's clients
// take it for, the begin of everything. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "rpc/grpc_status.h"

namespace lockstep::gateway {

// The first key that belongs to clients.
inline constexpr std::string_view client_keys_begin("\x01", 1);

// Moves the begin of a range behind the reserved keys. An error if the request names nothing but those.
rpc::GrpcStatus keep_to_client_keys(std::string* key, const std::string& range_end);

}  // namespace lockstep::gateway
