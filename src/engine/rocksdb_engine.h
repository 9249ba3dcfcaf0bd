// The engine on disk, over RocksDB.
//
// RocksDB's own log is off: batches gather in its memory and reach the disk by atomic flushes over all tables
// (E1). Merged tables are written as finished files, past that memory. A directory holds one generation of
// the content; a replacement builds the next one and switches by a pointer file.
//
// Background work is at most one flush and one compaction at a time, the latter at low CPU priority and a
// bounded rate, so that what runs in front stays even.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/limits.h"
#include "base/status.h"
#include "engine/engine.h"

namespace lockstep::engine {

struct RocksDbOptions {
  // Batches gathered before RocksDB flushes by itself, whoever asks or not. Up to three times as much is in
  // memory while flushes are slower than writes; then write() waits.
  std::size_t memory_bytes = 32 * limits::mebibyte;
  std::size_t cache_bytes = 32 * limits::mebibyte;
  // What flushes and compactions may write together.
  std::uint64_t background_bytes_per_s = 512 * limits::mebibyte;
};

// Opens or creates the engine in `directory` (a path of the operating system; its parent must exist).
// Errors: failed_precondition if it is open elsewhere, corruption, io_error, resource_exhausted.
Result<std::unique_ptr<Engine>> open_rocksdb_engine(const std::string& directory,
                                                    const RocksDbOptions& options);

}  // namespace lockstep::engine
