// Status and Result: the one way an operating error travels. Programmer errors are assertions (assert.h).
//
// A call has three outcomes: done, not done, unknown. `Code::unknown_outcome` is the only code that says
// "unknown"; every other error promises that the call had no effect.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/assert.h"

namespace lockstep {

// A new code only where some caller would act differently on it.
enum class Code : std::uint8_t {
  ok = 0,
  invalid_argument,     // the request itself is wrong: do not repeat it
  not_found,            // what it names does not exist
  already_exists,       // what it creates exists
  failed_precondition,  // legal, but not in the present state
  out_of_range,         // a revision that is compacted or in the future, a TTL too large
  resource_exhausted,   // a limit or quota; may pass later
  permission_denied,    // known principal, not allowed
  unauthenticated,      // unknown principal
  unavailable,          // not now, not here (no leader, overloaded); NOT done, safe to repeat
  unknown_outcome,      // may or may not have taken effect; repeat only with a RequestId
  deadline_exceeded,    // ran out of time before it took effect; NOT done
  cancelled,            // the caller gave up before it took effect; NOT done
  corruption,           // stored or received bytes fail their check
  io_error,             // the disk or the operating system refused
  unimplemented,        // this implementation cannot do that (see capabilities)
  internal,             // none of the above; a bug
};

std::string_view to_string(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) {
    if (code != Code::ok) detail_ = std::make_unique<Detail>(Detail{code, std::move(message)});
  }
  Status(const Status& other) : detail_(other.detail_ ? std::make_unique<Detail>(*other.detail_) : nullptr) {}
  Status(Status&&) noexcept = default;
  Status& operator=(const Status& other) {
    if (this != &other) detail_ = other.detail_ ? std::make_unique<Detail>(*other.detail_) : nullptr;
    return *this;
  }
  Status& operator=(Status&&) noexcept = default;
  ~Status() = default;

  [[nodiscard]] bool ok() const { return detail_ == nullptr; }
  [[nodiscard]] Code code() const { return detail_ ? detail_->code : Code::ok; }
  [[nodiscard]] std::string_view message() const { return detail_ ? detail_->message : std::string_view{}; }
  // "not_found: no such lease"
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const Status& a, const Status& b) {
    return a.code() == b.code() && a.message() == b.message();
  }

 private:
  struct Detail {
    Code code;
    std::string message;
  };
  std::unique_ptr<Detail> detail_;  // null when ok: an ok Status costs nothing
};

// True if the caller cannot know whether the call took effect.
[[nodiscard]] inline bool is_unknown(const Status& status) {
  return status.code() == Code::unknown_outcome;
}

// A value or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  // Implicit: a function returns its value or its error as it is.
  // NOLINTBEGIN(google-explicit-constructor)
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {
    LS_MUST(!std::get<1>(state_).ok(), "a Result without value needs an error");
  }
  // NOLINTEND(google-explicit-constructor)
  Result(Code code, std::string message) : Result(Status(code, std::move(message))) {}

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  [[nodiscard]] T& value() & {
    LS_MUST(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const T& value() const& {
    LS_MUST(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] T&& value() && {
    LS_MUST(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  [[nodiscard]] Status status() const { return ok() ? Status() : *std::get_if<1>(&state_); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace lockstep

// Leaves the function with the error, if there is one.
#define LS_RETURN_IF_ERROR(expression)                                    \
  do {                                                                    \
    if (::lockstep::Status ls_status_ = (expression); !ls_status_.ok()) { \
      return ls_status_;                                                  \
    }                                                                     \
  } while (false)
#define LS_CONCAT_IMPL(a, b) a##b
#define LS_CONCAT(a, b) LS_CONCAT_IMPL(a, b)
// LS_ASSIGN_OR_RETURN(auto file, disk.open(path));
#define LS_ASSIGN_OR_RETURN(declaration, expression) \
  LS_ASSIGN_OR_RETURN_IMPL(LS_CONCAT(ls_result_, __LINE__), declaration, expression)
#define LS_ASSIGN_OR_RETURN_IMPL(result, declaration, expression) \
  auto result = (expression);                                     \
  if (!result.ok()) return result.status();                       \
  declaration = *std::move(result)
