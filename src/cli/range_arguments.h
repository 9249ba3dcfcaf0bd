// Arguments that several commands take: a key, a range of keys, a lease.
#pragma once

#include <string>

#include "base/ids.h"
#include "base/status.h"

namespace CLI {
class App;
}

namespace lockstep::cli {

struct RangeArguments {
  std::string key;
  std::string range_end;
  bool prefix = false;
  bool from_key = false;
  bool escaped = false;

  // One key only: no range was asked for.
  [[nodiscard]] bool is_point() const { return range_end.empty() && !prefix && !from_key; }
  // As the store wants it. Errors: invalid_argument.
  Status resolve(std::string* begin, std::string* end) const;
};

void add_escaped_option(CLI::App& command, bool& escaped);
void add_range_options(CLI::App& command, RangeArguments& arguments);

// What an argument means: as it is, or unescaped.
Result<std::string> bytes_of(const std::string& argument, bool escaped);
// Hexadecimal, as leases are shown.
Result<LeaseId> lease_of(const std::string& text);
std::string show_lease(LeaseId lease);  // empty: none

}  // namespace lockstep::cli
