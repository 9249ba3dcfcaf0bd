#include "service/barrier/gathering.h"

#include <array>
#include <cstdio>

#include "service/barrier/barriers.h"
#include "service/contenders.h"
#include "service/flat_json.h"
#include "service/names.h"

namespace lockstep::service {

std::string barrier_key(const std::string& name) {
  return "lockstep/barriers/" + key_segment(name);
}

std::string parties_prefix(const std::string& name, std::int64_t generation) {
  std::array<char, 24> digits{};
  const int size =
      std::snprintf(digits.data(), digits.size(), "/%016llx", static_cast<unsigned long long>(generation));
  return barrier_key(name) + std::string(digits.data(), static_cast<std::size_t>(size));
}

std::string encode(const Gathering& gathering) {
  return FlatJsonWriter()
      .number("parties", gathering.parties)
      .number("generation", gathering.generation)
      .number("last", gathering.last.value())
      .str();
}

Result<Gathering> decode_gathering(const store::KeyValue& kv) {
  const Result<FlatJson> json = FlatJson::parse(kv.value);
  if (!json.ok()) return errors::barrier_damaged();
  Gathering gathering;
  gathering.parties = json->number("parties").value_or(0);
  gathering.generation = json->number("generation").value_or(0);
  gathering.last = Revision(json->number("last").value_or(-1));
  gathering.modified = kv.mod_revision;
  const bool is_right = gathering.parties >= 1 && gathering.parties <= barrier_parties_max &&
                        gathering.generation >= 1 && gathering.last >= Revision();
  if (!is_right) return errors::barrier_damaged();
  return gathering;
}

store::RangeRequest oldest_parties(const std::string& name, std::int64_t generation, std::int64_t count) {
  store::RangeRequest request;
  request.key = parties_prefix(name, generation) + "/";
  request.range_end = prefix_end(request.key);
  request.sort_target = store::SortTarget::create_revision;
  request.sort_order = store::SortOrder::ascend;
  request.keys_only = true;
  request.limit = count;
  return request;
}

}  // namespace lockstep::service
