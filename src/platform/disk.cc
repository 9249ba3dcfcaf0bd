#include "platform/disk.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/assert.h"
#include "platform/file.h"
#include "platform/system_error.h"

namespace lockstep::platform {
namespace {

constexpr mode_t file_mode = 0600;
constexpr mode_t directory_mode = 0700;
// Longer paths are refused before they reach the kernel (its own limit is 4096 for the whole).
constexpr std::size_t path_bytes_max = 1024;

Status check_path(std::string_view path, bool root_allowed) {
  if (path.empty()) {
    return root_allowed ? Status()
                        : Status(Code::invalid_argument, "the empty path names the root directory");
  }
  const auto refuse = [&](std::string_view why) {
    return Status(Code::invalid_argument, "path '" + std::string(path) + "' " + std::string(why));
  };
  if (path.size() > path_bytes_max) return {Code::invalid_argument, "path too long"};
  if (path.find('\0') != std::string_view::npos) return refuse("has a NUL byte");
  std::size_t begin = 0;
  while (begin <= path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty()) return refuse("is absolute or has an empty part");
    if (part == "." || part == "..") return refuse("has a '.' or '..' part");
    begin = end + 1;
  }
  return {};
}

class FileLock final : public env::DirectoryLock {
 public:
  explicit FileLock(Descriptor directory) : directory_(std::move(directory)) {}

 private:
  Descriptor directory_;  // closing releases
};

struct CloseDirectory {
  void operator()(DIR* stream) const { ::closedir(stream); }
};

const char* or_root(const std::string& path) {
  return path.empty() ? "." : path.c_str();
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

Result<std::unique_ptr<FileDisk>> FileDisk::open(const std::string& root, AsioExecutor& executor) {
  std::error_code error;
  std::filesystem::create_directories(root, error);
  if (error) return system_error(error.value(), "create " + root);
  Descriptor directory(
      uninterrupted([&] { return ::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!directory.open()) return system_error(errno, "open " + root);
  return std::unique_ptr<FileDisk>(new FileDisk(root, std::move(directory), executor));
}

FileDisk::FileDisk(std::string root, Descriptor directory, AsioExecutor& executor)
    : root_(std::move(root)),
      directory_(std::move(directory)),
      executor_(executor),
      sync_thread_("ls-sync") {}

Result<Descriptor> FileDisk::open_directory(const std::string& path) {
  LS_RETURN_IF_ERROR(check_path(path, true));
  Descriptor opened(uninterrupted(
      [&] { return ::openat(directory_.number(), or_root(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!opened.open()) return system_error(errno, "open directory " + path);
  return opened;
}

Result<std::unique_ptr<env::File>> FileDisk::open(const std::string& path, env::OpenMode mode) {
  LS_RETURN_IF_ERROR(check_path(path, false));
  int flags = O_CLOEXEC;
  if (mode == env::OpenMode::read_only) flags |= O_RDONLY;
  if (mode == env::OpenMode::read_write) flags |= O_RDWR;
  if (mode == env::OpenMode::create_new) flags |= O_RDWR | O_CREAT | O_EXCL;
  Descriptor opened(
      uninterrupted([&] { return ::openat(directory_.number(), path.c_str(), flags, file_mode); }));
  if (!opened.open()) return system_error(errno, "open " + path);
  struct stat metadata{};
  if (::fstat(opened.number(), &metadata) < 0) return system_error(errno, "open " + path);
  if (S_ISDIR(metadata.st_mode)) return system_error(EISDIR, "open " + path);
  return std::unique_ptr<env::File>(
      std::make_unique<DiskFile>(path, std::move(opened), executor_, sync_thread_, metrics_));
}

Result<std::vector<std::string>> FileDisk::list(const std::string& directory) {
  LS_ASSIGN_OR_RETURN(Descriptor opened, open_directory(directory));
  const int copy = ::fcntl(opened.number(), F_DUPFD_CLOEXEC, 0);  // fdopendir takes it over
  if (copy < 0) return system_error(errno, "list " + directory);
  const std::unique_ptr<DIR, CloseDirectory> stream(::fdopendir(copy));
  if (stream == nullptr) return system_error(errno, "list " + directory);
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return system_error(errno, "list " + directory);
  std::ranges::sort(names);
  return names;
}

Status FileDisk::create_directory(const std::string& path) {
  LS_RETURN_IF_ERROR(check_path(path, true));
  for (std::size_t end = 0; end < path.size();) {
    end = std::min(path.find('/', end + 1), path.size());
    const std::string part = path.substr(0, end);
    if (::mkdirat(directory_.number(), part.c_str(), directory_mode) == 0) continue;
    if (errno != EEXIST) return system_error(errno, "create directory " + part);
  }
  return open_directory(path).status();  // what exists may be a file
}

Status FileDisk::rename(const std::string& from, const std::string& to) {
  LS_RETURN_IF_ERROR(check_path(from, false));
  LS_RETURN_IF_ERROR(check_path(to, false));
  if (::renameat(directory_.number(), from.c_str(), directory_.number(), to.c_str()) < 0)
    return system_error(errno, "rename " + from + " to " + to);
  return {};
}

Status FileDisk::remove(const std::string& path) {
  LS_RETURN_IF_ERROR(check_path(path, false));
  if (::unlinkat(directory_.number(), path.c_str(), 0) == 0) return {};
  if (errno != EISDIR) return system_error(errno, "remove " + path);
  if (::unlinkat(directory_.number(), path.c_str(), AT_REMOVEDIR) < 0)
    return system_error(errno, "remove " + path);
  return {};
}

Status FileDisk::remove_tree(const std::string& path) {
  LS_RETURN_IF_ERROR(check_path(path, false));
  std::error_code error;
  std::filesystem::remove_all(std::filesystem::path(root_) / path, error);
  if (error) return system_error(error.value(), "remove tree " + path);
  return {};
}

Status FileDisk::sync_directory(const std::string& path) {
  LS_ASSIGN_OR_RETURN(Descriptor opened, open_directory(path));
  if (uninterrupted([&] { return ::fsync(opened.number()); }) < 0)
    return system_error(errno, "sync directory " + path);
  return {};
}

Result<std::unique_ptr<env::DirectoryLock>> FileDisk::lock_directory(const std::string& path) {
  LS_ASSIGN_OR_RETURN(Descriptor opened, open_directory(path));
  if (uninterrupted([&] { return ::flock(opened.number(), LOCK_EX | LOCK_NB); }) < 0) {
    if (errno == EWOULDBLOCK) {
      return Status(Code::failed_precondition,
                    "directory '" + root_ + "/" + path + "' is in use by another process");
    }
    return system_error(errno, "lock " + path);
  }
  return std::unique_ptr<env::DirectoryLock>(std::make_unique<FileLock>(std::move(opened)));
}

Result<std::uint64_t> FileDisk::free_bytes() {
  struct statvfs file_system{};
  if (::fstatvfs(directory_.number(), &file_system) < 0) return system_error(errno, "free space");
  return static_cast<std::uint64_t>(file_system.f_bavail) * file_system.f_frsize;
}

}  // namespace lockstep::platform
