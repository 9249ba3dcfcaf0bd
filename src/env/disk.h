// The port to durable storage, seen as one directory tree. Paths are relative to its root, with '/' between
// parts, never absolute and never with ".."; "" names the root itself.
//
// Nothing is durable before it was synced: a file's bytes by sync() or write_and_sync(), a name (created,
// renamed, removed) by sync_directory() on its directory. The simulator loses, tears and flips exactly what
// this allows.
//
// Threads: everything on the strand; opening, renaming, removing, syncing and the blocking calls of a File
// also in a piece of work of a Worker, which has its files to itself. write_and_sync() on the strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace lockstep::env {

struct Write {
  std::uint64_t offset = 0;
  SharedBytes bytes;
};

class File {
 public:
  virtual ~File() = default;  // closes; syncs nothing

  // Reads up to buffer.size() bytes; fewer only at the end of the file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) = 0;
  // Writes all of `bytes`, growing the file if needed. Not durable. Errors: io_error, resource_exhausted
  // (full).
  virtual Status write_at(std::uint64_t offset, std::string_view bytes) = 0;
  // Makes all earlier writes durable (fdatasync). After an error the state of the file is unknown: the caller
  // ends the process, it never retries.
  virtual Status sync() = 0;
  // Writes and syncs as one, then calls done on the strand. If `small` the strand does it, in the call or
  // when it is quiet (a wake-up of another thread costs more than the write); else the disk's own thread.
  // Calls are served in order: behind a call that is not done yet, a `small` one waits its turn like any
  // other.
  // `meanwhile`, if given, runs once before `done`, but not if the write fails: if the strand does the write,
  // then while the disk makes it durable, so that both work at once. Nothing it leads to leaves this process
  // before `done` has run (Stream::held()); never, if the sync fails. It leaves this file alone.
  virtual void write_and_sync(std::vector<Write> writes, bool small,
                              std::move_only_function<void()> meanwhile,
                              std::move_only_function<void(Status)> done) = 0;
  void write_and_sync(std::vector<Write> writes, bool small, std::move_only_function<void(Status)> done) {
    write_and_sync(std::move(writes), small, nullptr, std::move(done));
  }
  virtual Result<std::uint64_t> size() = 0;
  // Cuts or zero-extends.
  virtual Status truncate(std::uint64_t size_bytes) = 0;
};

// Held while one process owns a directory; released by its destructor or by the death of the process.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

enum class OpenMode : std::uint8_t {
  read_only,   // must exist
  read_write,  // must exist
  create_new,  // must not exist
};

class Disk {
 public:
  virtual ~Disk() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  // Names directly inside, sorted. A missing directory is not_found.
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  // Also its missing parents. Existing is fine.
  virtual Status create_directory(const std::string& path) = 0;
  // Replaces an existing target file, atomically.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;
  // A missing path is fine.
  virtual Status remove_tree(const std::string& path) = 0;
  virtual Status sync_directory(const std::string& path) = 0;
  // failed_precondition if another process (or another call) holds it.
  virtual Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string& path) = 0;
  virtual Result<std::uint64_t> free_bytes() = 0;
};

}  // namespace lockstep::env
