#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "step.h"
#include "store/errors.h"
#include "store/validate.h"

namespace lockstep::etcd_test {
namespace {

using namespace lockstep::store;

// etcd 3.4's own check, with its two oversights: "\0" is taken as a key, and puts of one nested transaction
// are not compared with deletes of later ones.
class EtcdDuplicateCheck {
 public:
  bool accepts(const std::vector<RequestOperation>& operations) {
    Writes writes;
    return collect(operations, &writes);
  }

 private:
  struct Interval {
    std::string begin;
    std::string end;
    bool is_point;
  };
  struct Writes {
    std::set<std::string> puts;
    std::vector<Interval> removals;

    [[nodiscard]] bool removes(const std::string& key) const {
      for (const Interval& interval : removals) {
        if (interval.is_point ? key == interval.begin : key >= interval.begin && key < interval.end)
          return true;
      }
      return false;
    }
  };

  static bool collect(const std::vector<RequestOperation>& operations, Writes* writes) {
    for (const RequestOperation& operation : operations) {
      const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request);
      if (removal == nullptr) continue;
      writes->removals.push_back({removal->key, removal->range_end, removal->range_end.empty()});
    }
    for (const RequestOperation& operation : operations) {
      const auto* txn = std::get_if<TxnRequest>(&operation.request);
      if (txn != nullptr && !collect_nested(*txn, writes)) return false;
    }
    for (const RequestOperation& operation : operations) {
      const auto* put = std::get_if<PutRequest>(&operation.request);
      if (put == nullptr) continue;
      if (writes->puts.contains(put->key) || writes->removes(put->key)) return false;
      writes->puts.insert(put->key);
    }
    return true;
  }
  static bool collect_nested(const TxnRequest& txn, Writes* writes) {
    Writes then_writes;
    Writes else_writes;
    if (!collect(txn.success, &then_writes) || !collect(txn.failure, &else_writes)) return false;
    for (const std::string& key : then_writes.puts) {
      if (writes->puts.contains(key) || writes->removes(key)) return false;
      writes->puts.insert(key);
    }
    for (const std::string& key : else_writes.puts) {
      if (writes->puts.contains(key) && !then_writes.puts.contains(key)) return false;
      if (writes->removes(key)) return false;
      writes->puts.insert(key);
    }
    for (const Writes* nested : {&then_writes, &else_writes}) {
      writes->removals.insert(writes->removals.end(), nested->removals.begin(), nested->removals.end());
    }
    return true;
  }
};

bool puts_at_top(const TxnRequest& txn) {
  const auto is_put = [](const RequestOperation& operation) {
    return std::holds_alternative<PutRequest>(operation.request);
  };
  return std::ranges::any_of(txn.success, is_put) || std::ranges::any_of(txn.failure, is_put);
}

}  // namespace

bool is_stricter_here(const TxnRequest& txn, const Known& known) {
  if (known.no_space && may_put(txn) && !puts_at_top(txn)) return true;
  return validate(txn) == errors::duplicate_key() && EtcdDuplicateCheck().accepts(txn.success) &&
         EtcdDuplicateCheck().accepts(txn.failure);
}

}  // namespace lockstep::etcd_test
