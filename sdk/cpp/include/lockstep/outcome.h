// What became of a call: done with a value, refused with an error, or unknown.
//
// `unknown` means that the call may or may not have taken effect (the connection broke after it was sent,
// say). Every other error promises that it had no effect. Nothing here throws but value() and operator* on an
// outcome without one.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "lockstep/abi.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

enum class Code : std::uint8_t {
  ok = 0,
  invalid_argument,     // the request itself is wrong: do not repeat it
  not_found,            // what it names does not exist
  already_exists,       // what it creates exists
  failed_precondition,  // legal, but not in the present state
  out_of_range,         // a revision that is compacted or in the future
  resource_exhausted,   // a limit or quota; may pass later
  permission_denied,    // known user, not allowed
  unauthenticated,      // unknown user, or a wrong password
  unavailable,          // not now, not here (no leader, nobody reachable); NOT done, safe to repeat
  unknown,              // may or may not have taken effect
  deadline_exceeded,    // ran out of time before it took effect; NOT done
  cancelled,            // the caller gave up before it took effect; NOT done
  corruption,           // stored or received bytes fail their check
  io_error,             // the operating system refused
  unimplemented,        // this server cannot do that
  internal,             // a bug
};

// "not_found"
std::string_view to_string(Code code);

class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  [[nodiscard]] Code code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  [[nodiscard]] bool is_unknown() const { return code_ == Code::unknown; }
  // Nothing happened, and the same call may succeed later.
  [[nodiscard]] bool is_retryable() const {
    return code_ == Code::unavailable || code_ == Code::resource_exhausted ||
           code_ == Code::deadline_exceeded;
  }
  // "not_found: no such lease"
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const Error&, const Error&) = default;

 private:
  Code code_;
  std::string message_;
};

// What value() throws where there is none.
class NoValue : public std::runtime_error {
 public:
  explicit NoValue(Error error) : std::runtime_error(error.to_string()), error_(std::move(error)) {}
  [[nodiscard]] const Error& error() const { return error_; }

 private:
  Error error_;
};

enum class Fate : std::uint8_t { done, refused, unknown };

struct Nothing {};

namespace detail {
[[noreturn]] void no_error_in_outcome();
}

template <class T>
class [[nodiscard]] Outcome {
 public:
  using value_type = T;
  // Implicit: a function returns its value or its error as it is.
  // NOLINTBEGIN(google-explicit-constructor)
  Outcome(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Outcome(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] Fate fate() const {
    if (state_.index() == 0) return Fate::done;
    return std::get_if<1>(&state_)->is_unknown() ? Fate::unknown : Fate::refused;
  }
  [[nodiscard]] bool is_done() const { return state_.index() == 0; }
  [[nodiscard]] bool is_unknown() const { return fate() == Fate::unknown; }
  explicit operator bool() const { return is_done(); }

  T& value() & { return checked(*this); }
  const T& value() const& { return checked(*this); }
  T value() && { return std::move(checked(*this)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  [[nodiscard]] T value_or(T other) const& { return is_done() ? *std::get_if<0>(&state_) : std::move(other); }

  // Code::ok where there is a value.
  [[nodiscard]] Code code() const { return is_done() ? Code::ok : std::get_if<1>(&state_)->code(); }
  // Only where there is no value.
  [[nodiscard]] const Error& error() const {
    if (is_done()) detail::no_error_in_outcome();
    return *std::get_if<1>(&state_);
  }

 private:
  template <class Self>
  static auto& checked(Self& self) {
    if (!self.is_done()) throw NoValue(*std::get_if<1>(&self.state_));
    return *std::get_if<0>(&self.state_);
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Outcome<void> {
 public:
  using value_type = void;
  Outcome() = default;
  // NOLINTBEGIN(google-explicit-constructor)
  Outcome(Nothing) {}
  Outcome(Error error) : error_(std::move(error)) {}
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] Fate fate() const {
    if (!error_) return Fate::done;
    return error_->is_unknown() ? Fate::unknown : Fate::refused;
  }
  [[nodiscard]] bool is_done() const { return !error_; }
  [[nodiscard]] bool is_unknown() const { return fate() == Fate::unknown; }
  explicit operator bool() const { return is_done(); }
  void value() const {
    if (error_) throw NoValue(*error_);
  }
  [[nodiscard]] Code code() const { return error_ ? error_->code() : Code::ok; }
  [[nodiscard]] const Error& error() const {
    if (!error_) detail::no_error_in_outcome();
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
