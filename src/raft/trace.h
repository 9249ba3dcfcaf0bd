// Trace lines: readable text, built only when Options::trace is set. Included by raft's own sources.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

#include "raft/raft.h"

namespace lockstep::raft {
namespace trace_internal {

inline void append(std::string& line, std::string_view text) {
  line += text;
}
template <class Tag, class Rep>
void append(std::string& line, StrongInteger<Tag, Rep> id) {
  line += std::to_string(id.value());
}
template <std::integral Integer>
void append(std::string& line, Integer number) {
  line += std::to_string(number);
}

}  // namespace trace_internal

template <class... Parts>
void Raft::trace(const Parts&... parts) {
  if (!options_.trace) return;
  std::string line;
  (trace_internal::append(line, parts), ...);
  output_.trace.push_back(std::move(line));
}

}  // namespace lockstep::raft
