// A saved snapshot as a file: what the server streamed, as it came. It ends with the SHA-256 of everything
// before it; in front of that stand zeros up to a multiple of 512 bytes (docs/formats/snapshot.md is the
// rest).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"

namespace lockstep::cli {

inline constexpr std::size_t sha256_bytes = 32;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void add(std::string_view bytes);
  // Once.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Hashes a stream of which the last 32 bytes are the hash of the others.
class TrailingHash {
 public:
  void add(std::string_view bytes);
  // Whether it was right. Once.
  bool matches();
  // The hash that stands there.
  [[nodiscard]] const std::string& tail() const { return tail_; }

 private:
  Sha256 hash_;
  std::string tail_;  // the last bytes so far, at most 32
};

// What stands at the front of a file.
enum class SnapshotFormat : std::uint8_t { lockstep, etcd };

// A file that is what was saved, to the last byte.
struct SnapshotFile {
  std::string path;
  SnapshotFormat format = SnapshotFormat::lockstep;
  std::uint64_t bytes = 0;
  std::string sha256;  // of everything before it, in hexadecimal
};

// How many bytes were done.
using SnapshotProgress = std::function<void(std::uint64_t bytes)>;
using SnapshotPieces = std::function<Status(std::string_view bytes)>;

// Reads the whole file and compares its hash. Errors: not_found, io_error, corruption (what is wrong: neither
// format, cut short, without a hash, changed).
Result<SnapshotFile> check_snapshot_file(const std::string& path, const SnapshotProgress& progress);
// Hands on the stream of docs/formats/snapshot.md in a file of ours, without what stands behind it. Errors:
// the consumer's, and corruption if more than zeros follows.
Status read_snapshot_stream(const SnapshotFile& file, const SnapshotProgress& progress,
                            const SnapshotPieces& consumer);

// Tells where a stream ends: what follows is padding. Fed in pieces of any size.
class SnapshotStream {
 public:
  explicit SnapshotStream(SnapshotPieces consumer);
  Status feed(std::string_view bytes);
  // Bytes other than zeros followed.
  [[nodiscard]] bool stray() const { return stray_; }

 private:
  Status next();

  SnapshotPieces consumer_;
  std::string head_;
  std::size_t wanted_ = 0;
  bool begun_ = false;
  bool in_head_ = true;
  bool over_ = false;
  bool stray_ = false;
};

struct SnapshotStatus {
  SnapshotFile file;
  // Of our own format only.
  Revision revision;
  Revision compacted;  // zero: never
  LogIndex index;
  Term term;
  std::uint64_t rows_current = 0;
  std::uint64_t rows_history = 0;
  std::uint64_t rows_pinned = 0;
  std::uint64_t rows_meta = 0;
};
// Reads the whole file and checks all of it. Errors: not_found, io_error, corruption.
Result<SnapshotStatus> snapshot_status(const std::string& path, const SnapshotProgress& progress);

}  // namespace lockstep::cli
