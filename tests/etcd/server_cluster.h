// Real server processes in a directory of their own, on loopback ports of their own; they end with this
// object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

namespace lockstep::etcd_test {

class ServerCluster {
 public:
  // False: no etcd is installed.
  static bool etcd_installed();

  // Each starts `size` members and waits until all say that they are healthy; ends the test program if they
  // do not.
  static ServerCluster etcd(std::size_t size = 1);
  // `program` is the path of lockstepd.
  static ServerCluster lockstepd(const std::string& program, std::size_t size = 1);

  ~ServerCluster();
  ServerCluster(ServerCluster&&) noexcept = default;
  ServerCluster(const ServerCluster&) = delete;
  ServerCluster& operator=(const ServerCluster&) = delete;

  [[nodiscard]] std::size_t size() const { return members_.size(); }
  [[nodiscard]] std::uint16_t client_port(std::size_t member = 0) const {
    return members_.at(member).client_port;
  }
  [[nodiscard]] std::string endpoint(std::size_t member = 0) const;

 private:
  struct Member {
    std::string name;
    std::uint16_t client_port = 0;
    std::uint16_t peer_port = 0;
    pid_t process = 0;
  };
  explicit ServerCluster(std::size_t size);
  void start(Member& member, const std::vector<std::string>& command) const;
  void wait_until_healthy() const;
  // name=url,name=url
  [[nodiscard]] std::string list(const std::string& scheme) const;

  std::string directory_;
  std::vector<Member> members_;
};

}  // namespace lockstep::etcd_test
