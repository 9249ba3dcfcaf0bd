#include "platform/file.h"

#include <algorithm>
#include <fcntl.h>
#include <limits>
#include <optional>
#include <unistd.h>
#include <utility>

#include <sys/stat.h>
#include <sys/uio.h>

#include "base/assert.h"
#include "platform/system.h"
#include "platform/system_error.h"

namespace lockstep::platform {
namespace {

// Linux takes 1024 buffers a call; a group of commands has fewer.
constexpr std::size_t buffers_per_call_max = 256;

// Writes of one call that touch each other on disk, as few system calls as they allow.
Status write_gathered(int descriptor, std::uint64_t offset, std::vector<iovec>& buffers,
                      const std::string& path) {
  auto first = buffers.begin();
  while (first != buffers.end()) {
    const auto count = static_cast<int>(
        std::min<std::ptrdiff_t>(buffers.end() - first, static_cast<std::ptrdiff_t>(buffers_per_call_max)));
    const ssize_t written =
        uninterrupted([&] { return ::pwritev(descriptor, &*first, count, static_cast<off_t>(offset)); });
    if (written < 0) return system_error(errno, "write " + path);
    LS_MUST(written > 0, "a write of at least one byte writes or fails");
    offset += static_cast<std::uint64_t>(written);
    auto rest = static_cast<std::size_t>(written);
    while (first != buffers.end() && rest >= first->iov_len) {
      rest -= first->iov_len;
      ++first;
    }
    if (rest == 0) continue;
    first->iov_base = static_cast<char*>(first->iov_base) + rest;
    first->iov_len -= rest;
  }
  return {};
}

// A disk that is quick needs so long to take a small write. Until then nothing is won by going to sleep in
// the sync: a processor of a virtual machine that sleeps wakes up late.
constexpr Duration device_time = 30us;

iovec buffer_of(std::string_view bytes) {
  return {const_cast<char*>(bytes.data()), bytes.size()};
}

// The device begins now, and what is left of the sync is shorter. Where there is no such thing the sync does
// it all; an error of the device is one.
Status begin_to_write(int descriptor, std::uint64_t offset, std::uint64_t bytes, const std::string& path) {
  const int result = ::sync_file_range(descriptor, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                                       SYNC_FILE_RANGE_WRITE);
  if (result == 0 || (errno != EIO && errno != ENOSPC && errno != EDQUOT)) return {};
  return system_error(errno, "write " + path);
}

// What is synced next.
Status write_all(int descriptor, const std::vector<env::Write>& writes, const std::string& path) {
  std::vector<iovec> buffers;
  for (std::size_t index = 0; index < writes.size();) {
    const std::uint64_t offset = writes[index].offset;
    std::uint64_t end = offset;
    buffers.clear();
    for (; index < writes.size() && writes[index].offset == end; ++index) {
      const std::string_view bytes = writes[index].bytes.view();
      if (bytes.empty()) continue;
      buffers.push_back(buffer_of(bytes));
      end += bytes.size();
    }
    LS_MUST(end <= static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()));
    LS_RETURN_IF_ERROR(write_gathered(descriptor, offset, buffers, path));
    LS_RETURN_IF_ERROR(begin_to_write(descriptor, offset, end - offset, path));
  }
  return {};
}

Status sync_data(int descriptor, const std::string& path) {
  if (uninterrupted([&] { return ::fdatasync(descriptor); }) < 0) return system_error(errno, "sync " + path);
  return {};
}

}  // namespace

struct DiskFile::Open {
  std::string path;
  Descriptor descriptor;
  std::uint64_t pending = 0;  // strand only: calls whose `done` has not run

  std::shared_ptr<DiskMetrics> metrics;
  env::Closure waiting = nullptr;  // for a quiet strand: the only call that is pending, if there is one

  // Both add how long the system calls took.
  Status write(const std::vector<env::Write>& writes, Duration* took) const {
    const TimePoint begun = RealClock().now();
    Status status = write_all(descriptor.number(), writes, path);
    *took += RealClock().now() - begun;
    return status;
  }
  Status sync(Duration* took) const {
    const TimePoint begun = RealClock().now();
    Status status = sync_data(descriptor.number(), path);
    *took += RealClock().now() - begun;
    return status;
  }
  // After a failed sync the strand stays held: what was done meanwhile is never told to anybody.
  Status sync_beside(AsioExecutor& executor, TimePoint on_its_way, std::move_only_function<void()> meanwhile,
                     Duration* took) const {
    if (!meanwhile) return sync(took);
    executor.set_held(true);
    meanwhile();
    executor.work_until(on_its_way + device_time);
    LS_RETURN_IF_ERROR(sync(took));
    executor.set_held(false);
    return {};
  }
  void finish(std::uint64_t bytes, Duration took) {
    LS_MUST(pending > 0);
    --pending;
    metrics->syncs.add(took);
    metrics->bytes_written += bytes;
  }
  void serve_waiting() {
    if (env::Closure call = std::exchange(waiting, nullptr)) call();
  }
};

