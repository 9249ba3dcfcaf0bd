// One running server: everything put together, from the disk to the listener.
#pragma once

#include <cstdint>
#include <memory>

#include "base/status.h"
#include "server/logger.h"
#include "server/options.h"

namespace lockstep::server {

class Node {
 public:
  // Recovers the data directory and listens. Errors: what the operator can do something about.
  static Result<std::unique_ptr<Node>> open(const ServerOptions& options, Logger& logger);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Serves until SIGTERM or SIGINT, then hands the leadership over, lets requests finish and returns. A
  // second signal ends the process at once.
  void run();

  [[nodiscard]] std::uint16_t client_port() const;

 private:
  class Parts;
  explicit Node(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace lockstep::server
