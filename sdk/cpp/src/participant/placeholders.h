// Where the question marks of a statement are, for clients whose databases write them otherwise.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace lockstep::v1::detail {

// The statement with `value(i)` in place of the i-th `?` outside '…', "…" and `…`; how many there were goes
// to `count`. A quote in a quoted text is doubled, which reads as two texts side by side: the same to us.
template <class Value>
std::string replace_placeholders(std::string_view statement, std::size_t& count, Value value) {
  std::string text;
  text.reserve(statement.size() + 32);
  char quote = 0;
  count = 0;
  for (const char c : statement) {
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"' || c == '`') {
      quote = c;
    } else if (c == '?') {
      text += value(count++);
      continue;
    }
    text += c;
  }
  return text;
}

}  // namespace lockstep::v1::detail
