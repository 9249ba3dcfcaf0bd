// A real etcd in a directory of its own, on loopback ports of its own; ends with this object.
#pragma once

#include <cstdint>
#include <string>

#include <sys/types.h>

namespace lockstep::etcd_test {

class EtcdProcess {
 public:
  // False: no etcd is installed.
  static bool available();

  // Starts and waits until it answers; ends the test program if it does not.
  EtcdProcess();
  ~EtcdProcess();
  EtcdProcess(const EtcdProcess&) = delete;
  EtcdProcess& operator=(const EtcdProcess&) = delete;

  [[nodiscard]] std::uint16_t client_port() const { return client_port_; }

 private:
  std::string directory_;
  std::uint16_t client_port_ = 0;
  pid_t process_ = 0;
};

}  // namespace lockstep::etcd_test
