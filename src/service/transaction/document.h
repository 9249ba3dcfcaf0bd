// The documents of tcc, xa, message and notification (machines.h), read into what their machines need.
//
// Pure. Errors: invalid_argument with the place, "/branches/0/cancle: unknown, did you mean cancel?";
// resource_exhausted for what is too large. Memory is bounded by the text.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "service/transaction/machine.h"

namespace lockstep::service::transaction {

inline constexpr std::size_t document_depth_max = 64;
inline constexpr std::size_t url_bytes_max = 2048;
inline constexpr std::size_t headers_max = 32;
// Of all branches or targets together: common ones are in each.
inline constexpr std::size_t all_headers_bytes_max = std::size_t{4} * 1024 * 1024;
inline constexpr std::size_t headers_bytes_max = std::size_t{16} * 1024;
inline constexpr Duration time_limit_max = std::chrono::hours(24 * 366);

using Headers = std::vector<std::pair<std::string, std::string>>;

// A branch, or a target: what is called.
struct Target {
  std::string id;
  std::string attempt;  // try, prepare; empty: not ours to call
  std::string forward;  // confirm, commit, url
  std::string back;     // cancel, rollback
  std::string payload;
  Headers headers;
  RetryRule retry;
};

struct Document {
  std::vector<Target> targets;
  std::optional<Duration> timeout;
  std::string check;
  std::optional<Duration> check_after;
  RetryRule retry;
  Headers headers;
};

Result<Document> parse_document(Mode mode, std::string_view text, Rules rules);
// A branch by itself; what it does not say is as in `common`.
Result<Target> parse_branch(Mode mode, std::string_view text, const Document& common, Rules rules);

// Of memory, about.
std::size_t bytes_of(const Target& target);

// The call of one of a target's operations.
Call call_of(const Target& target, Operation operation, const std::string& url);

}  // namespace lockstep::service::transaction
