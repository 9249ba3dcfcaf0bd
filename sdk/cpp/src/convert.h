// Between the store's values and the public ones.
#pragma once

#include <utility>

#include "lockstep/kv.h"
#include "store/types.h"

namespace lockstep::v1::detail {

struct TxnParts {
  store::TxnRequest request;
};

inline KeyValue to_public(store::KeyValue kv) {
  KeyValue out;
  out.key = std::move(kv.key);
  out.value = std::move(kv.value);
  out.create_revision = kv.create_revision.value();
  out.mod_revision = kv.mod_revision.value();
  out.version = kv.version;
  out.lease = kv.lease.value();
  return out;
}

inline TxnResult to_public(const store::TxnResponse& response) {
  TxnResult result;
  result.succeeded = response.succeeded;
  result.revision = response.header.revision.value();
  return result;
}

}  // namespace lockstep::v1::detail
