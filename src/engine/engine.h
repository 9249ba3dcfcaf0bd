// Engine: the port to ordered rows on disk, for state that lies behind the Raft log.
//
// The log already made every change durable, so an engine keeps no log of its own: what was written last may
// be lost in a crash, and the log is replayed over what is left. In exchange for that the engine promises
//
//   E1  prefix: after a crash it holds the effects of the first n batches, for some n, and of no other;
//       n is at least durable(). A batch is all there or not at all, over all tables.
//   E2  a merged table (table.h) is outside that sequence: merge_sorted() is durable when it returns, also
//       when batches written before it are not yet. Whoever needs an order between the two calls flush()
//       first: rows that lead the batches they come from are the caller's bug.
//   E3  discard() too is durable at once, or never happens: nobody may need the rows again, whatever prefix
//       survives.
//   E4  a view is a fixed moment of all tables; neither writes, discards nor a replacement change it.
//   E5  damage is reported as Code::corruption by whatever meets it, never passed on as data.
//
// Threads: write, merge_sorted, discard, flush and begin_replacement (and what it returns) from one thread at
// a time, the worker; everything else from any thread. Views and cursors are used by one thread at a time and
// must be gone before the engine is.
//
// Errors: io_error, resource_exhausted (the disk is full) and corruption are final. The engine repeats the
// first one from every later call, what was durable stays so, and the caller ends the member.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/strong_integer.h"
#include "engine/table.h"
#include "engine/write_batch.h"

namespace lockstep::engine {

// Counts the batches written through one engine object; zero is the state it was opened with.
using Position = StrongInteger<struct PositionTag, std::uint64_t>;

enum class Direction : std::uint8_t { forward, backward };
enum class FlushMode : std::uint8_t { wait, start };

// Walks some rows of a view. Key and value are good until the next call of next().
class Cursor {
 public:
  virtual ~Cursor() = default;
  // False at the end, and after an error: then status() says which.
  [[nodiscard]] virtual bool valid() const = 0;
  [[nodiscard]] virtual std::string_view key() const = 0;
  [[nodiscard]] virtual std::string_view value() const = 0;
  virtual void next() = 0;
  [[nodiscard]] virtual Status status() const = 0;
};

class View {
 public:
  virtual ~View() = default;
  virtual Result<std::optional<std::string>> get(Table table, std::string_view key) = 0;
  // Rows with from <= key < to; an empty `to` means to the end of the table. Backward starts at the last.
  // The cursor must not outlive the view.
  virtual std::unique_ptr<Cursor> scan(Table table, std::string_view from, std::string_view to,
                                       Direction direction) = 0;
};

// A row for merge_sorted(); without a value it removes.
struct SortedRow {
  std::string_view key;
  std::optional<std::string_view> value;
};
// Yields rows in strictly ascending order of keys, each good until the next call; nothing at the end.
class SortedRows {
 public:
  virtual ~SortedRows() = default;
  virtual Result<std::optional<SortedRow>> next() = 0;
};

// A whole new content, built beside the old one, which stays in use until commit(). Destroying it without
// commit() leaves no trace.
class Replacement {
 public:
  virtual ~Replacement() = default;
  // Tables in ascending order of their numbers, keys strictly ascending in each: anything else is
  // invalid_argument, since the rows come from another member.
  virtual Status add(Table table, std::string_view key, std::string_view value) = 0;
  // Switches, durably and as one: a crash leaves the old content or the new one. Call once, then nothing.
  virtual Status commit() = 0;
};

struct Stats {
  std::uint64_t memory_bytes = 0;  // not yet on disk, and caches
  std::uint64_t disk_bytes = 0;
  std::uint64_t pending_discards = 0;  // waiting for views to go
};

class Engine {
 public:
  virtual ~Engine() = default;

  // Visible when it returns, durable later.
  virtual Result<Position> write(WriteBatch&& batch) = 0;
  // Applies sorted rows to a merged table: durable and visible as one when it returns. If the rows end in an
  // error nothing is changed, and the error is returned; it is not final.
  virtual Status merge_sorted(Table table, SortedRows& rows) = 0;
  // Gives the space of rows with from <= key < to back, now, later or never, in part or whole. Until then
  // they are still read, so the caller remembers that they are gone. Waits for open views.
  virtual Status discard(Table table, std::string_view from, std::string_view to) = 0;

  // Makes every batch written so far durable; `start` returns at once, and durable() tells.
  virtual Status flush(FlushMode mode) = 0;
  [[nodiscard]] virtual Position written() const = 0;
  // Every batch up to this one survives a crash. Grows by itself too.
  [[nodiscard]] virtual Position durable() const = 0;

  // Of the newest state.
  virtual Result<std::optional<std::string>> get(Table table, std::string_view key) = 0;
  virtual std::unique_ptr<View> view() = 0;

  // At most one at a time. commit() makes every position durable.
  virtual Result<std::unique_ptr<Replacement>> begin_replacement() = 0;

  // ok, or the final error.
  [[nodiscard]] virtual Status health() const = 0;
  [[nodiscard]] virtual Stats stats() const = 0;
};

}  // namespace lockstep::engine
