// Snapshots: the rows of an engine as one stream of bytes, and back (docs/formats/snapshot.md).
//
// The stream is a function of the view alone, so it can be measured first and sent later, from any offset.
// Frames of it carry checksums chained to their place; the end carries the count of rows. The receiver gets
// every row checked and in order, and memory is taken only for bytes that arrived.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"
#include "engine/engine.h"

namespace lockstep::store {

namespace snapshot_format {
inline constexpr std::string_view magic = "LSSNAP01";
// What a frame carries: large enough that its head is nothing, small enough to be checked before use.
inline constexpr std::size_t frame_bytes = 64 * limits::kibibyte;
inline constexpr std::size_t frame_head_bytes = 8;  // length, checksum
// The largest row is the history block of one entry, which may hold as many old rows as a range deletion met.
inline constexpr std::uint64_t row_bytes_max = std::uint64_t{1} << 30;
static_assert(row_bytes_max > limits::entry_bytes_max);
}  // namespace snapshot_format

// The chain covers every byte; the length guards against what 32 bits may miss.
constexpr std::uint64_t snapshot_digest(std::uint32_t chain, std::uint64_t bytes) {
  return (std::uint64_t{chain} << 32) ^ bytes;
}

// Appends a frame with `payload`, which is not empty and not longer than frame_bytes; returns its checksum,
// the next frame's `chain`.
std::uint32_t append_snapshot_frame(std::uint32_t chain, std::string_view payload, std::string* out);

// Makes the stream. Thread: the worker's.
class SnapshotSource {
 public:
  // Stands at the state row's index in `engine`. failed_precondition if there is none yet.
  static Result<std::unique_ptr<SnapshotSource>> open(engine::Engine& engine);

  [[nodiscard]] LogIndex index() const { return index_; }
  [[nodiscard]] Term term() const { return term_; }
  // As persistence was given it for that index.
  [[nodiscard]] const std::string& configuration() const { return configuration_; }
  // Both once measured.
  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_; }
  [[nodiscard]] std::uint64_t digest() const { return digest_; }

  // Goes on measuring; true when done. Reads what read() will read.
  Result<bool> measure(std::size_t bytes_max);
  // Up to `bytes_max` bytes, fewer only at the end. Going back starts over inside: costs a scan.
  Result<std::string> read(std::uint64_t offset, std::size_t bytes_max);

 private:
  SnapshotSource() = default;
  void rewind();
  // Appends whole frames to buffer_ until it has `bytes` or the stream ended.
  Status produce(std::size_t bytes);
  Status encode_row();
  void close_frame();

  std::unique_ptr<engine::View> view_;
  LogIndex index_;
  Term term_;
  std::string configuration_;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t digest_ = 0;
  bool measured_ = false;

  // Of the pass being made.
  std::size_t table_ = 0;
  std::unique_ptr<engine::Cursor> cursor_;
  std::uint64_t rows_ = 0;
  std::uint32_t chain_ = 0;
  bool ended_ = false;
  std::string frame_;  // rows, from frame_begin_ on not yet in a frame
  std::size_t frame_begin_ = 0;
  std::string buffer_;  // finished, from buffer_offset_ on
  std::uint64_t buffer_offset_ = 0;
};

// Takes a stream apart. Feed it in pieces of any size. Errors: corruption; nothing more may be fed then.
class SnapshotDecoder {
 public:
  using Visit = std::function<Status(engine::Table, std::string_view key, std::string_view value)>;
  explicit SnapshotDecoder(Visit visit) : visit_(std::move(visit)) {}

  Status feed(std::string_view bytes);
  // Ok if the stream was whole.
  [[nodiscard]] Status finish() const;
  // Of what was fed: SnapshotSource::digest() at the end of the same stream.
  [[nodiscard]] std::uint64_t digest() const { return snapshot_digest(chain_, bytes_); }

 private:
  Status take_frame(std::string_view payload);
  Status take_rows();

  Visit visit_;
  std::string input_;                      // not yet a frame
  std::string record_;                     // not yet a row
  std::uint64_t record_bytes_wanted_ = 0;  // no use looking before there are so many
  std::uint64_t rows_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint32_t chain_ = 0;
  bool begun_ = false;
  bool ended_ = false;
  bool failed_ = false;
};

// A stream into an engine. Thread: the worker's.
class SnapshotInstaller {
 public:
  // `admit` is asked before anything is written; its error is the first feed()'s.
  explicit SnapshotInstaller(engine::Engine& engine, std::function<Status()> admit = {});

  // After an error everything fails the same way, and writes nothing.
  Status feed(std::string_view bytes);
  // Replaces the engine's content. Errors: corruption (the stream, or not the expected one), and the
  // engine's.
  Status commit(std::uint64_t digest);

 private:
  Status feed_next(std::string_view bytes);

  engine::Engine& engine_;
  std::function<Status()> admit_;
  std::unique_ptr<engine::Replacement> replacement_;
  SnapshotDecoder decoder_;
  Status failure_;
};

}  // namespace lockstep::store
