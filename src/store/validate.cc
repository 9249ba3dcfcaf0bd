#include "store/validate.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "store/errors.h"
#include "store/key_range.h"

namespace lockstep::store {
namespace {

// Upper bounds of an operation's own bytes in a command, besides its keys and values (command.md).
constexpr std::size_t range_overhead_bytes = 88;
constexpr std::size_t put_overhead_bytes = 32;
constexpr std::size_t delete_overhead_bytes = 16;
constexpr std::size_t txn_overhead_bytes = 16;
constexpr std::size_t compare_overhead_bytes = 32;

Status check_key(std::string_view key) {
  if (key.empty()) return errors::key_not_provided();
  return {};
}

std::size_t size_of(const RangeRequest& request) {
  return range_overhead_bytes + request.key.size() + request.range_end.size();
}
std::size_t size_of(const PutRequest& request) {
  return put_overhead_bytes + request.key.size() + request.value.size();
}
std::size_t size_of(const DeleteRangeRequest& request) {
  return delete_overhead_bytes + request.key.size() + request.range_end.size();
}

bool key_fits(std::string_view key, std::string_view range_end = {}) {
  return key.size() <= limits::key_bytes_max && range_end.size() <= limits::key_bytes_max;
}

// Depth comes before the other rules, because they recurse; size and key lengths come last, as in etcd.
class Bounds {
 public:
  Status measure(const TxnRequest& request) {
    visit(request, 1);
    return too_deep_ ? errors::txn_too_deep() : Status();
  }
  [[nodiscard]] Status check() const {
    if (bytes_ > limits::request_bytes_max) return errors::request_too_large();
    if (key_too_large_) return errors::key_too_large();
    return {};
  }

 private:
  void visit(const TxnRequest& request, std::size_t depth) {
    if (depth > limits::txn_depth_max) {
      too_deep_ = true;
      return;
    }
    bytes_ += txn_overhead_bytes;
    for (const Compare& compare : request.compare) {
      bytes_ += compare_overhead_bytes + compare.key.size() + compare.range_end.size() + compare.value.size();
      if (!key_fits(compare.key, compare.range_end)) key_too_large_ = true;
    }
    for (const auto* list : {&request.success, &request.failure}) {
      for (const RequestOperation& operation : *list) visit(operation, depth);
    }
  }
  void visit(const RequestOperation& operation, std::size_t depth) {
    if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
      bytes_ += size_of(*range);
      if (!key_fits(range->key, range->range_end)) key_too_large_ = true;
    } else if (const auto* put = std::get_if<PutRequest>(&operation.request)) {
      bytes_ += size_of(*put);
      if (!key_fits(put->key)) key_too_large_ = true;
    } else if (const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request)) {
      bytes_ += size_of(*removal);
      if (!key_fits(removal->key, removal->range_end)) key_too_large_ = true;
    } else if (const auto* txn = std::get_if<TxnRequest>(&operation.request)) {
      visit(*txn, depth + 1);
    }
  }

  std::size_t bytes_ = 0;
  bool too_deep_ = false;
  bool key_too_large_ = false;
};

Status check_fields(const PutRequest& request) {
  LS_RETURN_IF_ERROR(check_key(request.key));
  if (request.ignore_value && !request.value.empty()) return errors::value_provided();
  if (request.ignore_lease && request.lease != LeaseId{}) return errors::lease_provided();
  return {};
}

Status check_operations(const TxnRequest& request, std::size_t operations_max);

Status check_operation(const RequestOperation& operation, std::size_t operations_max) {
  if (const auto* range = std::get_if<RangeRequest>(&operation.request)) return check_key(range->key);
  if (const auto* put = std::get_if<PutRequest>(&operation.request)) return check_fields(*put);
  if (const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request))
    return check_key(removal->key);
  if (const auto* txn = std::get_if<TxnRequest>(&operation.request)) {
    return check_operations(*txn, operations_max);
  }
  return errors::key_not_found();
}

// A nested transaction gets what the longest list beside it left.
Status check_operations(const TxnRequest& request, std::size_t operations_max) {
  const std::size_t longest =
      std::max({request.compare.size(), request.success.size(), request.failure.size()});
  if (longest > operations_max) return errors::too_many_operations();
  for (const Compare& compare : request.compare) LS_RETURN_IF_ERROR(check_key(compare.key));
  for (const auto* list : {&request.success, &request.failure}) {
    for (const RequestOperation& operation : *list) {
      LS_RETURN_IF_ERROR(check_operation(operation, operations_max - longest));
    }
  }
  return {};
}

// What the operations of one list may write, each write with the position of the operation it belongs to.
struct Writes {
  struct Put {
    std::string_view key;
    std::size_t owner;
  };
  struct Removal {
    KeyRange range;
    std::size_t owner;
  };
  std::vector<Put> puts;
  std::vector<Removal> removals;
};

bool collect_writes(const std::vector<RequestOperation>& operations, Writes* writes);

// False if two operations of one list may write the same key, at least one by a put. Writes of one owner are
// not compared: they stand in exclusive branches, or were compared further down.
bool are_disjoint(Writes* writes) {
  std::ranges::sort(writes->puts, [](const Writes::Put& a, const Writes::Put& b) {
    return a.key != b.key ? a.key < b.key : a.owner < b.owner;
  });
  const std::vector<Writes::Put>& puts = writes->puts;
  for (std::size_t i = 1; i < puts.size(); ++i) {
    if (puts[i].key == puts[i - 1].key && puts[i].owner != puts[i - 1].owner) return false;
  }
  if (puts.empty()) return true;
  // other_owner[i]: the first put behind i that belongs to another operation.
  std::vector<std::size_t> other_owner(puts.size(), puts.size());
  for (std::size_t i = puts.size() - 1; i-- > 0;) {
    other_owner[i] = puts[i].owner != puts[i + 1].owner ? i + 1 : other_owner[i + 1];
  }
  for (const Writes::Removal& removal : writes->removals) {
    const auto first = std::ranges::lower_bound(puts, removal.range.begin(), {}, &Writes::Put::key);
    auto position = static_cast<std::size_t>(first - puts.begin());
    if (position < puts.size() && puts[position].owner == removal.owner) position = other_owner[position];
    if (position < puts.size() && removal.range.contains(puts[position].key)) return false;
  }
  return true;
}

