// Small requests that recipes are made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/ids.h"
#include "base/status.h"
#include "store/types.h"

namespace lockstep::service {

template <class Request>
store::RequestOperation operation(Request request) {
  store::RequestOperation wrapped;
  wrapped.request = std::move(request);
  return wrapped;
}

// `anywhere`: as the member that is asked knows it.
inline store::RangeRequest one_key(std::string key, bool anywhere = false) {
  store::RangeRequest request;
  request.key = std::move(key);
  request.serializable = anywhere;
  return request;
}

inline store::PutRequest put_of(std::string key, std::string value, LeaseId lease) {
  store::PutRequest request;
  request.key = std::move(key);
  request.value = std::move(value);
  request.lease = lease;
  return request;
}

inline store::DeleteRangeRequest removal_of(std::string key) {
  store::DeleteRangeRequest request;
  request.key = std::move(key);
  return request;
}

// Zero as create_revision or version: the key does not exist.
inline store::Compare number_is(std::string key, store::CompareTarget target, std::int64_t number) {
  store::Compare compare;
  compare.key = std::move(key);
  compare.target = target;
  compare.number = number;
  return compare;
}
inline store::Compare created_at(std::string key, Revision revision) {
  return number_is(std::move(key), store::CompareTarget::create_revision, revision.value());
}
inline store::Compare modified_at(std::string key, Revision revision) {
  return number_is(std::move(key), store::CompareTarget::mod_revision, revision.value());
}

namespace errors {
// By a store that is none of ours, or by something between.
inline Status answer_of_other_shape() {
  return {Code::internal, "lockstep: the store answered something else than was asked"};
}
}  // namespace errors

// The answer to the operation at `position` of a transaction's branch; null if the store answered something
// else.
inline const store::RangeResponse* range_at(const store::TxnResponse& answer, std::size_t position) {
  if (position >= answer.responses.size()) return nullptr;
  return std::get_if<store::RangeResponse>(&answer.responses[position].response);
}

}  // namespace lockstep::service