DiskFile::DiskFile(std::string path, Descriptor descriptor, AsioExecutor& executor, WorkThread& sync_thread,
                   std::shared_ptr<DiskMetrics> metrics)
    : open_(std::make_shared<Open>(std::move(path), std::move(descriptor), 0, std::move(metrics))),
      executor_(executor),
      sync_thread_(sync_thread) {
  LS_MUST(open_->descriptor.open());
}

Result<std::size_t> DiskFile::read_at(std::uint64_t offset, std::span<char> buffer) {
  std::size_t total = 0;
  while (total < buffer.size()) {
    const std::span<char> rest = buffer.subspan(total);
    const ssize_t got = uninterrupted([&] {
      return ::pread(open_->descriptor.number(), rest.data(), rest.size(),
                     static_cast<off_t>(offset + total));
    });
    if (got < 0) return system_error(errno, "read " + open_->path);
    if (got == 0) break;
    total += static_cast<std::size_t>(got);
  }
  LS_MUST(total <= buffer.size());
  return total;
}

Status DiskFile::write_at(std::uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return {};
  std::vector<iovec> buffers{buffer_of(bytes)};
  return write_gathered(open_->descriptor.number(), offset, buffers, open_->path);
}

Status DiskFile::sync() {
  return sync_data(open_->descriptor.number(), open_->path);
}

void DiskFile::write_and_sync(std::vector<env::Write> writes, bool small,
                              std::move_only_function<void()> meanwhile,
                              std::move_only_function<void(Status)> done) {
  std::uint64_t bytes = 0;
  for (const env::Write& write : writes) bytes += write.bytes.size();
  open_->serve_waiting();  // in order
  if (small && open_->pending == 0) {
    ++open_->pending;
    // Who has something to do meanwhile has nothing to send first, and lets the device begin at once.
    Duration took{};
    std::optional<Status> written;
    if (meanwhile) written = open_->write(writes, &took);
    const TimePoint on_its_way = RealClock().now();
    open_->waiting = [open = open_.get(), &executor = executor_, writes = std::move(writes),
                      written = std::move(written), meanwhile = std::move(meanwhile), done = std::move(done),
                      bytes, took, on_its_way]() mutable {
      Status status = written ? *std::move(written) : open->write(writes, &took);
      if (status.ok()) status = open->sync_beside(executor, on_its_way, std::move(meanwhile), &took);
      open->finish(bytes, took);
      done(std::move(status));
    };
    executor_.when_quiet([open = open_] { open->serve_waiting(); });
    return;
  }
  ++open_->pending;
  sync_thread_.push([open = open_, writes = std::move(writes), meanwhile = std::move(meanwhile),
                     done = std::move(done), bytes, &executor = executor_]() mutable {
    Duration took{};
    Status status = open->write(writes, &took);
    if (status.ok()) status = open->sync(&took);
    executor.post_from_any_thread([open = std::move(open), bytes, took, writes = std::move(writes),
                                   meanwhile = std::move(meanwhile), done = std::move(done),
                                   status = std::move(status)]() mutable {
      open->finish(bytes, took);
      if (meanwhile && status.ok()) meanwhile();
      done(std::move(status));
    });
  });
}

Result<std::uint64_t> DiskFile::size() {
  struct stat metadata{};
  if (::fstat(open_->descriptor.number(), &metadata) < 0)
    return system_error(errno, "size of " + open_->path);
  LS_MUST(metadata.st_size >= 0);
  return static_cast<std::uint64_t>(metadata.st_size);
}

Status DiskFile::truncate(std::uint64_t size_bytes) {
  LS_MUST(open_->pending == 0, "a file with writes under way is not cut");
  if (uninterrupted([&] { return ::ftruncate(open_->descriptor.number(), static_cast<off_t>(size_bytes)); }) <
      0)
    return system_error(errno, "truncate " + open_->path);
  return {};
}

}  // namespace lockstep::platform
