#include "cli/render.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "cli/text.h"

namespace lockstep::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<std::string_view, Format>, 5> formats = {{{"table", Format::table},
                                                                         {"json", Format::json},
                                                                         {"yaml", Format::yaml},
                                                                         {"ndjson", Format::ndjson},
                                                                         {"raw", Format::raw}}};

template <class... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};

Json to_json(const Value& value) {
  return std::visit(Match{[](std::monostate) { return Json(nullptr); },
                          [](const Bytes& bytes) { return Json(escape(bytes.bytes)); },
                          [](const std::string& text) { return Json(escape(text)); },
                          [](const std::vector<std::string>& texts) {
                            Json list = Json::array();
                            for (const std::string& text : texts) list.push_back(escape(text));
                            return list;
                          },
                          [](const auto& plain) { return Json(plain); }},
                    value);
}

std::string joined(const std::vector<std::string>& texts, std::string_view separator, bool escaped) {
  std::string line;
  for (const std::string& text : texts) {
    if (!line.empty()) line += separator;
    line += escaped ? escape(text) : text;
  }
  return line;
}

std::string to_text(const Value& value, bool escaped) {
  return std::visit(Match{[](std::monostate) { return std::string(); },
                          [](bool flag) { return std::string(flag ? "true" : "false"); },
                          [](double number) { return fmt::format("{:.6g}", number); },
                          [&](const Bytes& bytes) { return escaped ? escape(bytes.bytes) : bytes.bytes; },
                          [&](const std::string& text) { return escaped ? escape(text) : text; },
                          [&](const std::vector<std::string>& texts) {
                            return joined(texts, escaped ? ", " : ",", escaped);
                          },
                          [](auto number) { return std::to_string(number); }},
                    value);
}

bool is_number(const Value& value) {
  return std::holds_alternative<std::int64_t>(value) || std::holds_alternative<std::uint64_t>(value) ||
         std::holds_alternative<double>(value);
}

// "mod_revision" → "MOD REVISION"
std::string heading(std::string_view name) {
  std::string text(name);
  for (char& c : text) {
    if (c == '_') c = ' ';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

Json row_to_json(const Table& table, const std::vector<Value>& row) {
  LS_MUST(row.size() == table.columns.size());
  Json object = Json::object();
  for (std::size_t i = 0; i < row.size(); ++i) object[table.columns[i]] = to_json(row[i]);
  return object;
}

Json facts_to_json(const Report& report) {
  Json object = Json::object();
  for (const Field& field : report.fields) object[field.name] = to_json(field.value);
  return object;
}

Json document(const Report& report) {
  Json object = Json::object();
  object["schema"] = schema_version;
  object.update(facts_to_json(report));
  for (const Table& table : report.tables) {
    Json list = Json::array();
    for (const std::vector<Value>& row : table.rows) list.push_back(row_to_json(table, row));
    object[table.name] = std::move(list);
  }
  return object;
}

// Everything the data model of JSON needs; strings are written as JSON strings, which are YAML too.
void append_yaml(std::string& out, const Json& value, std::size_t indent) {
  const std::string margin(indent, ' ');
  for (const auto& [name, member] : value.items()) {
    out += margin + name + ":";
    if (member.is_array() && !member.empty() && member.front().is_object()) {
      out += "\n";
      for (const Json& element : member) {
        std::string item;
        append_yaml(item, element, indent + 2);
        if (!item.empty()) item[indent] = '-';
        out += item;
      }
    } else {
      out += " " + member.dump(-1, ' ', false) + "\n";
    }
  }
}

bool is_detail(const Table& table, std::size_t column) {
  return std::ranges::find(table.detail_columns, column) != table.detail_columns.end();
}

std::string render_columns(const Table& table) {
  std::vector<std::size_t> widths;
  std::vector<bool> numeric(table.columns.size(), true);
  std::vector<std::vector<std::string>> cells(1);
  for (const std::string& column : table.columns) cells[0].push_back(heading(column));
  for (const std::vector<Value>& row : table.rows) {
    LS_MUST(row.size() == table.columns.size());
    std::vector<std::string>& line = cells.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) {
      line.push_back(to_text(row[i], true));
      if (!is_number(row[i])) numeric[i] = false;
    }
  }
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    widths.push_back(0);
    for (const std::vector<std::string>& line : cells) widths[i] = std::max(widths[i], width_of(line[i]));
  }
  std::string out;
  for (const std::vector<std::string>& line : cells) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (is_detail(table, i)) continue;
      if (!text.empty() || i > 0) text += text.empty() ? "" : "  ";
      const std::string padding(widths[i] - width_of(line[i]), ' ');
      text += numeric[i] && !table.rows.empty() ? padding + line[i] : line[i] + padding;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  }
  return out;
}

