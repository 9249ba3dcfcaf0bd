// One open file of FileDisk. Contract: env::File and disk.h.
#pragma once

#include <memory>
#include <string>

#include "platform/disk.h"

namespace lockstep::platform {

class DiskFile final : public env::File {
 public:
  DiskFile(std::string path, Descriptor descriptor, AsioExecutor& executor, WorkThread& sync_thread,
           std::shared_ptr<DiskMetrics> metrics);

  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) override;
  Status write_at(std::uint64_t offset, std::string_view bytes) override;
  Status sync() override;
  void write_and_sync(std::vector<env::Write> writes, bool small, std::move_only_function<void()> meanwhile,
                      std::move_only_function<void(Status)> done) override;
  Result<std::uint64_t> size() override;
  Status truncate(std::uint64_t size_bytes) override;

 private:
  // Shared with requests that the sync thread still serves when the file is closed.
  struct Open;

  std::shared_ptr<Open> open_;
  AsioExecutor& executor_;
  WorkThread& sync_thread_;
};

}  // namespace lockstep::platform
