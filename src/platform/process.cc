#include "platform/process.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <unistd.h>

#include <sys/resource.h>

namespace lockstep::platform {
namespace {

Duration duration_of(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

std::uint64_t entries_of(const char* directory) {
  std::uint64_t count = 0;
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(directory, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    ++count;
  }
  return count;
}

}  // namespace

ProcessMetrics read_process_metrics() {
  ProcessMetrics metrics;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0)
    metrics.cpu = duration_of(usage.ru_utime) + duration_of(usage.ru_stime);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) metrics.descriptors_max = limit.rlim_cur;
  const auto page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::uint64_t virtual_pages = 0;
  std::uint64_t resident_pages = 0;
  if (std::ifstream("/proc/self/statm") >> virtual_pages >> resident_pages) {
    metrics.virtual_bytes = virtual_pages * page_bytes;
    metrics.resident_bytes = resident_pages * page_bytes;
  }
  metrics.descriptors_open = entries_of("/proc/self/fd");
  metrics.threads = entries_of("/proc/self/task");
  return metrics;
}

}  // namespace lockstep::platform
