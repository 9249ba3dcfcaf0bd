// A server without a store of its own: coordination, and etcd's keys, watches, leases, locks and elections,
// on an etcd cluster that exists. `lockstepd --store etcd://host:port,…`
//
// It keeps nothing: any number of them serve one cluster, and each may go at any time. To the cluster all
// clients are one user (--store-user); who may use this server is decided by client certificates. Tokens are
// refused.
#pragma once

#include <cstdint>
#include <memory>

#include "base/status.h"
#include "server/logger.h"
#include "server/options.h"

namespace lockstep::server {

class Proxy {
 public:
  // Listens; the cluster need not be there yet. Errors: what the operator can do something about.
  static Result<std::unique_ptr<Proxy>> open(const ServerOptions& options, Logger& logger);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Serves until SIGTERM or SIGINT, then lets requests finish and returns. A second signal ends the process
  // at once.
  void run();

  [[nodiscard]] std::uint16_t client_port() const;

 private:
  class Parts;
  explicit Proxy(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace lockstep::server
