// The lease table: who lives until when, and which keys go with whom.
//
// Deadlines are store time (milliseconds). The table only keeps; state_machine.h says when leases end.
//
// Invariants:
//   1. A key is attached to at most one lease, the one its index node names; and only while it is live.
//   2. Every order that can reach effects or answers is by (deadline, id), id, or key.
//
// Strand: the core strand only. Ownership: holds nodes of the index; detach before a node goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "store/index.h"
#include "store/rows.h"

namespace lockstep::store {

struct LeaseTerms {
  std::int64_t ttl_ms = 0;
  std::int64_t deadline_ms = 0;
};

// The deadline of a lease that was given `ttl_ms` in an entry of this store time. Store time is the whole
// milliseconds that have passed: the moment itself may have been almost one later, and none ends early (I6).
std::int64_t lease_deadline_ms(std::int64_t store_time_ms, std::int64_t ttl_ms);

class LeaseTable {
 public:
  LeaseTable();
  ~LeaseTable();
  LeaseTable(const LeaseTable&) = delete;
  LeaseTable& operator=(const LeaseTable&) = delete;

  [[nodiscard]] std::optional<LeaseTerms> find(LeaseId id) const;
  [[nodiscard]] bool contains(LeaseId id) const { return find(id).has_value(); }
  // Requires an unused id above or below zero.
  void grant(LeaseId id, LeaseTerms terms);
  // Requires that the lease exists.
  void set_deadline(LeaseId id, std::int64_t deadline_ms);
  // Requires that no key is attached any more.
  void remove(LeaseId id);

  // Requires that the lease exists and the node is attached to none / to this one.
  void attach(LeaseId id, Node* node);
  void detach(LeaseId id, Node* node);
  // Sorted by key.
  [[nodiscard]] std::vector<Node*> keys(LeaseId id) const;
  // Whether all keys of the lease pass, seen in no particular order; true for an unknown lease.
  [[nodiscard]] bool all_keys(LeaseId id, const std::function<bool(std::string_view)>& passes) const;

  // The lease that ends first, of those with deadline_ms <= now_ms.
  [[nodiscard]] std::optional<LeaseId> first_due(std::int64_t now_ms) const;
  [[nodiscard]] std::optional<std::int64_t> next_deadline_ms() const;
  // Sorted.
  [[nodiscard]] std::vector<LeaseId> ids() const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Tables;
  std::unique_ptr<Tables> tables_;
};

std::string encode_lease_row(const LeaseTerms& terms);
Result<LeaseTerms> decode_lease_row(std::string_view encoded);

}  // namespace lockstep::store
