// Which branches a transaction takes: decided for all of it on the state before, then kept.
//
// A path has one element for each transaction on the way, depth first: 1 where it succeeded.
#pragma once

#include <cstddef>
#include <span>
#include <variant>
#include <vector>

#include "base/status.h"
#include "store/reader.h"
#include "store/types.h"

namespace lockstep::store {

inline const std::vector<RequestOperation>& branch_of(const TxnRequest& txn, bool succeeded) {
  return succeeded ? txn.success : txn.failure;
}

// One range may look at every key there is. Several, of a transaction's compares and of all its branches,
// look at no more than this beside the largest of them: everybody else waits meanwhile.
inline constexpr std::size_t keys_looked_at_max = 4'000'000;
// Decided by every member alike, from the state before.
Status check_keys_looked_at(const Reader& state_before, const TxnRequest& txn,
                            std::size_t keys_max = keys_looked_at_max);

std::vector<char> choose_path(const Reader& state_before, const TxnRequest& txn);

// Calls visit(operation) for the operations of the chosen branches, in the order of the path; *consumed
// counts its elements.
template <class Visit>
Status visit_chosen(const TxnRequest& txn, std::span<const char> path, std::size_t* consumed, Visit& visit) {
  const bool succeeded = path[(*consumed)++] != 0;
  for (const RequestOperation& operation : branch_of(txn, succeeded)) {
    if (const auto* nested = std::get_if<TxnRequest>(&operation.request)) {
      LS_RETURN_IF_ERROR(visit_chosen(*nested, path, consumed, visit));
    } else {
      LS_RETURN_IF_ERROR(visit(operation));
    }
  }
  return {};
}

// Whether every range of the chosen branches may be read.
Status check_ranges(const Reader& state_before, const TxnRequest& txn, std::span<const char> path);
// Whether the answers of all ranges, and of all removals that answer with what they removed, are not too
// large together. Of the state before: what the transaction itself puts is bounded by its own size, and seen
// by each range. Decided by every member, although one alone answers.
Status check_answer_bytes(const Reader& state_before, const TxnRequest& txn, std::span<const char> path);
// Adds what one range will answer with.
Status add_answer_bytes(const Reader& state_before, const RangeRequest& request, std::size_t* bytes);

}  // namespace lockstep::store
