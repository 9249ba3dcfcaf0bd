#include "store/txn_path.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "store/errors.h"

namespace lockstep::store {
namespace {

void choose(const Reader& state_before, const TxnRequest& txn, std::vector<char>* path) {
  bool succeeded = true;
  for (const Compare& compare : txn.compare) {
    if (!LS_PLANTED(txn_compare_skipped) && !state_before.holds(compare)) {
      succeeded = false;
      break;
    }
  }
  path->push_back(succeeded ? 1 : 0);
  for (const RequestOperation& operation : branch_of(txn, succeeded)) {
    if (const auto* nested = std::get_if<TxnRequest>(&operation.request)) choose(state_before, *nested, path);
  }
}

// Whether what is only counted, and what is behind a limit, is counted by runs.
bool is_plain(const RangeRequest& range) {
  return range.revision == Revision{} && range.min_mod_revision == Revision{} &&
         range.max_mod_revision == Revision{} && range.min_create_revision == Revision{} &&
         range.max_create_revision == Revision{};
}

// How many keys it looks at, at most.
std::size_t look_max(const RangeRequest& range) {
  if (!is_plain(range)) return SIZE_MAX;
  if (range.count_only) return 0;
  // An order, also that of the keys, is made of all of them.
  const bool stops_early = range.limit > 0 && range.sort_order == SortOrder::none;
  return stops_early ? static_cast<std::size_t>(range.limit) : SIZE_MAX;
}

// Calls look(range) for each range whose keys are looked at.
template <class Look>
void visit_looks(const TxnRequest& txn, const Look& look) {
  for (const Compare& compare : txn.compare) {
    if (!compare.range_end.empty()) look(KeyRange(compare.key, compare.range_end), SIZE_MAX);
  }
  for (const auto* branch : {&txn.success, &txn.failure}) {
    for (const RequestOperation& operation : *branch) {
      if (const auto* nested = std::get_if<TxnRequest>(&operation.request)) {
        visit_looks(*nested, look);
      } else if (const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request)) {
        if (!removal->range_end.empty()) look(KeyRange(removal->key, removal->range_end), SIZE_MAX);
      } else if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
        const std::size_t keys_max = look_max(*range);
        if (!range->range_end.empty() && keys_max > 0) look(KeyRange(range->key, range->range_end), keys_max);
      }
    }
  }
}

}  // namespace

static_assert(keys_looked_at_max == 4'000'000, "errors.cc tells the client the number");

Status check_keys_looked_at(const Reader& state_before, const TxnRequest& txn, std::size_t keys_max) {
  std::size_t ranges = 0;
  visit_looks(txn, [&](const KeyRange&, std::size_t) { ++ranges; });
  // Nearly always, and without counting.
  if (ranges <= 1 || state_before.live_count() <= keys_max / (ranges - 1)) return {};
  std::size_t keys = 0;
  std::size_t keys_of_largest = 0;
  visit_looks(txn, [&](const KeyRange& range, std::size_t limit) {
    const std::size_t looked_at = std::min(limit, state_before.live_count(range));
    keys += looked_at;
    keys_of_largest = std::max(keys_of_largest, looked_at);
  });
  return keys - keys_of_largest > keys_max ? errors::too_many_keys_looked_at() : Status();
}

std::vector<char> choose_path(const Reader& state_before, const TxnRequest& txn) {
  std::vector<char> path;
  choose(state_before, txn, &path);
  return path;
}

Status check_ranges(const Reader& state_before, const TxnRequest& txn, std::span<const char> path) {
  const auto check = [&](const RequestOperation& operation) -> Status {
    const auto* range = std::get_if<RangeRequest>(&operation.request);
    return range == nullptr ? Status() : state_before.check_in_txn(*range);
  };
  std::size_t consumed = 0;
  return visit_chosen(txn, path, &consumed, check);
}

namespace {

// Nothing that is stored is longer: it came with a request.
constexpr std::size_t row_answer_bytes_max = limits::request_bytes_max + limits::key_bytes_max + 1024;

// Whether a few rows at most are asked for, which saves finding them twice. What is not of now can fail in
// other ways.
bool is_surely_small(const TxnRequest& txn, std::span<const char> path) {
  std::size_t rows = 0;
  constexpr std::size_t rows_max = answer_bytes_max / row_answer_bytes_max;
  const auto count = [&](const RequestOperation& operation) -> Status {
    const auto* range = std::get_if<RangeRequest>(&operation.request);
    const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request);
    if (removal != nullptr && removal->prev_kv && !removal->range_end.empty()) rows = rows_max + 1;
    if (range == nullptr || range->range_end.empty() || range->count_only) return {};
    const bool bounded = range->limit > 0 && range->limit <= static_cast<std::int64_t>(rows_max) &&
                         range->revision == Revision{};
    rows += bounded ? static_cast<std::size_t>(range->limit) : rows_max + 1;
    return {};
  };
  std::size_t consumed = 0;
  LS_MUST(visit_chosen(txn, path, &consumed, count).ok());
  return rows <= rows_max;
}

}  // namespace

Status check_answer_bytes(const Reader& state_before, const TxnRequest& txn, std::span<const char> path) {
  if (is_surely_small(txn, path)) return {};
  std::size_t bytes = 0;
  const auto check = [&](const RequestOperation& operation) -> Status {
    if (const auto* range = std::get_if<RangeRequest>(&operation.request))
      return add_answer_bytes(state_before, *range, &bytes);
    const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request);
    if (removal == nullptr || !removal->prev_kv) return {};
    return add_answer_bytes(state_before, {.key = removal->key, .range_end = removal->range_end}, &bytes);
  };
  std::size_t consumed = 0;
  return visit_chosen(txn, path, &consumed, check);
}

Status add_answer_bytes(const Reader& state_before, const RangeRequest& request, std::size_t* bytes) {
  if (request.range_end.empty() || request.count_only) return {};
  LS_ASSIGN_OR_RETURN(const std::size_t more, state_before.answer_bytes(request));
  *bytes += more;
  return *bytes > answer_bytes_max ? errors::answer_too_large() : Status();
}

}  // namespace lockstep::store
