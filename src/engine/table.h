// The tables of an engine: a small fixed set, each with its own way of being written.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lockstep::engine {

// What the rows hold is the store's business (docs/formats/keys.md); the engine only knows how they come and
// go. The numbers are stored: never reuse one.
enum class Table : std::uint8_t {
  meta = 0,     // few, small, overwritten often
  history = 1,  // large, in ascending order of keys, discarded from the front
  pinned = 2,   // rescued from history before it is discarded
  current = 3,  // many, in random order: changed by merge_sorted() only
};
inline constexpr std::size_t table_count = 4;
inline constexpr std::array<Table, table_count> all_tables = {Table::meta, Table::history, Table::pinned,
                                                              Table::current};

// True for tables that are changed by Engine::merge_sorted() and never by a WriteBatch.
constexpr bool is_merged(Table table) {
  return table == Table::current;
}
constexpr std::size_t index_of(Table table) {
  return static_cast<std::size_t>(table);
}
constexpr std::string_view to_string(Table table) {
  constexpr std::array<std::string_view, table_count> names = {"meta", "history", "pinned", "current"};
  return names[index_of(table)];
}

}  // namespace lockstep::engine
