// A tagged integer: Term, LogIndex, Revision … never mix, and cost nothing.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>

namespace lockstep {

template <class Tag, class Rep>
class StrongInteger {
 public:
  using rep = Rep;

  constexpr StrongInteger() = default;
  constexpr explicit StrongInteger(Rep value) : value_(value) {}

  [[nodiscard]] constexpr Rep value() const { return value_; }
  static constexpr StrongInteger max() { return StrongInteger(std::numeric_limits<Rep>::max()); }

  friend constexpr auto operator<=>(StrongInteger, StrongInteger) = default;

  constexpr StrongInteger& operator++() {
    ++value_;
    return *this;
  }
  [[nodiscard]] constexpr StrongInteger next() const { return StrongInteger(static_cast<Rep>(value_ + 1)); }
  // Requires value() > 0.
  [[nodiscard]] constexpr StrongInteger previous() const {
    return StrongInteger(static_cast<Rep>(value_ - 1));
  }
  friend constexpr StrongInteger operator+(StrongInteger a, Rep count) {
    return StrongInteger(static_cast<Rep>(a.value_ + count));
  }
  // How many steps from b to a. Requires a >= b for unsigned representations.
  friend constexpr Rep operator-(StrongInteger a, StrongInteger b) {
    return static_cast<Rep>(a.value_ - b.value_);
  }

 private:
  Rep value_ = 0;
};

}  // namespace lockstep

template <class Tag, class Rep>
struct std::hash<lockstep::StrongInteger<Tag, Rep>> {
  std::size_t operator()(lockstep::StrongInteger<Tag, Rep> id) const noexcept {
    return std::hash<Rep>{}(id.value());
  }
};
