// File names made of numbers: one spelling each, so that nothing else in a directory is taken for ours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lockstep::log {

inline constexpr std::size_t name_digits = 16;

// Sixteen lower-case hexadecimal digits: names sort like their numbers.
std::string number_to_name(std::uint64_t number);
std::optional<std::uint64_t> number_from_name(std::string_view digits);

}  // namespace lockstep::log
