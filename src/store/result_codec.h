// Encoding of answers that are kept, or passed between members (docs/formats/keys.md). Headers keep only the
// revision: the rest belongs to the member that answers.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "store/result.h"

namespace lockstep::store {

std::string encode_result(const CommandResult& result);
// Errors: corruption. (A kept error is a result like any other, hence the nesting.)
Result<CommandResult> decode_result(std::string_view encoded);

}  // namespace lockstep::store
