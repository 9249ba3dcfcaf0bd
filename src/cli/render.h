// The output formats, in one place.
//
//   table   for people: facts, then aligned columns; not meant to be parsed
//   json    one document: the facts and the list, with "schema"
//   yaml    the same document
//   ndjson  one line for each row of the list, or one line with the facts
//   raw     bare bytes: rows with tabs between columns, or the facts' values; nothing is escaped
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/report.h"

namespace lockstep::cli {

enum class Format : std::uint8_t { table, json, yaml, ndjson, raw };
std::optional<Format> parse_format(std::string_view name);
std::string_view to_string(Format format);

std::string render(const Report& report, Format format);

// Rows that come one after the other for as long as a command runs (watch). `first`: a heading may precede.
// json writes what ndjson does, yaml one document a row.
std::string render_row(const Table& columns, const std::vector<Value>& row, Format format, bool first);

}  // namespace lockstep::cli
