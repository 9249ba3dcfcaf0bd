#include "engine/faulty_file_system.h"

#include <filesystem>
#include <fstream>
#include <utility>

#include <rocksdb/system_clock.h>

#include "base/assert.h"

namespace lockstep::engine {
namespace {

std::string directory_of(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

class FaultyFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultyFile(FaultyFileSystem& system, std::string path, std::unique_ptr<rocksdb::FSWritableFile> file)
      : FSWritableFileOwnerWrapper(std::move(file)), system_(system), path_(std::move(path)) {}

  using FSWritableFileOwnerWrapper::Append;
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status = system_.before_change();
    if (!status.ok()) {
      // A failing write may still have written a part.
      static_cast<void>(FSWritableFileOwnerWrapper::Append({data.data(), data.size() / 2}, options, debug));
    } else {
      status = FSWritableFileOwnerWrapper::Append(data, options, debug);
    }
    system_.appended(path_, GetFileSize(options, debug));
    return status;
  }
  rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status = system_.before_change();
    if (status.ok()) status = FSWritableFileOwnerWrapper::Sync(options, debug);
    if (status.ok()) system_.synced(path_);
    return status;
  }
  rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
    return Sync(options, debug);
  }

 private:
  FaultyFileSystem& system_;
  std::string path_;
};

class FaultyDirectory final : public rocksdb::FSDirectoryWrapper {
 public:
  FaultyDirectory(FaultyFileSystem& system, std::string path, std::unique_ptr<rocksdb::FSDirectory> directory)
      : FSDirectoryWrapper(std::move(directory)), system_(system), path_(std::move(path)) {}

  rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status = system_.before_change();
    if (status.ok()) status = FSDirectoryWrapper::Fsync(options, debug);
    if (status.ok()) system_.directory_synced(path_);
    return status;
  }
  rocksdb::IOStatus FsyncWithDirOptions(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug,
                                        const rocksdb::DirFsyncOptions&) override {
    return Fsync(options, debug);
  }

 private:
  FaultyFileSystem& system_;
  std::string path_;
};

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

void FaultyFileSystem::fail_after(std::uint64_t countdown, Fault fault) {
  const std::scoped_lock lock(mutex_);
  LS_MUST(countdown > 0);
  countdown_ = countdown;
  fault_ = fault;
}

bool FaultyFileSystem::failed() const {
  const std::scoped_lock lock(mutex_);
  return failing_;
}

rocksdb::IOStatus FaultyFileSystem::before_change() {
  const std::scoped_lock lock(mutex_);
  if (countdown_ > 0 && --countdown_ == 0) failing_ = true;
  if (!failing_) return rocksdb::IOStatus::OK();
  return fault_ == Fault::no_space ? rocksdb::IOStatus::NoSpace("set by the test")
                                   : rocksdb::IOStatus::IOError("set by the test");
}

void FaultyFileSystem::track(const std::string& path) {
  const std::scoped_lock lock(mutex_);
  files_[path] = Unsynced();
  files_[path].named = ++names_;
}

void FaultyFileSystem::appended(const std::string& path, std::uint64_t size) {
  const std::scoped_lock lock(mutex_);
  files_[path].size = size;
}

void FaultyFileSystem::synced(const std::string& path) {
  const std::scoped_lock lock(mutex_);
  files_[path].synced_size = files_[path].size;
}

void FaultyFileSystem::directory_synced(const std::string& path) {
  const std::scoped_lock lock(mutex_);
  for (auto& [name, file] : files_) {
    if (directory_of(name) != directory_of(path + "/x")) continue;
    file.name_pending = false;
    file.replaced.reset();
  }
}

// Any of those that no sync covers, or none.
std::uint64_t FaultyFileSystem::first_lost_name() {
  std::set<std::uint64_t> pending = {names_ + 1};
  for (const auto& [path, file] : files_) {
    if (file.name_pending) pending.insert(file.named);
  }
  return *std::next(pending.begin(), static_cast<std::ptrdiff_t>(prng_.below(pending.size())));
}

bool FaultyFileSystem::power_cut(bool zeros) {
  const std::scoped_lock lock(mutex_);
  bool filled = false;
  const std::uint64_t lost_from = first_lost_name();
  for (auto& [path, file] : files_) {
    if (!std::filesystem::exists(path)) continue;
    if (file.name_pending && file.named >= lost_from) {
      if (file.replaced.has_value()) {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << *file.replaced;
      } else {
        std::filesystem::remove(path);
      }
      continue;
    }
    if (file.synced_size < file.size) {
      const std::uint64_t kept = prng_.between(file.synced_size, file.size);
      std::filesystem::resize_file(path, kept);
      if (zeros && prng_.chance(1, 3)) {
        std::filesystem::resize_file(path, file.size);
        filled = true;
      }
    }
  }
  files_.clear();
  countdown_ = 0;
  failing_ = false;
  return filled;
}

