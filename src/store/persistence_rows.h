// The rows of persistence itself, beside those of the state machine (rows.h; docs/formats/keys.md).
//
// They lie in the meta table under keys that begin with 'p'; the state machine never sees them. A row of the
// pinned table is a pinned row (rows.h) behind the revision that replaced it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/ids.h"
#include "base/status.h"

namespace lockstep::store {

// Effects up to this revision are merged into the current table. May lag what is merged.
std::string_view folded_row_key();  // "pf"
// History below this revision was given back, what must stay readable of it is pinned.
std::string_view swept_row_key();  // "pc"
// How many keys there are, roughly: recovery takes memory for them at once.
std::string_view key_count_row_key();  // "pk"
// The members as of the state row's index, as the driver encoded them.
std::string_view configuration_row_key();  // "pm"
bool is_persistence_row(std::string_view key);

std::string encode_revision_row(Revision revision);
Result<Revision> decode_revision_row(std::string_view encoded);
std::string encode_count_row(std::uint64_t count);
Result<std::uint64_t> decode_count_row(std::string_view encoded);

struct PinnedEntry {
  Revision successor;    // that replaced it
  std::string_view row;  // rows.h, encode_pinned_row
};
std::string encode_pinned_entry(const PinnedEntry& entry);
// The view points into `encoded`.
Result<PinnedEntry> decode_pinned_entry(std::string_view encoded);

}  // namespace lockstep::store
