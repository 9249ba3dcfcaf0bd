#include "cli/range_arguments.h"

#include <CLI/CLI.hpp>

#include "cli/text.h"
#include "cli/txn_text.h"

namespace lockstep::cli {

Result<std::string> bytes_of(const std::string& argument, bool escaped) {
  if (!escaped) return argument;
  return unescape(argument);
}

Status RangeArguments::resolve(std::string* begin, std::string* end) const {
  LS_ASSIGN_OR_RETURN(*begin, bytes_of(key, escaped));
  LS_ASSIGN_OR_RETURN(*end, bytes_of(range_end, escaped));
  if (static_cast<int>(prefix) + static_cast<int>(from_key) + static_cast<int>(!range_end.empty()) > 1)
    return {Code::invalid_argument, "RANGE_END, --prefix and --from-key exclude each other"};
  if (prefix) *end = prefix_end(*begin);
  if (from_key) *end = std::string(1, '\0');
  // Every key: the wire has no empty first key.
  if (begin->empty() && !end->empty()) *begin = std::string(1, '\0');
  return {};
}

void add_escaped_option(CLI::App& command, bool& escaped) {
  command.add_flag("-e,--escaped", escaped, R"(in keys and values, \xNN, \n, \t, \r and \\ are escapes)");
}

void add_range_options(CLI::App& command, RangeArguments& arguments) {
  command.add_option("key", arguments.key, "the key, or where the range begins")->required();
  command.add_option("range_end", arguments.range_end, "where the range ends; this key is outside it");
  command.add_flag("--prefix", arguments.prefix, "every key that begins with KEY; with \"\", all keys");
  command.add_flag("--from-key", arguments.from_key, "KEY and every key after it");
  add_escaped_option(command, arguments.escaped);
}

Result<LeaseId> lease_of(const std::string& text) {
  LS_ASSIGN_OR_RETURN(const std::uint64_t id, parse_hex_id(text));
  return LeaseId(static_cast<std::int64_t>(id));
}

std::string show_lease(LeaseId lease) {
  return lease == LeaseId{} ? std::string() : show_hex_id(static_cast<std::uint64_t>(lease.value()));
}

}  // namespace lockstep::cli
