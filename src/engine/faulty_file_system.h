// For tests: a file system under RocksDB that fails when told to and, at a power cut, forgets what was not
// synced: file tails (kept in part, or torn), and the last of the created names and renames. Names become
// durable in the order in which they were made, as journals of file systems have it: RocksDB renames CURRENT
// to name a manifest whose own name no sync covers yet.
//
// The files themselves are real ones, in a real directory; a power cut rewrites them as a disk could have
// left them. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include "base/prng.h"

namespace lockstep::engine {

class FaultyFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  enum class Fault { none, io_error, no_space };

  explicit FaultyFileSystem(std::uint64_t seed)
      : rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()), prng_(seed) {}

  // The `countdown`-th write, sync or change of a name from now fails, and every one after it.
  void fail_after(std::uint64_t countdown, Fault fault);
  [[nodiscard]] bool failed() const;
  // Leaves what a power cut could leave, and works again. No file may be open. With `zeros`, unsynced tails
  // may also be filled with zeros, as some file systems do: true if one was.
  bool power_cut(bool zeros);

  // For the files it hands out.
  rocksdb::IOStatus before_change();
  void appended(const std::string& path, std::uint64_t size);
  void synced(const std::string& path);
  void directory_synced(const std::string& path);

  [[nodiscard]] const char* Name() const override { return "FaultyFileSystem"; }
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* directory,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to,
                             const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override;

 private:
  struct Unsynced {
    std::uint64_t size = 0;
    std::uint64_t synced_size = 0;
    // The name itself is not durable: at a power cut the file is gone, or has the content of the file whose
    // place it took by a rename.
    bool name_pending = true;
    std::uint64_t named = 0;  // counts the changes of names
    std::optional<std::string> replaced;
  };
  void track(const std::string& path);
  [[nodiscard]] std::uint64_t first_lost_name();

  mutable std::mutex mutex_;
  Prng prng_;
  std::uint64_t countdown_ = 0;  // zero: no fault is set
  Fault fault_ = Fault::none;
  bool failing_ = false;
  std::uint64_t names_ = 0;
  std::map<std::string, Unsynced> files_;
};

// An Env over `system` that does not sleep: RocksDB waits a second after each background error.
std::unique_ptr<rocksdb::Env> make_impatient_env(std::shared_ptr<FaultyFileSystem> system);

}  // namespace lockstep::engine
