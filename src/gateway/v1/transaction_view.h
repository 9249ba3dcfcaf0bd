// How /v1 shows a transaction, and the parts of requests about one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gateway/v1/coordination.h"
#include "service/transaction/transactions.h"

namespace lockstep::gateway::v1 {

Field gid_field();

// A line of a list, and the head of everything else.
Fields transaction_fields();
JsonText to_json(const service::transaction::TransactionView& view);

// That, and every call that was made or is named now, the journal, and what operators did.
Fields transaction_details_fields();
struct TransactionDetails {
  service::transaction::TransactionView view;
  service::transaction::Next next;
  std::vector<service::transaction::Audit> audits;
};
// Errors: what is stored is damaged.
Result<JsonText> to_json(const TransactionDetails& details);

}  // namespace lockstep::gateway::v1
