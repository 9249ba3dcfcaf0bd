// Software transactional memory on a Store: read and write as if alone, commit if nobody interfered, else
// again.
//
//   Task<Status> transfer(stm::Transaction& transaction) {
//     LS_CO_…(auto from, co_await transaction.get("a"));
//     transaction.put("a", …); transaction.put("b", …);
//     co_return Status();
//   }
//   const Result<stm::Committed> done = co_await stm::run(store, transfer);
//
// Every attempt reads at one revision, that of its first read. It commits if no key it read was changed
// since: serializable, also against write skew; writes of keys it did not read are blind. It reads what it
// wrote. The body may run many times and must have no effect but on its transaction. It must not run
// concurrent reads.
//
// Outcomes: ok (committed, or nothing to write and the reads were consistent); the body's error (nothing
// written); unavailable after attempts_max conflicts; unknown_outcome as it comes from the store: the commit
// may have taken effect, and is not repeated here.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/status.h"
#include "base/task.h"
#include "store/store.h"

namespace lockstep::store::stm {

class Transaction {
 public:
  explicit Transaction(Store& store, CallOptions options) : store_(store), options_(std::move(options)) {}
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // The key's value, nothing if it does not exist. An error must end the body (return it).
  Task<Result<std::optional<std::string>>> get(std::string key);
  void put(std::string key, std::string value, LeaseId lease = {});
  void remove(std::string key);

 private:
  friend class Runner;
  struct Write {
    std::optional<std::string> value;  // nothing: removed
    LeaseId lease;
  };
  struct Read {
    Revision mod_revision;  // 0: did not exist
    std::optional<std::string> value;
  };
  [[nodiscard]] TxnRequest commit_request() const;

  Store& store_;
  CallOptions options_;
  Revision revision_;  // of every read; 0 before the first
  bool compacted_ = false;
  std::map<std::string, Read> reads_;
  std::map<std::string, Write> writes_;
};

using Body = std::function<Task<Status>(Transaction&)>;

class Options {
 public:
  // Deadline and cancellation of every call; a RequestId is not used: each attempt is another request.
  Options& call(CallOptions value) {
    call_ = std::move(value);
    return *this;
  }
  Options& attempts_max(std::size_t value) {
    attempts_max_ = value;
    return *this;
  }
  [[nodiscard]] const CallOptions& call() const { return call_; }
  [[nodiscard]] std::size_t attempts_max() const { return attempts_max_; }

 private:
  CallOptions call_;
  std::size_t attempts_max_ = 64;
};

struct Committed {
  Revision revision;  // at which the transaction took place
  std::size_t attempts = 0;
};

// The store outlives the task.
Task<Result<Committed>> run(Store& store, Body body, Options options = {});

}  // namespace lockstep::store::stm
