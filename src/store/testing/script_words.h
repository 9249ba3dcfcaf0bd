// Parsing of script lines into requests (script.h has the language). Tests only: a wrong line throws.
#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "store/types.h"

namespace lockstep::store::testing {

std::vector<std::string> split(const std::string& line);
// Takes the word "id=…" out.
std::vector<std::string> take_request_id(const std::vector<std::string>& words, RequestId* id);
PutRequest parse_put(const std::vector<std::string>& words);
DeleteRangeRequest parse_delete(const std::vector<std::string>& words);
RangeRequest parse_range(const std::vector<std::string>& words);
TxnRequest parse_txn(const std::vector<std::string>& words);

}  // namespace lockstep::store::testing
