// What this build calls itself.
#pragma once

#include <string_view>

namespace lockstep {

inline constexpr std::string_view version = "0.2.0";
// The etcd version whose protocol is spoken: clients look at it to decide what they may use.
inline constexpr std::string_view etcd_version = "3.5.13";

}  // namespace lockstep
