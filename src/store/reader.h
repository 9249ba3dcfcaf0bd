// Evaluation of ranges and compares over the index and its history, as etcd orders and cuts them.
//
// Strand: the core strand only; the state must not change while rows are held.
#pragma once

#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "store/history.h"
#include "store/index.h"
#include "store/types.h"

namespace lockstep::store {

class Reader {
 public:
  // `revision`: the newest visible one. `compacted`: -1 if never.
  Reader(const Index& index, History& history, Revision revision, Revision compacted)
      : index_(index), history_(history), revision_(revision), compacted_(compacted) {}

  // Errors: compacted, future_revision, and those of cold history.
  [[nodiscard]] Result<RangeResponse> range(const RangeRequest& request) const;
  // Of the newest state.
  [[nodiscard]] bool holds(const Compare& compare) const;
  // Whether a range may be read inside a transaction, before anything is executed. (etcd treats negative
  // revisions differently here: as compacted.)
  [[nodiscard]] Status check_in_txn(const RangeRequest& request) const;

 private:
  struct Rows {
    std::vector<KeptRow> rows;
    std::int64_t count = 0;
  };
  [[nodiscard]] Result<Rows> collect(const KeyRange& range, Revision at, std::size_t rows_max,
                                     bool count_only) const;

  const Index& index_;
  History& history_;
  Revision revision_;
  Revision compacted_;
};

}  // namespace lockstep::store
