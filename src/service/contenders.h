// The keys of those who contend for a name, as etcd's clients write them: the name, a slash, the lease.
#pragma once

#include <cstddef>
#include <string>

#include "base/ids.h"
#include "store/types.h"

namespace lockstep::service {

struct Ownership {
  store::Header header;
  std::string key;  // exists as long as it is owned
  Revision token;   // the key's create_revision
  LeaseId lease;
};

// "name/1f", the key of a contender.
std::string contender_key(const std::string& name, LeaseId lease);
// Every contender of a name, oldest first, at most one.
store::RangeRequest oldest_contender(const std::string& name);
// The newest keys of a range, all but their values.
store::RangeRequest newest_of(std::string key, std::string range_end, std::size_t count);
// The smallest key above all that begin with `prefix`, "\0" if there is none.
std::string prefix_end(std::string prefix);

}  // namespace lockstep::service
