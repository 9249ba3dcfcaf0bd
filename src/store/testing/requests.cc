#include "store/testing/requests.h"

#include <string>
#include <vector>

#include "base/limits.h"

namespace lockstep::store::testing {
namespace {

class Generator {
 public:
  Generator(Prng& prng, const Known& known) : prng_(prng), known_(known) {}

  Step step() {
    switch (pick({24, 24, 10, 24, 3, 4, 3, 3, 2, 1, known_.no_space ? 12u : 1u})) {
      case 0:
        return range();
      case 1:
        return put(true);
      case 2:
        return delete_range();
      case 3:
        return txn(0);
      case 4:
        return compact();
      case 5:
        return grant();
      case 6:
        return LeaseRevokeRequest{lease()};
      case 7:
        return LeaseKeepAliveRequest{lease()};
      case 8:
        return LeaseTimeToLiveRequest{lease(), prng_.chance(1, 2)};
      case 9:
        return LeaseLeasesResponse{};
      default:
        return alarm();
    }
  }

 private:
  std::size_t pick(std::initializer_list<unsigned> weights) {
    unsigned total = 0;
    for (const unsigned weight : weights) total += weight;
    std::uint64_t drawn = prng_.below(total);
    std::size_t choice = 0;
    for (const unsigned weight : weights) {
      if (drawn < weight) return choice;
      drawn -= weight;
      ++choice;
    }
    return 0;
  }
  std::string key() {
    static const std::vector<std::string> keys{
        "a", "b", "ab", std::string("a\0", 2), "abc", "c", "\xff", std::string("\0", 1), "ca", "\x01"};
    if (prng_.chance(1, 60)) return {};
    return keys[prng_.below(keys.size())];
  }
  std::string range_end() {
    switch (pick({5, 4, 2})) {
      case 0:
        return {};
      case 1:
        return key();
      default:
        return std::string(1, '\0');
    }
  }
  std::string value() {
    static const std::vector<std::string> values{"", "x", "y", "xyz", std::string("\0", 1), "\xfe\xff"};
    if (prng_.chance(1, 4000)) return std::string(limits::request_bytes_max + 100, 'v');  // too large
    if (prng_.chance(1, 100)) return std::string(prng_.below(3000), 'l');
    return values[prng_.below(values.size())];
  }
  Revision revision() {
    switch (pick({10, 8, 2, 2, 1, 1})) {
      case 0:
        return Revision{};
      case 1:
        return Revision(static_cast<std::int64_t>(prng_.between(
            static_cast<std::uint64_t>(known_.compacted), static_cast<std::uint64_t>(known_.revision))));
      case 2:
        return Revision(known_.compacted + static_cast<std::int64_t>(prng_.below(3)) - 1);
      case 3:
        return Revision(known_.revision + static_cast<std::int64_t>(prng_.below(3)));
      case 4:
        return Revision(1 + static_cast<std::int64_t>(prng_.below(5)));
      default:
        return Revision(-static_cast<std::int64_t>(prng_.below(3)));
    }
  }
  Revision filter() { return prng_.chance(1, 8) ? revision() : Revision{}; }
  LeaseId lease() {
    if (!known_.leases.empty() && prng_.chance(5, 6)) return known_.leases[prng_.below(known_.leases.size())];
    return LeaseId(static_cast<std::int64_t>(prng_.below(12)));
  }
  RangeRequest range() {
    RangeRequest request;
    request.key = key();
    request.range_end = range_end();
    request.limit = prng_.chance(1, 3) ? static_cast<std::int64_t>(prng_.below(5)) - 1 : 0;
    request.revision = revision();
    if (prng_.chance(1, 3)) request.sort_order = static_cast<SortOrder>(prng_.below(3));
    if (prng_.chance(1, 3)) request.sort_target = static_cast<SortTarget>(prng_.below(5));
    request.serializable = prng_.chance(1, 2);
    request.keys_only = prng_.chance(1, 6);
    request.count_only = prng_.chance(1, 8);
    request.min_mod_revision = filter();
    request.max_mod_revision = filter();
    request.min_create_revision = filter();
    request.max_create_revision = filter();
    return request;
  }
  PutRequest put(bool may_be_wrong) {
    PutRequest request;
    request.key = key();
    request.prev_kv = prng_.chance(1, 3);
    request.ignore_value = prng_.chance(1, 6);
    request.ignore_lease = prng_.chance(1, 6);
    const bool wrong = may_be_wrong && prng_.chance(1, 10);
    if (!request.ignore_value || wrong) request.value = value();
    if ((!request.ignore_lease || wrong) && prng_.chance(1, 3)) request.lease = lease();
    return request;
  }
  DeleteRangeRequest delete_range() {
    DeleteRangeRequest request;
    request.key = key();
    request.range_end = range_end();
    request.prev_kv = prng_.chance(1, 3);
    return request;
  }
  Compare compare() {
    Compare compare;
    compare.key = key();
    if (prng_.chance(1, 3)) compare.range_end = range_end();
    compare.result = static_cast<CompareResult>(prng_.below(4));
    compare.target = static_cast<CompareTarget>(prng_.below(5));
    switch (compare.target) {
      case CompareTarget::version:
        compare.number = static_cast<std::int64_t>(prng_.below(4));
        break;
      case CompareTarget::create_revision:
      case CompareTarget::mod_revision:
        compare.number = prng_.chance(1, 3) ? 0 : revision().value();
        break;
      case CompareTarget::lease:
        compare.number = prng_.chance(1, 3) ? 0 : lease().value();
        break;
      case CompareTarget::value:
        compare.value = prng_.chance(1, 20) ? "" : value();
        break;
    }
    return compare;
  }
  RequestOperation operation(int depth) {
    switch (pick({8, 10, 5, depth < 3 ? 5u : 0u, 1})) {
      case 0:
        return {range()};
      case 1:
        return {put(false)};
      case 2:
        return {delete_range()};
      case 3:
        return {txn(depth + 1)};
      default:
        return prng_.chance(1, 8) ? RequestOperation{} : RequestOperation{range()};
    }
  }
  std::size_t length(int depth) {
    if (prng_.chance(1, 400)) return limits::txn_operations_max - 2 + prng_.below(4);
    return prng_.below(depth == 0 ? 5 : 4);
  }
  TxnRequest txn(int depth) {
    TxnRequest request;
    const std::size_t compares =
        prng_.chance(1, 500) ? limits::txn_operations_max + prng_.below(2) : prng_.below(3);
    for (std::size_t i = 0; i < compares; ++i) request.compare.push_back(compare());
    for (auto* list : {&request.success, &request.failure}) {
      const std::size_t operations = length(depth);
      // Long lists would only ever be duplicates, if they wrote.
      for (std::size_t i = 0; i < operations; ++i) {
        list->push_back(operations > 10 ? RequestOperation{range()} : operation(depth));
      }
    }
    return request;
  }
  CompactRequest compact() {
    CompactRequest request;
    request.revision = revision();
    request.physical = prng_.chance(1, 2);
    return request;
  }
  LeaseGrantRequest grant() {
    LeaseGrantRequest request;
    const std::int64_t ttl_s = known_.short_leases ? static_cast<std::int64_t>(prng_.between(1, 20))
                                                   : 100'000 + static_cast<std::int64_t>(prng_.below(1000));
    request.ttl = std::chrono::seconds(prng_.chance(1, 10) ? limits::lease_ttl_s_max + 1 : ttl_s);
    request.id = LeaseId(static_cast<std::int64_t>(prng_.between(1, 30)) * (prng_.chance(1, 10) ? -1 : 1));
    return request;
  }
  AlarmRequest alarm() {
    AlarmRequest request;
    request.action = known_.no_space && prng_.chance(2, 3) ? AlarmAction::deactivate
                                                           : static_cast<AlarmAction>(prng_.below(3));
    request.alarm.member = NodeId(prng_.between(5, 6));
    request.alarm.kind = AlarmKind::no_space;
    if (request.action == AlarmAction::get && prng_.chance(1, 2)) request.alarm.kind = AlarmKind::none;
    return request;
  }

  Prng& prng_;
  const Known& known_;
};

}  // namespace

Step generate(Prng& prng, const Known& known) {
  return Generator(prng, known).step();
}

}  // namespace lockstep::store::testing
