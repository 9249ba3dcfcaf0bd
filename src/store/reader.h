// Evaluation of ranges and compares over the index and its history, as etcd orders and cuts them.
//
// Strand: the core strand only; the state must not change while rows are held.
#pragma once

#include <cstddef>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"
#include "store/history.h"
#include "store/index.h"
#include "store/types.h"

namespace lockstep::store {

// What one answer may carry, over all operations of a transaction. etcd has no such limit, but no client
// takes an answer of more than 2 GiB, and who answers holds it in memory several times over.
inline constexpr std::size_t answer_bytes_max = 256 * limits::mebibyte;
// Beside its key and value.
inline constexpr std::size_t answer_row_overhead_bytes = 64;
// Operations on a single key are not counted: as many as a transaction has always fit.
static_assert(limits::txn_operations_max *
                  (limits::key_bytes_max + limits::value_bytes_max + answer_row_overhead_bytes) <
              answer_bytes_max);

class Reader {
 public:
  // `revision`: the newest visible one. `compacted`: -1 if never.
  Reader(const Index& index, History& history, Revision revision, Revision compacted,
         std::size_t bytes_max = answer_bytes_max)
      : index_(index), history_(history), revision_(revision), compacted_(compacted), bytes_max_(bytes_max) {}

  // Errors: compacted, future_revision, answer_too_large, and those of cold history.
  [[nodiscard]] Result<RangeResponse> range(const RangeRequest& request) const;
  // Of the rows that range() would answer with, without copying them; one more than the bound stands for all
  // that is larger. A function of the state and the request alone. Errors: as range().
  [[nodiscard]] Result<std::size_t> answer_bytes(const RangeRequest& request) const;
  // Keys with a value, all and in a range, of the newest state.
  [[nodiscard]] std::size_t live_count() const { return index_.live_count(); }
  [[nodiscard]] std::size_t live_count(const KeyRange& range) const;
  // Of the newest state.
  [[nodiscard]] bool holds(const Compare& compare) const;
  // Whether a range may be read inside a transaction, before anything is executed. (etcd treats negative
  // revisions differently here: as compacted.)
  [[nodiscard]] Status check_in_txn(const RangeRequest& request) const;

 private:
  struct Rows {
    std::vector<KeptRow> rows;
    std::int64_t count = 0;
    bool more = false;
  };
  // What range() answers, before it is copied.
  [[nodiscard]] Result<Rows> select(const RangeRequest& request) const;
  // Not filtered and not sorted. At most `rows_max`; of an order's rows those that may be among the first
  // `kept_max`, and some more.
  [[nodiscard]] Result<Rows> collect(const RangeRequest& request, Revision at, std::size_t rows_max,
                                     std::size_t kept_max) const;

  const Index& index_;
  History& history_;
  Revision revision_;
  Revision compacted_;
  std::size_t bytes_max_;
};

}  // namespace lockstep::store
