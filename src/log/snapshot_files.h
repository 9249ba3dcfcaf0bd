// Snapshot files of one member: written in chunks, complete or absent, checked at every read.
//
// Invariants: a file under its final name is whole and durable; what has the temporary name is rubbish of an
// interrupted writer and removed at the next open. Names are made from numbers only. The bytes inside are the
// caller's; every block of them carries a checksum chained to file and place, and no byte is handed out
// unchecked. At most one writer at a time (of one SnapshotFiles).
//
// Threads: any one thread at a time; meant for the Worker, since every call may block. Independent of Log but
// for the directory, whose lock the Log holds.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "env/disk.h"

namespace lockstep::log {

// Names one snapshot. `context` travels with it unread (the membership as of `index`).
struct SnapshotMeta {
  LogIndex index;
  Term term;
  std::string context;
  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

inline constexpr std::size_t snapshot_context_bytes_max = 64 * 1024;

// corruption if malformed; failed_precondition if written by a newer format.
Result<SnapshotMeta> decode_snapshot_header(std::string_view bytes);

class SnapshotWriter;
class SnapshotReader;

class SnapshotFiles {
 public:
  // Removes leftovers of interrupted writers.
  static Result<SnapshotFiles> open(env::Disk& disk, std::string directory);

  // Whole snapshots, newest (highest index) first. One whose header or trailer is damaged is left out and
  // counted in damaged().
  Result<std::vector<SnapshotMeta>> list();
  [[nodiscard]] std::size_t damaged() const { return damaged_.size(); }

  // An unfinished earlier writer's file is replaced. invalid_argument if the context is too long.
  Result<std::unique_ptr<SnapshotWriter>> create(const SnapshotMeta& meta);
  Result<std::unique_ptr<SnapshotReader>> read(LogIndex index, Term term);
  Status remove(LogIndex index, Term term);
  // Removes every snapshot but the newest `keep_count` and whatever list() left out as damaged.
  Status remove_old(std::size_t keep_count);

 private:
  SnapshotFiles(env::Disk& disk, std::string directory) : disk_(&disk), directory_(std::move(directory)) {}
  env::Disk* disk_;
  std::string directory_;
  std::vector<std::string> damaged_;
};

class SnapshotWriter {
 public:
  ~SnapshotWriter();  // unfinished: removes the file
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;

  // `offset` must equal size_bytes(): invalid_argument otherwise, without effect.
  Status append(std::uint64_t offset, std::string_view bytes);
  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  // Makes the snapshot durable under its name, replacing one of the same name. After an error nothing is
  // there.
  Status finish();

 private:
  friend class SnapshotFiles;
  SnapshotWriter(env::Disk& disk, std::string directory, SnapshotMeta meta);
  Status begin();
  Status write_block();

  env::Disk* disk_;
  std::string directory_;
  SnapshotMeta meta_;
  std::unique_ptr<env::File> file_;
  std::string block_;  // the last, not yet full one
  std::uint64_t size_bytes_ = 0;
  std::uint64_t file_offset_ = 0;
  std::uint64_t unsynced_bytes_ = 0;
  std::uint32_t salt_ = 0;
  bool failed_ = false;
};

class SnapshotReader {
 public:
  [[nodiscard]] const SnapshotMeta& meta() const { return meta_; }
  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  // Bytes [offset, offset + buffer.size()), fewer only at the end. corruption if their checksum fails.
  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer);

 private:
  friend class SnapshotFiles;
  SnapshotReader() = default;
  Status load_block(std::uint64_t block);

  SnapshotMeta meta_;
  std::unique_ptr<env::File> file_;
  std::uint64_t data_offset_ = 0;
  std::uint64_t size_bytes_ = 0;
  std::uint32_t salt_ = 0;
  std::string block_;  // the last one read, checked
  std::uint64_t block_number_ = UINT64_MAX;
};

}  // namespace lockstep::log
