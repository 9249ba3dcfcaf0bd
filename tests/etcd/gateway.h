// etcd's JSON gateway over one kept connection.
#pragma once

#include <cstdint>
#include <memory>

#include <boost/json/value.hpp>

#include "wire_json.h"

namespace lockstep::etcd_test {

class Gateway {
 public:
  explicit Gateway(std::uint16_t port);
  ~Gateway();
  // Sends without waiting; etcd serves one connection's requests one after the other.
  // `token` empty: shows none.
  void send(const HttpRequest& request, const std::string& token = {});
  // The next answer, as it came, except: headers keep only what to_json() gives.
  boost::json::value receive();

 private:
  class Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace lockstep::etcd_test
