// The Disk port on the Linux file system.
//
// All paths are opened relative to the root's descriptor, after a check of their form: no absolute path, no
// empty part, no "." or "..", no NUL byte; "" is the root itself. Symbolic links are the operator's business
// and are followed.
//
// Errors: not_found, already_exists, failed_precondition (locked, directory not empty), resource_exhausted
// (no space, quota, file size limit, descriptors), invalid_argument (path), io_error with the system's text
// for everything else. Interrupted calls are repeated. Threads: strand only. One thread of its own serves
// write_and_sync() calls that are not `small`. Ownership: files and locks may outlive the FileDisk only if
// nothing asynchronous is pending on them; the executor outlives both.
#pragma once

#include <memory>
#include <string>

#include "base/latency_histogram.h"
#include "env/disk.h"
#include "platform/executor.h"
#include "platform/work_thread.h"

namespace lockstep::platform {

// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor();
  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] bool open() const { return number_ >= 0; }

 private:
  int number_ = -1;
};

// Of write_and_sync(), which is how a log is written.
struct DiskMetrics {
  LatencyHistogram syncs;  // the system calls alone
  std::uint64_t bytes_written = 0;
};

class FileDisk final : public env::Disk {
 public:
  // Creates the root directory (and its parents) if it is missing.
  static Result<std::unique_ptr<FileDisk>> open(const std::string& root, AsioExecutor& executor);

  Result<std::unique_ptr<env::File>> open(const std::string& path, env::OpenMode mode) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Status create_directory(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status remove_tree(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Result<std::unique_ptr<env::DirectoryLock>> lock_directory(const std::string& path) override;
  Result<std::uint64_t> free_bytes() override;

  [[nodiscard]] const DiskMetrics& metrics() const { return *metrics_; }

 private:
  FileDisk(std::string root, Descriptor directory, AsioExecutor& executor);
  Result<Descriptor> open_directory(const std::string& path);

  std::string root_;
  Descriptor directory_;
  AsioExecutor& executor_;
  std::shared_ptr<DiskMetrics> metrics_ = std::make_shared<DiskMetrics>();  // files may outlive this
  WorkThread sync_thread_;
};

}  // namespace lockstep::platform
