#include "service/contenders.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

#include "base/assert.h"

namespace lockstep::service {

std::string prefix_end(std::string prefix) {
  while (!prefix.empty()) {
    const auto last = static_cast<unsigned char>(prefix.back());
    if (last < 0xff) {
      prefix.back() = static_cast<char>(last + 1);
      return prefix;
    }
    prefix.pop_back();
  }
  return {'\0'};
}

std::string contender_key(const std::string& name, LeaseId lease) {
  std::array<char, 24> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), lease.value(), 16);
  LS_MUST(error == std::errc());
  std::string key;
  key.reserve(name.size() + 1 + digits.size());
  key.append(name).append(1, '/').append(digits.data(), end);
  return key;
}

store::RangeRequest oldest_contender(const std::string& name) {
  store::RangeRequest request;
  request.key = name + "/";
  request.range_end = prefix_end(request.key);
  request.sort_target = store::SortTarget::create_revision;
  request.sort_order = store::SortOrder::ascend;
  request.limit = 1;
  return request;
}

store::RangeRequest newest_of(std::string key, std::string range_end, std::size_t count) {
  store::RangeRequest request;
  request.key = std::move(key);
  request.range_end = std::move(range_end);
  request.sort_target = store::SortTarget::create_revision;
  request.sort_order = store::SortOrder::descend;
  request.keys_only = true;
  request.limit = static_cast<std::int64_t>(count);
  return request;
}

}  // namespace lockstep::service