rocksdb::IOStatus FaultyFileSystem::NewWritableFile(const std::string& path,
                                                    const rocksdb::FileOptions& options,
                                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                                    rocksdb::IODebugContext* debug) {
  rocksdb::IOStatus status = before_change();
  if (!status.ok()) return status;
  status = FileSystemWrapper::NewWritableFile(path, options, file, debug);
  if (!status.ok()) return status;
  track(path);
  *file = std::make_unique<FaultyFile>(*this, path, std::move(*file));
  return status;
}

rocksdb::IOStatus FaultyFileSystem::ReopenWritableFile(const std::string& path,
                                                       const rocksdb::FileOptions& options,
                                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                                       rocksdb::IODebugContext* debug) {
  rocksdb::IOStatus status = before_change();
  if (!status.ok()) return status;
  status = FileSystemWrapper::ReopenWritableFile(path, options, file, debug);
  if (status.ok()) *file = std::make_unique<FaultyFile>(*this, path, std::move(*file));
  return status;
}

rocksdb::IOStatus FaultyFileSystem::NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                                 std::unique_ptr<rocksdb::FSDirectory>* directory,
                                                 rocksdb::IODebugContext* debug) {
  rocksdb::IOStatus status = FileSystemWrapper::NewDirectory(path, options, directory, debug);
  if (status.ok()) *directory = std::make_unique<FaultyDirectory>(*this, path, std::move(*directory));
  return status;
}

rocksdb::IOStatus FaultyFileSystem::DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                                               rocksdb::IODebugContext* debug) {
  rocksdb::IOStatus status = before_change();
  if (!status.ok()) return status;
  status = FileSystemWrapper::DeleteFile(path, options, debug);
  const std::scoped_lock lock(mutex_);
  if (status.ok()) files_.erase(path);
  return status;
}

rocksdb::IOStatus FaultyFileSystem::RenameFile(const std::string& from, const std::string& to,
                                               const rocksdb::IOOptions& options,
                                               rocksdb::IODebugContext* debug) {
  rocksdb::IOStatus status = before_change();
  if (!status.ok()) return status;
  std::optional<std::string> replaced;
  if (std::filesystem::exists(to)) replaced = read_file(to);
  status = FileSystemWrapper::RenameFile(from, to, options, debug);
  if (!status.ok()) return status;
  const std::scoped_lock lock(mutex_);
  Unsynced file = files_[from];
  files_.erase(from);
  file.name_pending = true;
  file.named = ++names_;
  file.replaced = std::move(replaced);
  files_[to] = std::move(file);
  return status;
}

rocksdb::IOStatus FaultyFileSystem::LinkFile(const std::string& from, const std::string& to,
                                             const rocksdb::IOOptions& options,
                                             rocksdb::IODebugContext* debug) {
  rocksdb::IOStatus status = before_change();
  if (!status.ok()) return status;
  status = FileSystemWrapper::LinkFile(from, to, options, debug);
  if (!status.ok()) return status;
  const std::scoped_lock lock(mutex_);
  files_[to] = files_[from];
  files_[to].name_pending = true;
  files_[to].named = ++names_;
  return status;
}

namespace {

class ImpatientClock final : public rocksdb::SystemClockWrapper {
 public:
  ImpatientClock() : SystemClockWrapper(rocksdb::SystemClock::Default()) {}
  [[nodiscard]] const char* Name() const override { return "ImpatientClock"; }
  void SleepForMicroseconds(int micros) override {
    SystemClockWrapper::SleepForMicroseconds(std::min(micros, 1000));
  }
};

class ImpatientEnv final : public rocksdb::EnvWrapper {
 public:
  explicit ImpatientEnv(std::shared_ptr<FaultyFileSystem> system)
      : EnvWrapper(rocksdb::NewCompositeEnv(std::move(system))) {
    system_clock_ = std::make_shared<ImpatientClock>();
  }
};

}  // namespace

std::unique_ptr<rocksdb::Env> make_impatient_env(std::shared_ptr<FaultyFileSystem> system) {
  return std::make_unique<ImpatientEnv>(std::move(system));
}

}  // namespace lockstep::engine
