// Transactions as people write them: the text etcdctl reads, and JSON.
//
// Text: three parts with an empty line after each of the first two: comparisons, what to do if all hold, what
// to do otherwise. Words are separated by blanks; in quotes, the escapes of text.h hold.
//
//   mod("k") > "5"            targets: ver|version, create|c, mod|m, val|value, lease
//                             results: = != > <
//
//   put k "new value"         put KEY VALUE [--lease=HEX] [--prev-kv] [--ignore-value] [--ignore-lease]
//   get k [RANGE_END]         [--prefix] [--from-key] [--limit=N] [--rev=N] [--keys-only] [--count-only]
//   del k [RANGE_END]         [--prefix] [--from-key] [--prev-kv]
//
// JSON: {"compare":[{"key":"k","target":"mod_revision","result":"greater","value":5}],
//        "success":[{"put":{"key":"k","value":"v"}}], "failure":[{"get":{"key":"k"}},{"txn":{...}}]}
// Keys and values are escaped text there too. Errors: invalid_argument with line, or JSON pointer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/types.h"

namespace lockstep::cli {

// The end of the range of all keys that begin with `prefix`; "\0" (every key) if there is none.
std::string prefix_end(std::string_view prefix);

// Decides by the first character whether it is JSON.
Result<store::TxnRequest> parse_txn(std::string_view input);
Result<store::TxnRequest> parse_txn_text(std::string_view input);
Result<store::TxnRequest> parse_txn_json(std::string_view input);

}  // namespace lockstep::cli
