// What a barrier's key says, and where its parties stand. Internal to this folder.
#pragma once

#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "store/store.h"

namespace lockstep::service {

// What the barrier's key says.
struct Gathering {
  std::int64_t parties = 0;
  std::int64_t generation = 1;
  Revision last;  // token of the last party of the generation before
  Revision modified;
};

std::string barrier_key(const std::string& name);
std::string parties_prefix(const std::string& name, std::int64_t generation);
std::string encode(const Gathering& gathering);
Result<Gathering> decode_gathering(const store::KeyValue& kv);
// Of one generation, all but their values.
store::RangeRequest oldest_parties(const std::string& name, std::int64_t generation, std::int64_t count);

}  // namespace lockstep::service
