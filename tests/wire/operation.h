// One step of a sequence over the wire: what is sent, to which member, and how it reads in a report.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "base/prng.h"
#include "store/testing/requests.h"

namespace lockstep::wire_test {

struct Operation {
  enum class Kind : std::uint8_t {
    unary,
    grant_any,  // a lease whose identity the server draws, revoked again
    keep_alive,
    watch,  // created, read until it gave what it must, cancelled
  };
  Kind kind = Kind::unary;
  std::string_view path;
  std::shared_ptr<const google::protobuf::Message> request;
  std::size_t member = 0;
};

// `wrong` of 100 requests are spoilt: fields out of range, nested too deep, lists too long, messages of
// another kind.
Operation generate(Prng& prng, const store::testing::Known& known, std::size_t members, unsigned wrong);

// A transaction that we refuse and etcd 3.4 accepts by oversight (store/validate.h).
bool is_stricter_here(const Operation& operation, const store::testing::Known& known);

std::string describe(const Operation& operation);

}  // namespace lockstep::wire_test
