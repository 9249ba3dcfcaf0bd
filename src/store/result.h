// Answers of applied commands.
#pragma once

#include <cstddef>
#include <variant>
#include <vector>

#include "base/status.h"
#include "store/types.h"

namespace lockstep::store {

// Answers to a batch of renewals, in the order of the ids; TTL zero: the lease is gone.
struct LeaseRenewResponse {
  Header header;
  std::vector<LeaseKeepAliveResponse> renewals;  // their headers are left to the caller
  friend bool operator==(const LeaseRenewResponse&, const LeaseRenewResponse&) = default;
};
// To a change of users and roles.
struct AuthResponse {
  Header header;
  friend bool operator==(const AuthResponse&, const AuthResponse&) = default;
};
struct NothingResponse {
  Header header;
  friend bool operator==(const NothingResponse&, const NothingResponse&) = default;
};

using Response = std::variant<NothingResponse, PutResponse, DeleteRangeResponse, TxnResponse, CompactResponse,
                              LeaseGrantResponse, LeaseRevokeResponse, LeaseRenewResponse, AlarmResponse,
                              RegisterClientResponse, AuthResponse>;
using CommandResult = Result<Response>;

// Where the member that proposed an entry takes the answers. header.cluster, member and term are left to it;
// header.revision is filled as etcd does (also inside transactions).
class ResultSink {
 public:
  virtual ~ResultSink() = default;
  // Once per command, in order.
  virtual void on_result(std::size_t position, CommandResult result) = 0;
};

}  // namespace lockstep::store
