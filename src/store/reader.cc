#include "store/reader.h"

#include <algorithm>
#include <cstdint>

#include "base/assert.h"
#include "base/planted.h"
#include "store/errors.h"

namespace lockstep::store {
namespace {

// Where only the first rows of an order are wanted, so many are collected before the others are dropped.
constexpr std::size_t untrimmed_rows_min = 1024;
constexpr std::size_t untrimmed_factor = 4;

bool has_filters(const RangeRequest& request) {
  return request.min_mod_revision != Revision{} || request.max_mod_revision != Revision{} ||
         request.min_create_revision != Revision{} || request.max_create_revision != Revision{};
}

bool passes_filters(const RangeRequest& request, const RowView& row) {
  if (request.max_mod_revision != Revision{} && row.mod_revision > request.max_mod_revision) return false;
  if (request.min_mod_revision != Revision{} && row.mod_revision < request.min_mod_revision) return false;
  if (request.max_create_revision != Revision{} && row.create_revision > request.max_create_revision) {
    return false;
  }
  return request.min_create_revision == Revision{} || row.create_revision >= request.min_create_revision;
}

std::size_t row_bytes(const RowView& row, bool keys_only) {
  return row.key.size() + (keys_only ? 0 : row.value.size()) + answer_row_overhead_bytes;
}

// Stops where it is too much already.
std::size_t bytes_of(const std::vector<KeptRow>& rows, bool keys_only, std::size_t bytes_max) {
  std::size_t bytes = 0;
  for (const KeptRow& kept : rows) {
    bytes += row_bytes(kept.row, keys_only);
    if (bytes > bytes_max) return bytes_max + 1;
  }
  return bytes;
}

// Equal rows stay in key order, whichever way it goes.
template <class Field>
auto order_by(bool descending, Field field) {
  return [descending, field](const KeptRow& a, const KeptRow& b) {
    const auto field_a = field(a.row);
    const auto field_b = field(b.row);
    if (field_a == field_b) return a.row.key < b.row.key;
    return descending ? field_b < field_a : field_a < field_b;
  };
}

// Calls use(order) with the order of rows that the request wants; not for keys.
template <class Use>
void with_order(const RangeRequest& request, Use use) {
  const bool descending = request.sort_order == SortOrder::descend;
  switch (request.sort_target) {
    case SortTarget::key:
      return;
    case SortTarget::version:
      return use(order_by(descending, [](const RowView& row) { return row.version; }));
    case SortTarget::create_revision:
      return use(order_by(descending, [](const RowView& row) { return row.create_revision; }));
    case SortTarget::mod_revision:
      return use(order_by(descending, [](const RowView& row) { return row.mod_revision; }));
    case SortTarget::value:
      return use(order_by(descending, [](const RowView& row) { return row.value; }));
  }
}

void filter_rows(const RangeRequest& request, std::vector<KeptRow>& rows) {
  if (!has_filters(request)) return;
  std::erase_if(rows, [&](const KeptRow& kept) { return !passes_filters(request, kept.row); });
}

// Rows by keys come in key order.
void sort_rows(const RangeRequest& request, std::vector<KeptRow>& rows) {
  if (request.sort_target == SortTarget::key && request.sort_order == SortOrder::descend)
    std::ranges::reverse(rows);
  with_order(request, [&](auto order) { std::ranges::sort(rows, order); });
}

// Filters rows, and of those that are not sorted yet keeps what may be among the first `kept` in the end. By
// keys they stay in key order.
void trim_rows(const RangeRequest& request, std::size_t kept, std::vector<KeptRow>& rows) {
  filter_rows(request, rows);
  if (rows.size() <= kept) return;
  const auto middle = static_cast<std::ptrdiff_t>(kept);
  if (request.sort_target == SortTarget::key && request.sort_order == SortOrder::descend) {
    rows.erase(rows.begin(), rows.end() - middle);
    return;
  }
  with_order(request, [&](auto order) { std::ranges::nth_element(rows, rows.begin() + middle, order); });
  rows.resize(kept);
}

bool matches(CompareResult wanted, std::strong_ordering actual) {
  switch (wanted) {
    case CompareResult::equal:
      return actual == 0;
    case CompareResult::greater:
      return actual > 0;
    case CompareResult::less:
      return actual < 0;
    case CompareResult::not_equal:
      return actual != 0;
  }
  LS_UNREACHABLE("decoders admit no other result");
}

bool holds_for(const Compare& compare, const RowView& row) {
  switch (compare.target) {
    case CompareTarget::version:
      return matches(compare.result, row.version <=> compare.number);
    case CompareTarget::create_revision:
      return matches(compare.result, row.create_revision.value() <=> compare.number);
    case CompareTarget::mod_revision:
      return matches(compare.result, row.mod_revision.value() <=> compare.number);
    case CompareTarget::value:
      return matches(compare.result, row.value <=> std::string_view(compare.value));
    case CompareTarget::lease:
      return matches(compare.result, row.lease.value() <=> compare.number);
  }
  LS_UNREACHABLE("decoders admit no other target");
}

}  // namespace

std::size_t Reader::live_count(const KeyRange& range) const {
  std::size_t live = 0;
  const auto visit = [&](const Node* node) {
    live += node->is_tombstone() ? 0 : 1;
    return true;
  };
  const auto take = [&](const KeyRun& run) {
    live += run.live;
    return true;
  };
  index_.visit(range, visit, take);
  return live;
}

Result<Reader::Rows> Reader::collect(const RangeRequest& request, Revision at, std::size_t rows_max,
                                     std::size_t kept_max) const {
  const bool count_only = request.count_only;
  const std::size_t untrimmed_max = kept_max > SIZE_MAX / untrimmed_factor
                                        ? SIZE_MAX
                                        : std::max(untrimmed_rows_min, untrimmed_factor * kept_max);
  Rows found;
  Status failed;
  std::size_t old_bytes = 0;  // of old versions, which are copies
  const auto rows_wanted = [&] { return !count_only && found.rows.size() < rows_max; };
  const auto take_unchanged = [&](const KeyRun& run) {
    if (rows_wanted() || run.newest > at) return false;
    found.count += run.live;
    return true;
  };
  const auto visit = [&](const Node* node) {
    const bool is_newest = node->mod_revision() <= at;
    if (is_newest && node->is_tombstone()) return true;
    const bool wanted = rows_wanted();
    if (wanted && found.rows.size() >= untrimmed_max) trim_rows(request, kept_max, found.rows);
    if (is_newest) {
      if (wanted) found.rows.push_back({nullptr, node->row()});
      ++found.count;
      return true;
    }
    // Made before `at` and not deleted since: it existed.
    if (!wanted && !node->is_tombstone() && node->create_revision() <= at) {
      ++found.count;
      return true;
    }
    auto row = history_.row_at(node->key(), node->mod_revision(), at);
    if (!row.ok()) {
      failed = row.status();
      return false;
    }
    if (!row->has_value()) return true;
    if (wanted) {
      old_bytes += row_bytes((*row)->row, false);
      if (old_bytes > bytes_max_) {
        failed = errors::answer_too_large();
        return false;
      }
      found.rows.push_back(**row);
    }
    ++found.count;
    return true;
  };
  index_.visit(KeyRange(request.key, request.range_end), visit, take_unchanged);
  if (!failed.ok()) return failed;
  LS_MUST(found.rows.size() <= static_cast<std::size_t>(found.count));
  return found;
}

Result<Reader::Rows> Reader::select(const RangeRequest& request) const {
  Revision at = request.revision;
  if (at > revision_) return errors::future_revision();
  if (at <= Revision{}) at = revision_;
  if (at < compacted_) return errors::compacted();

  // A limit ends collecting if neither filters nor an order come in between. Otherwise it bounds what is
  // kept.
  const bool limited = request.limit > 0;
  std::size_t rows_max = SIZE_MAX;
  std::size_t kept_max = SIZE_MAX;
  if (limited) {
    const bool plain = request.sort_order == SortOrder::none && !has_filters(request);
    (plain ? rows_max : kept_max) = static_cast<std::size_t>(request.limit) + 1;
  }
  LS_ASSIGN_OR_RETURN(Rows found, collect(request, at, rows_max, kept_max));
  trim_rows(request, kept_max, found.rows);
  sort_rows(request, found.rows);
  if (limited && found.rows.size() > static_cast<std::size_t>(request.limit)) {
    found.rows.resize(static_cast<std::size_t>(request.limit));
    found.more = true;
  }
  return found;
}

Result<RangeResponse> Reader::range(const RangeRequest& request) const {
  LS_ASSIGN_OR_RETURN(Rows found, select(request));
  if (bytes_of(found.rows, request.keys_only, bytes_max_) > bytes_max_) return errors::answer_too_large();
  RangeResponse response;
  response.header.revision = revision_;
  response.count = found.count;
  response.more = found.more;
  response.kvs.reserve(found.rows.size());
  for (KeptRow& kept : found.rows) {
    if (request.keys_only) kept.row.value = {};
    response.kvs.push_back(kept.row.to_key_value());
  }
  return response;
}

Result<std::size_t> Reader::answer_bytes(const RangeRequest& request) const {
  Result<Rows> found = select(request);
  if (!found.ok() && found.status() == errors::answer_too_large()) return bytes_max_ + 1;
  if (!found.ok()) return found.status();
  return bytes_of(found->rows, request.keys_only, bytes_max_);
}

bool Reader::holds(const Compare& compare) const {
  bool found = false;
  bool all_hold = true;
  const auto visit = [&](const Node* node) {
    if (node->is_tombstone()) return true;
    found = true;
    all_hold = holds_for(compare, node->row());
    return all_hold && !LS_PLANTED(compare_range_first_only);
  };
  index_.visit(KeyRange(compare.key, compare.range_end), visit, has_none_live);
  if (found) return all_hold;
  // An absent key compares as zeros; but there is no value that stands for "no value".
  return compare.target != CompareTarget::value && holds_for(compare, RowView{});
}

Status Reader::check_in_txn(const RangeRequest& request) const {
  if (request.revision == Revision{}) return {};
  if (request.revision > revision_) return errors::future_revision();
  if (request.revision < compacted_) return errors::compacted();
  return {};
}

}  // namespace lockstep::store