std::string render_facts(const Report& report, bool all) {
  std::size_t width = 0;
  for (const Field& field : report.fields) width = std::max(width, width_of(field.name));
  std::string out;
  for (const Field& field : report.fields) {
    if (!all && !field.shown) continue;
    std::string name = field.name;
    std::ranges::replace(name, '_', ' ');
    std::string line = fmt::format("{}:{}{}", name, std::string(width - width_of(name) + 1, ' '),
                                   to_text(field.value, true));
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string raw_row(const Table& table, const std::vector<Value>& row) {
  std::string line;
  bool first = true;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (!table.raw_columns.empty() && std::ranges::find(table.raw_columns, i) == table.raw_columns.end())
      continue;
    if (!std::exchange(first, false)) line += "\t";
    line += to_text(row[i], false);
  }
  return line + "\n";
}

std::string render_table(const Report& report) {
  if (report.tables.empty()) return render_facts(report, true);
  return render_facts(report, false) + render_columns(report.tables.front());
}

std::string render_lines(const Report& report) {
  if (report.tables.empty()) return facts_to_json(report).dump() + "\n";
  std::string out;
  for (const std::vector<Value>& row : report.tables.front().rows)
    out += row_to_json(report.tables.front(), row).dump() + "\n";
  return out;
}

std::string render_raw(const Report& report) {
  std::string out;
  if (report.tables.empty()) {
    for (const Field& field : report.fields) out += to_text(field.value, false) + "\n";
    return out;
  }
  for (const std::vector<Value>& row : report.tables.front().rows) out += raw_row(report.tables.front(), row);
  return out;
}

}  // namespace

std::optional<Format> parse_format(std::string_view name) {
  const auto found = std::ranges::find(formats, name, &std::pair<std::string_view, Format>::first);
  if (found == formats.end()) return std::nullopt;
  return found->second;
}

std::string_view to_string(Format format) {
  return std::ranges::find(formats, format, &std::pair<std::string_view, Format>::second)->first;
}

std::string render(const Report& report, Format format) {
  LS_MUST(report.tables.size() <= 1);
  switch (format) {
    case Format::table:
      return render_table(report);
    case Format::json:
      return document(report).dump(2) + "\n";
    case Format::yaml: {
      std::string out;
      append_yaml(out, document(report), 0);
      return out;
    }
    case Format::ndjson:
      return render_lines(report);
    case Format::raw:
      return render_raw(report);
  }
  LS_UNREACHABLE("not a format");
}

std::string render_row(const Table& columns, const std::vector<Value>& row, Format format, bool first) {
  switch (format) {
    case Format::table: {
      std::string line;
      std::string headings;
      for (std::size_t i = 0; i < row.size(); ++i) {
        if (is_detail(columns, i)) continue;
        const std::string cell = to_text(row[i], true);
        const std::string name = heading(columns.columns[i]);
        const std::size_t width = std::max<std::size_t>(width_of(name), 8);
        const auto pad = [&](const std::string& text) {
          return text + std::string(width_of(text) < width ? width - width_of(text) : 0, ' ') + "  ";
        };
        line += pad(cell);
        headings += pad(name);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      headings.erase(headings.find_last_not_of(' ') + 1);
      return first ? headings + "\n" + line + "\n" : line + "\n";
    }
    case Format::json:
    case Format::ndjson:
      return row_to_json(columns, row).dump() + "\n";
    case Format::yaml: {
      std::string out = "---\n";
      append_yaml(out, row_to_json(columns, row), 0);
      return out;
    }
    case Format::raw:
      return raw_row(columns, row);
  }
  LS_UNREACHABLE("not a format");
}

}  // namespace lockstep::cli
