// From the library's own Status to what programs see.
#pragma once

#include <utility>

#include "base/status.h"
#include "lockstep/outcome.h"

namespace lockstep::v1::detail {

inline Error to_error(const Status& status) {
  return Error(static_cast<v1::Code>(status.code()), std::string(status.message()));
}

inline Outcome<void> to_outcome(const Status& status) {
  if (!status.ok()) return to_error(status);
  return Nothing{};
}

}  // namespace lockstep::v1::detail

// LS_SDK_ASSIGN(auto response, co_await …): leaves a coroutine with the error of a Result, if it has one.
#define LS_SDK_ASSIGN(declaration, expression) \
  LS_SDK_ASSIGN_IMPL(LS_CONCAT(ls_result_, __LINE__), declaration, expression)
#define LS_SDK_ASSIGN_IMPL(result, declaration, expression)      \
  auto result = (expression);                                    \
  if (!result.ok()) co_return detail::to_error(result.status()); \
  declaration = *std::move(result)
