#include "gateway/etcd/reserved_keys.h"

namespace lockstep::gateway {

rpc::GrpcStatus keep_to_client_keys(std::string* key, const std::string& range_end) {
  if (key->empty() || key->front() != '\0') return {};
  const bool unbounded = range_end == std::string_view("\0", 1);
  if (!unbounded && range_end <= client_keys_begin) {
    return {rpc::GrpcCode::invalid_argument, "lockstep: keys that begin with a zero byte are reserved"};
  }
  key->assign(client_keys_begin);
  return {};
}

}  // namespace lockstep::gateway
