// Encodings of the rows that write-back, snapshots and recovery store (docs/formats/keys.md).
//
// current rows: user key -> its newest version or its tombstone.
// meta rows: everything else of the state machine; keys below.
// pinned rows: user key -> the version that was newest at the compacted revision and was replaced later.
// history rows: the encoded effect block; their key is the block's first revision, big-endian.
//
// Pure functions; decoders refuse what the encoders would not have made, with Code::corruption.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "store/effect.h"
#include "store/types.h"

namespace lockstep::store {

struct MetaChange {
  std::string key;
  std::optional<std::string> value;  // nothing: the row goes
  friend bool operator==(const MetaChange&, const MetaChange&) = default;
};

// A current row is a function of the newest effect on the key, so write-back can make it from effects alone.
struct CurrentRow {
  bool tombstone = false;
  RowView row;  // of a tombstone: key and mod_revision only
  Revision previous_revision;
};
std::string encode_current_row(const CurrentRow& row);
std::string encode_current_row(const EffectView& effect);
// Views point into both arguments.
Result<CurrentRow> decode_current_row(std::string_view key, std::string_view encoded);

std::string encode_pinned_row(const RowView& row);
Result<RowView> decode_pinned_row(std::string_view key, std::string_view encoded);

// Big-endian, so that bytes sort like numbers.
std::string history_row_key(Revision first_revision);
Result<Revision> decode_history_row_key(std::string_view key);

// Meta row keys: one letter, then big-endian numbers, or one more letter and a name.
std::string_view state_row_key();                                // "s"
std::string lease_row_key(LeaseId id);                           // "l" id
std::string client_row_key(ClientId id);                         // "c" id
std::string answer_row_key(ClientId client, Sequence sequence);  // "r" client sequence
std::string alarm_row_key(const Alarm& alarm);                   // "a" kind (one byte) member
std::string space_row_key(Revision revision);                    // "h" revision
std::string_view auth_row_key();                                 // "ia"
std::string role_row_key(std::string_view name);                 // "ir" name
std::string user_row_key(std::string_view name);                 // "iu" name

// The parts of any of them, as they stand in the key. Of users and roles only the kind is told.
struct MetaKey {
  char kind = 0;
  std::uint64_t first = 0;
  std::uint64_t second = 0;
};
Result<MetaKey> decode_meta_key(std::string_view key);

// The row under state_row_key(). Recovery reads applied_index from it: the log goes on behind it.
struct StateRow {
  LogIndex applied_index;
  Term applied_term;
  Revision revision;
  Revision compacted{-1};
  std::int64_t store_time_ms = 0;
  std::int64_t term_began_ms = 0;
  std::uint64_t digest = 0;
  std::uint64_t live_bytes = 0;
  std::uint64_t history_bytes = 0;
  std::uint64_t history_bytes_compacted = 0;
  friend bool operator==(const StateRow&, const StateRow&) = default;
};
std::string encode_state_row(const StateRow& row);
Result<StateRow> decode_state_row(std::string_view encoded);

}  // namespace lockstep::store