void take_over(Writes&& nested, std::size_t owner, Writes* writes) {
  for (const Writes::Put& put : nested.puts) writes->puts.push_back({put.key, owner});
  for (const Writes::Removal& removal : nested.removals) writes->removals.push_back({removal.range, owner});
}

// The usual branch, of which nothing has to be compared.
bool has_one_write_at_most(const std::vector<RequestOperation>& operations) {
  std::size_t writes = 0;
  for (const RequestOperation& operation : operations) {
    if (std::holds_alternative<TxnRequest>(operation.request)) return false;
    if (!std::holds_alternative<RangeRequest>(operation.request)) ++writes;
  }
  return writes <= 1;
}

bool collect_writes(const std::vector<RequestOperation>& operations, Writes* writes) {
  for (std::size_t owner = 0; owner < operations.size(); ++owner) {
    const auto& request = operations[owner].request;
    if (const auto* put = std::get_if<PutRequest>(&request)) {
      writes->puts.push_back({put->key, owner});
    } else if (const auto* removal = std::get_if<DeleteRangeRequest>(&request)) {
      writes->removals.push_back({KeyRange(removal->key, removal->range_end), owner});
    } else if (const auto* txn = std::get_if<TxnRequest>(&request)) {
      for (const auto* branch : {&txn->success, &txn->failure}) {
        Writes nested;
        if (!collect_writes(*branch, &nested)) return false;
        take_over(std::move(nested), owner, writes);
      }
    }
  }
  if (writes->puts.empty() || writes->puts.size() + writes->removals.size() == 1) return true;
  return are_disjoint(writes);
}

}  // namespace

Status validate(const RangeRequest& request) {
  LS_RETURN_IF_ERROR(check_key(request.key));
  if (!key_fits(request.key, request.range_end)) return errors::key_too_large();
  return {};
}

Status validate(const PutRequest& request) {
  LS_RETURN_IF_ERROR(check_fields(request));
  if (size_of(request) > limits::request_bytes_max) return errors::request_too_large();
  if (!key_fits(request.key)) return errors::key_too_large();
  return {};
}

Status validate(const DeleteRangeRequest& request) {
  LS_RETURN_IF_ERROR(check_key(request.key));
  if (!key_fits(request.key, request.range_end)) return errors::key_too_large();
  return {};
}

Status validate(const TxnRequest& request) {
  Bounds bounds;
  LS_RETURN_IF_ERROR(bounds.measure(request));
  LS_RETURN_IF_ERROR(check_operations(request, limits::txn_operations_max));
  for (const auto* branch : {&request.success, &request.failure}) {
    if (has_one_write_at_most(*branch)) continue;
    Writes writes;
    if (!collect_writes(*branch, &writes)) return errors::duplicate_key();
  }
  return bounds.check();
}

Status validate(const LeaseGrantRequest& request) {
  if (request.ttl > std::chrono::seconds(limits::lease_ttl_s_max)) return errors::lease_ttl_too_large();
  return {};
}

Status validate(const RequestId& request_id) {
  if (!request_id.present()) return {};
  if (request_id.unanswered_first < Sequence(1) || request_id.unanswered_first > request_id.sequence) {
    return errors::request_id_invalid();
  }
  return {};
}

Duration granted_ttl(Duration requested, Duration ttl_min) {
  return std::chrono::ceil<std::chrono::milliseconds>(std::max(requested, ttl_min));
}

bool is_read_only(const TxnRequest& request) {
  for (const auto* list : {&request.success, &request.failure}) {
    for (const RequestOperation& operation : *list) {
      if (const auto* txn = std::get_if<TxnRequest>(&operation.request)) {
        if (!is_read_only(*txn)) return false;
      } else if (!std::holds_alternative<RangeRequest>(operation.request)) {
        return false;
      }
    }
  }
  return true;
}

namespace {

struct RangesSeen {
  bool serializable = false;
  bool linearizable = false;
};

void look_at_ranges(const TxnRequest& request, RangesSeen* seen) {
  for (const auto* list : {&request.success, &request.failure}) {
    for (const RequestOperation& operation : *list) {
      if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
        (range->serializable ? seen->serializable : seen->linearizable) = true;
      } else if (const auto* txn = std::get_if<TxnRequest>(&operation.request)) {
        look_at_ranges(*txn, seen);
      }
    }
  }
}

}  // namespace

bool is_serializable(const TxnRequest& request) {
  RangesSeen seen;
  look_at_ranges(request, &seen);
  return seen.serializable && !seen.linearizable;
}

bool may_put(const TxnRequest& request) {
  for (const auto* list : {&request.success, &request.failure}) {
    for (const RequestOperation& operation : *list) {
      if (std::holds_alternative<PutRequest>(operation.request)) return true;
      const auto* txn = std::get_if<TxnRequest>(&operation.request);
      if (txn != nullptr && may_put(*txn)) return true;
    }
  }
  return false;
}

}  // namespace lockstep::store
