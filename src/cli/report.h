// What a command has to say, before anybody decides how it is written: facts, and at most one table.
//
// A command fills a Report; the formats (render.h) are the same for all of them. Column and field names are
// the schema of the machine-readable formats: snake_case, never renamed without raising schema_version.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace lockstep::cli {

inline constexpr int schema_version = 1;

// Keys and values of users: any bytes. Escaped wherever text is written, bare in raw.
struct Bytes {
  std::string bytes;
  friend bool operator==(const Bytes&, const Bytes&) = default;
};

using Value = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, Bytes,
                           std::vector<std::string>>;

struct Field {
  std::string name;
  Value value;
  bool shown = true;  // in the table format, beside a table
};

struct Table {
  std::string name;  // of the list: "kvs"
  std::vector<std::string> columns;
  std::vector<std::vector<Value>> rows;
  // Which columns raw prints; empty: all.
  std::vector<std::size_t> raw_columns;
  // Columns that the table format leaves out.
  std::vector<std::size_t> detail_columns;
};

struct Report {
  std::vector<Field> fields;
  std::vector<Table> tables;  // none or one

  Report& fact(std::string name, Value value) {
    fields.push_back({std::move(name), std::move(value), true});
    return *this;
  }
  // Not in the table format if there is a table.
  Report& detail(std::string name, Value value) {
    fields.push_back({std::move(name), std::move(value), false});
    return *this;
  }
  Table& table(std::string name, std::vector<std::string> columns) {
    tables.push_back({std::move(name), std::move(columns), {}, {}, {}});
    return tables.back();
  }
};

}  // namespace lockstep::cli
