// Every kind of request, as every kind of user, on every kind of range, at every depth: judged by the store
// and by a model of a few lines, and applied.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace lockstep::store::testing {

struct MatrixTotals {
  std::size_t allowed = 0;
  std::size_t denied = 0;
};

// The first case on which they differ, if there is one.
std::optional<std::string> auth_matrix(MatrixTotals* totals);

}  // namespace lockstep::store::testing
