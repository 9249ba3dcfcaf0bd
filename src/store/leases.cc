#include "store/leases.h"

#include <algorithm>
#include <utility>

#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/hash/hash.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/planted.h"

namespace lockstep::store {

std::int64_t lease_deadline_ms(std::int64_t store_time_ms, std::int64_t ttl_ms) {
  return store_time_ms + ttl_ms + (LS_PLANTED(lease_time_rounded_down) ? 0 : 1);
}

struct LeaseTable::Tables {
  struct Lease {
    LeaseTerms terms;
    absl::flat_hash_set<Node*> keys;  // never walked without sorting
  };
  // Clients choose ids.
  struct SeededHash {
    std::size_t operator()(LeaseId id) const { return absl::Hash<std::int64_t>{}(id.value()); }
  };
  absl::flat_hash_map<LeaseId, std::unique_ptr<Lease>, SeededHash> leases;  // never walked without sorting
  absl::btree_set<std::pair<std::int64_t, LeaseId>> deadlines;

  Lease& at(LeaseId id) {
    const auto position = leases.find(id);
    LS_MUST(position != leases.end());
    return *position->second;
  }
};

LeaseTable::LeaseTable() : tables_(std::make_unique<Tables>()) {}
LeaseTable::~LeaseTable() = default;

bool LeaseTable::all_keys(LeaseId id, const std::function<bool(std::string_view)>& passes) const {
  const auto position = tables_->leases.find(id);
  if (position == tables_->leases.end()) return true;
  return std::ranges::all_of(position->second->keys, [&](const Node* node) { return passes(node->key()); });
}

std::optional<LeaseTerms> LeaseTable::find(LeaseId id) const {
  const auto position = tables_->leases.find(id);
  if (position == tables_->leases.end()) return std::nullopt;
  return position->second->terms;
}

void LeaseTable::grant(LeaseId id, LeaseTerms terms) {
  LS_MUST(id != LeaseId{});
  auto lease = std::make_unique<Tables::Lease>();
  lease->terms = terms;
  const auto [position, inserted] = tables_->leases.emplace(id, std::move(lease));
  LS_MUST(inserted);
  tables_->deadlines.emplace(terms.deadline_ms, id);
}

void LeaseTable::set_deadline(LeaseId id, std::int64_t deadline_ms) {
  Tables::Lease& lease = tables_->at(id);
  const std::size_t erased = tables_->deadlines.erase({lease.terms.deadline_ms, id});
  LS_MUST(erased == 1);
  lease.terms.deadline_ms = deadline_ms;
  tables_->deadlines.emplace(deadline_ms, id);
}

void LeaseTable::remove(LeaseId id) {
  Tables::Lease& lease = tables_->at(id);
  LS_MUST(lease.keys.empty());
  tables_->deadlines.erase({lease.terms.deadline_ms, id});
  tables_->leases.erase(id);
  LS_MUST(tables_->deadlines.size() == tables_->leases.size());
}

void LeaseTable::attach(LeaseId id, Node* node) {
  const bool inserted = tables_->at(id).keys.insert(node).second;
  LS_MUST(inserted);
}

void LeaseTable::detach(LeaseId id, Node* node) {
  const std::size_t erased = tables_->at(id).keys.erase(node);
  LS_MUST(erased == 1);
}

std::vector<Node*> LeaseTable::keys(LeaseId id) const {
  const Tables::Lease& lease = tables_->at(id);
  std::vector<Node*> nodes(lease.keys.begin(), lease.keys.end());
  std::ranges::sort(nodes, {}, &Node::key);
  return nodes;
}

std::optional<LeaseId> LeaseTable::first_due(std::int64_t now_ms) const {
  if (tables_->deadlines.empty() || tables_->deadlines.begin()->first > now_ms) return std::nullopt;
  return tables_->deadlines.begin()->second;
}

std::optional<std::int64_t> LeaseTable::next_deadline_ms() const {
  if (tables_->deadlines.empty()) return std::nullopt;
  return tables_->deadlines.begin()->first;
}

std::vector<LeaseId> LeaseTable::ids() const {
  std::vector<LeaseId> ids;
  ids.reserve(tables_->leases.size());
  for (const auto& [id, lease] : tables_->leases) ids.push_back(id);
  std::ranges::sort(ids);
  return ids;
}

std::size_t LeaseTable::size() const {
  return tables_->leases.size();
}

std::string encode_lease_row(const LeaseTerms& terms) {
  std::string out;
  Encoder encoder(&out);
  encoder.varint(static_cast<std::uint64_t>(terms.ttl_ms));
  encoder.varint(static_cast<std::uint64_t>(terms.deadline_ms));
  return out;
}

Result<LeaseTerms> decode_lease_row(std::string_view encoded) {
  Decoder decoder(encoded);
  LeaseTerms terms;
  terms.ttl_ms = static_cast<std::int64_t>(decoder.varint());
  terms.deadline_ms = static_cast<std::int64_t>(decoder.varint());
  if (!decoder.done() || terms.ttl_ms <= 0 || terms.deadline_ms < 0) {
    return Status(Code::corruption, "malformed lease row");
  }
  return terms;
}

}  // namespace lockstep::store
