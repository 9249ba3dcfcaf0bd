// A saved snapshot as a file: what the server streamed, as it came. It ends with the SHA-256 of everything
// before it; in front of that stand zeros up to a multiple of 512 bytes (docs/formats/snapshot.md is the
// rest).
#pragma once

#include <cstdint>
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

 private:
  Sha256 hash_;
  std::string tail_;  // the last bytes so far, at most 32
};

struct SnapshotStatus {
  std::uint64_t bytes = 0;
  std::string format;  // "lockstep", or "etcd"
  // Of our own format only.
  Revision revision;
  Revision compacted;
  LogIndex index;
  Term term;
  std::uint64_t rows_current = 0;
  std::uint64_t rows_history = 0;
  std::uint64_t rows_pinned = 0;
  std::uint64_t rows_meta = 0;
};
// Reads the whole file and checks all of it. Errors: not_found, io_error, corruption.
Result<SnapshotStatus> snapshot_status(const std::string& path);

}  // namespace lockstep::cli
