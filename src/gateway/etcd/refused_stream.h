// The handler of a stream that was refused when it began: whatever the client still sends is ignored.
#pragma once

#include "rpc/server_call.h"

namespace lockstep::gateway {

class RefusedStream final : public rpc::ServerStreamHandler {
 public:
  void on_message(std::string_view /*message*/) override {}
  void on_half_close() override {}
  void on_cancelled() override {}
};

}  // namespace lockstep::gateway
