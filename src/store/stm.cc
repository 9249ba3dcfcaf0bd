#include "store/stm.h"

#include <utility>

#include "base/assert.h"
#include "store/awaitable.h"
#include "store/errors.h"

namespace lockstep::store::stm {

Task<Result<std::optional<std::string>>> Transaction::get(std::string key) {
  if (const auto written = writes_.find(key); written != writes_.end()) co_return written->second.value;
  if (const auto read = reads_.find(key); read != reads_.end()) co_return read->second.value;
  RangeRequest request;
  request.key = key;
  request.revision = revision_;
  Result<RangeResponse> response = co_await awaitable::range(store_, std::move(request), options_);
  if (!response.ok()) {
    // The history this attempt reads is gone: a conflict like any other.
    if (response.status() == errors::compacted()) compacted_ = true;
    co_return response.status();
  }
  if (revision_ == Revision{}) revision_ = response->header.revision;
  Read read;
  if (!response->kvs.empty()) {
    read.mod_revision = response->kvs[0].mod_revision;
    read.value = std::move(response->kvs[0].value);
  }
  co_return reads_.emplace(std::move(key), std::move(read)).first->second.value;
}

void Transaction::put(std::string key, std::string value, LeaseId lease) {
  writes_.insert_or_assign(std::move(key), Write{std::move(value), lease});
}

void Transaction::remove(std::string key) {
  writes_.insert_or_assign(std::move(key), Write{});
}

TxnRequest Transaction::commit_request() const {
  TxnRequest request;
  for (const auto& [key, read] : reads_) {
    Compare unchanged;
    unchanged.key = key;
    unchanged.target = CompareTarget::mod_revision;
    unchanged.number = read.mod_revision.value();
    request.compare.push_back(std::move(unchanged));
  }
  for (const auto& [key, write] : writes_) {
    if (write.value.has_value()) {
      PutRequest put;
      put.key = key;
      put.value = *write.value;
      put.lease = write.lease;
      request.success.push_back({std::move(put)});
    } else {
      DeleteRangeRequest removal;
      removal.key = key;
      request.success.push_back({std::move(removal)});
    }
  }
  return request;
}

class Runner {
 public:
  // Nothing: somebody interfered.
  static Task<std::optional<Result<Revision>>> attempt(Store& store, const Body& body,
                                                       const CallOptions& options) {
    Transaction transaction(store, options);
    Status status = co_await body(transaction);
    if (transaction.compacted_) co_return std::nullopt;
    if (!status.ok()) co_return Result<Revision>(std::move(status));
    // Reads of one revision are consistent as they are.
    if (transaction.writes_.empty()) co_return Result<Revision>(transaction.revision_);
    Result<TxnResponse> response = co_await awaitable::txn(store, transaction.commit_request(), options);
    if (!response.ok()) co_return Result<Revision>(response.status());
    if (!response->succeeded) co_return std::nullopt;
    co_return Result<Revision>(response->header.revision);
  }
};

Task<Result<Committed>> run(Store& store, Body body, Options options) {
  CallOptions call = options.call();
  call.request_id = {};
  for (std::size_t attempts = 1; attempts <= options.attempts_max(); ++attempts) {
    std::optional<Result<Revision>> outcome = co_await Runner::attempt(store, body, call);
    if (!outcome.has_value()) continue;
    if (!outcome->ok()) co_return outcome->status();
    co_return Committed{**outcome, attempts};
  }
  co_return Status(Code::unavailable, "transaction met a conflict in every attempt");
}

}  // namespace lockstep::store::stm
