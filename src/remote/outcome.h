// What the end of a gRPC call says about its outcome.
//
// Invariant: a mutation that may have reached a server is "not done" only where the server's answer says so:
// by a code with which it refuses, or by a text that is known to be given before anything is proposed.
// Everything else is unknown_outcome.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "rpc/grpc_status.h"

namespace lockstep::remote {

// What a call may leave behind.
enum class Effect : std::uint8_t { none, mutation };

// The error of a call that ended with `status`, which is not ok. `sent`: a server may have seen it.
Status to_status(const rpc::GrpcStatus& status, Effect effect, bool sent);

// The same call may succeed at once at another member, or here in a moment; it left nothing behind.
bool worth_another_attempt(const Status& status);
// The token is no longer good, or one is needed: log in and repeat. Nothing was done.
bool asks_for_login(const rpc::GrpcStatus& status);
// Such a text inside a longer one (a watch's cancel reason may hold Go's description of an error); or
// nothing.
std::string_view login_text_in(std::string_view reason);
// Logging in is not needed, because authentication is off.
bool login_not_needed(const rpc::GrpcStatus& status);

}  // namespace lockstep::remote
