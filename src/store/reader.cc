#include "store/reader.h"

#include <algorithm>
#include <cstdint>

#include "base/assert.h"
#include "base/planted.h"
#include "store/errors.h"

namespace lockstep::store {
namespace {

constexpr std::size_t few_of_many = 4;

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

// Only the first `kept` need be right. Equal rows stay in key order, whichever way it goes.
template <class Field>
void sort_by(std::vector<KeptRow>& rows, bool descending, std::size_t kept, Field field) {
  const auto before = [&](const KeptRow& a, const KeptRow& b) {
    const auto field_a = field(a.row);
    const auto field_b = field(b.row);
    if (field_a == field_b) return a.row.key < b.row.key;
    return descending ? field_b < field_a : field_a < field_b;
  };
  // The few first of many are found without an order among the rest.
  if (kept < rows.size() / few_of_many) {
    std::ranges::nth_element(rows, rows.begin() + static_cast<std::ptrdiff_t>(kept), before);
    rows.resize(kept + 1);  // one more tells that there is more
  }
  std::ranges::sort(rows, before);
}

// `rows` come in key order.
void sort_rows(const RangeRequest& request, std::size_t kept, std::vector<KeptRow>& rows) {
  const bool descending = request.sort_order == SortOrder::descend;
  switch (request.sort_target) {
    case SortTarget::key:
      if (descending) std::ranges::reverse(rows);
      return;
    case SortTarget::version:
      return sort_by(rows, descending, kept, [](const RowView& row) { return row.version; });
    case SortTarget::create_revision:
      return sort_by(rows, descending, kept, [](const RowView& row) { return row.create_revision; });
    case SortTarget::mod_revision:
      return sort_by(rows, descending, kept, [](const RowView& row) { return row.mod_revision; });
    case SortTarget::value:
      return sort_by(rows, descending, kept, [](const RowView& row) { return row.value; });
  }
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

Result<Reader::Rows> Reader::collect(const KeyRange& range, Revision at, std::size_t rows_max,
                                     bool count_only) const {
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
  index_.visit(range, visit, take_unchanged);
  if (!failed.ok()) return failed;
  LS_MUST(found.rows.size() <= static_cast<std::size_t>(found.count));
  return found;
}

Result<Reader::Rows> Reader::select(const RangeRequest& request) const {
  Revision at = request.revision;
  if (at > revision_) return errors::future_revision();
  if (at <= Revision{}) at = revision_;
  if (at < compacted_) return errors::compacted();

  // A limit can only be applied while collecting if neither filters nor an order come in between.
  const bool limited = request.limit > 0;
  std::size_t rows_max = SIZE_MAX;
  if (limited && request.sort_order == SortOrder::none && !has_filters(request)) {
    rows_max = static_cast<std::size_t>(request.limit) + 1;
  }
  LS_ASSIGN_OR_RETURN(Rows found,
                      collect(KeyRange(request.key, request.range_end), at, rows_max, request.count_only));
  if (has_filters(request)) {
    std::erase_if(found.rows, [&](const KeptRow& kept) { return !passes_filters(request, kept.row); });
  }
  sort_rows(request, limited ? static_cast<std::size_t>(request.limit) : SIZE_MAX, found.rows);
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
