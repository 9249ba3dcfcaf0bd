// Transactions that write nothing, answered from the state as ranges are: as if they had been applied right
// behind the newest entry.
#include "base/assert.h"
#include "store/state.h"
#include "store/state_machine.h"
#include "store/txn_path.h"
#include "store/validate.h"

namespace lockstep::store {
namespace {

Result<TxnResponse> run(const Reader& reader, const TxnRequest& txn, std::span<const char> path,
                        std::size_t* consumed) {
  TxnResponse response;  // etcd leaves a nested header empty
  response.succeeded = path[(*consumed)++] != 0;
  const auto& operations = branch_of(txn, response.succeeded);
  response.responses.reserve(operations.size());
  for (const RequestOperation& operation : operations) {
    if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
      LS_ASSIGN_OR_RETURN(RangeResponse answer, reader.range(*range));
      response.responses.push_back({std::move(answer)});
    } else {
      const auto* nested = std::get_if<TxnRequest>(&operation.request);
      LS_MUST(nested != nullptr, "only transactions that write nothing are read");
      LS_ASSIGN_OR_RETURN(TxnResponse answer, run(reader, *nested, path, consumed));
      response.responses.push_back({std::move(answer)});
    }
  }
  return response;
}

}  // namespace

Result<TxnResponse> StateMachine::read_txn(const TxnRequest& txn) const {
  LS_MUST(is_read_only(txn));
  const Reader reader(state_->index, state_->history, state_->revision, state_->compacted);
  LS_RETURN_IF_ERROR(check_keys_looked_at(reader, txn));
  const std::vector<char> path = choose_path(reader, txn);
  LS_RETURN_IF_ERROR(check_ranges(reader, txn, path));
  LS_RETURN_IF_ERROR(check_answer_bytes(reader, txn, path));
  std::size_t consumed = 0;
  LS_ASSIGN_OR_RETURN(TxnResponse response, run(reader, txn, path, &consumed));
  LS_MUST(consumed == path.size());
  response.header.revision = state_->revision;
  return response;
}

}  // namespace lockstep::store
