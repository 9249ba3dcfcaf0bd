// Transactions: every compare of every chosen branch is decided on the state before, then everything that can
// fail is checked, then the operations run one after the other, each seeing those before it. So a transaction
// that fails has no effect (I8), and running cannot fail.
#include "base/assert.h"
#include "store/applier.h"
#include "store/errors.h"
#include "store/txn_path.h"

namespace lockstep::store {
// etcd checks all puts, then all ranges.
Status Applier::check_txn(const TxnRequest& txn, std::span<const char> path) const {
  const auto check_put = [this](const RequestOperation& operation) -> Status {
    const auto* put = std::get_if<PutRequest>(&operation.request);
    if (put == nullptr) return {};
    if (put->ignore_value || put->ignore_lease) {
      const Node* node = state_.index.find(put->key);
      if (node == nullptr || node->is_tombstone()) return errors::key_not_found();
    }
    if (put->lease != LeaseId{} && !state_.leases.contains(put->lease)) return errors::lease_not_found();
    return {};
  };
  std::size_t consumed = 0;
  LS_RETURN_IF_ERROR(visit_chosen(txn, path, &consumed, check_put));
  LS_RETURN_IF_ERROR(check_ranges(reader(), txn, path));
  return check_answer_bytes(reader(), txn, path);
}

Result<ResponseOperation> Applier::run_operation(const RequestOperation& operation,
                                                 std::span<const char> path, std::size_t* consumed) {
  if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
    if (!answering()) return ResponseOperation{};
    LS_ASSIGN_OR_RETURN(RangeResponse response, reader().range(*range));
    return ResponseOperation{std::move(response)};
  }
  if (const auto* put = std::get_if<PutRequest>(&operation.request)) {
    const std::uint64_t hash = Index::hash(put->key);
    Node* node = state_.index.find(put->key, hash);
    const bool exists = node != nullptr && !node->is_tombstone();
    LS_MUST(exists || !(put->ignore_value || put->ignore_lease), "checked before");
    PutResponse response;
    if (put->prev_kv && exists && answering()) response.prev_kv = node->row().to_key_value();
    write(put->key, hash, node, put->ignore_value ? node->value() : put->value,
          put->ignore_lease ? node->lease() : put->lease);
    response.header.revision = visible_revision();
    return ResponseOperation{std::move(response)};
  }
  if (const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request)) {
    DeleteRangeResponse response;
    response.deleted =
        remove_range(KeyRange(removal->key, removal->range_end), removal->prev_kv, &response.prev_kvs);
    response.header.revision = visible_revision();
    return ResponseOperation{std::move(response)};
  }
  const auto* nested = std::get_if<TxnRequest>(&operation.request);
  LS_MUST(nested != nullptr, "the reader refuses an empty operation");
  TxnResponse response;  // etcd leaves a nested header empty
  LS_RETURN_IF_ERROR(run_txn(*nested, path, consumed, &response));
  return ResponseOperation{std::move(response)};
}

Status Applier::run_txn(const TxnRequest& txn, std::span<const char> path, std::size_t* consumed,
                        TxnResponse* response) {
  response->succeeded = path[(*consumed)++] != 0;
  const auto& operations = branch_of(txn, response->succeeded);
  if (answering()) response->responses.reserve(operations.size());
  for (const RequestOperation& operation : operations) {
    LS_ASSIGN_OR_RETURN(ResponseOperation answer, run_operation(operation, path, consumed));
    if (answering()) response->responses.push_back(std::move(answer));
  }
  return {};
}

CommandResult Applier::do_txn(const TxnRequest& txn) {
  LS_RETURN_IF_ERROR(check_keys_looked_at(reader(), txn));
  const std::vector<char> path = choose_path(reader(), txn);
  LS_RETURN_IF_ERROR(check_txn(txn, path));
  TxnResponse response;
  std::size_t consumed = 0;
  const Status status = run_txn(txn, path, &consumed, &response);
  close_revision();
  // Only an unreadable disk can fail here; the member halts.
  LS_RETURN_IF_ERROR(status);
  LS_MUST(consumed == path.size());
  response.header.revision = state_.revision;
  return Response(std::move(response));
}

}  // namespace lockstep::store
