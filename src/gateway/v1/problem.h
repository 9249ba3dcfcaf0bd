// Errors of /v1 as application/problem+json (RFC 9457).
//
//   {"type":"urn:lockstep:problem:lock_held","title":"…","status":409,"detail":"…","code":"lock_held",
//    "retryable":true,"retry_after_ms":100,"request_id":"…"}
//
// `code` is stable: programs may rely on it; titles and details are for people. All codes stand in one table.
// `retryable`: the request had no effect, and the same one may succeed later.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "gateway/http.h"

namespace lockstep::gateway::v1 {

struct ProblemKind {
  std::string_view code;
  int status;
  bool retryable;
  std::string_view title;
  // The error of a recipe that it stands for; null: none alone.
  Status (*of)() = nullptr;
  std::int64_t retry_after_ms = 100;  // said with what is retryable: it may pass soon
};

std::span<const ProblemKind> problem_kinds();
// Requires a code of the table.
const ProblemKind& problem_kind(std::string_view code);

struct Problem {
  const ProblemKind* kind = nullptr;
  int status = 0;  // the kind's, unless HTTP has a more precise one
  std::string detail;
  std::string pointer;              // to what is wrong in the request; empty: nothing in particular
  std::int64_t retry_after_ms = 0;  // zero: not said
};

Problem make_problem(std::string_view code, std::string detail);
// Of a recipe or the store.
Problem problem_of(const Status& status);

std::string to_json(const Problem& problem, std::string_view request_id);
HttpResponse to_response(const Problem& problem, std::string_view request_id);
// What HTTP itself refuses under /v1.
HttpResponse refusal(int http_status, std::string_view why);

}  // namespace lockstep::gateway::v1
