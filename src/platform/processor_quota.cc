#include "platform/processor_quota.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string_view>
#include <vector>

namespace lockstep::platform {
namespace {

constexpr double processors_to_look = 2.0;
constexpr Duration look_time = std::chrono::microseconds(100);

struct Group {
  bool unified = false;  // version 2
  std::string path;      // "/" or "/a/b", as this process sees it
};

// The groups that may limit processor time. A line is "id:controllers:path"; version 2 names none.
std::vector<Group> groups_of_this_process(const std::string& root) {
  std::vector<Group> groups;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool unified = controllers == ",,";
    if (unified || controllers.contains(",cpu,")) groups.push_back({unified, line.substr(second + 1)});
  }
  return groups;
}

std::optional<double> read_ratio(const std::string& quota, const std::string& period) {
  const auto number = [](const std::string& text) {
    long value = 0;
    const char* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && stopped == end ? value : 0;
  };
  if (number(quota) <= 0 || number(period) <= 0) return std::nullopt;  // "max", -1, or nothing
  return static_cast<double>(number(quota)) / static_cast<double>(number(period));
}

std::string word_of(const std::string& file) {
  std::string word;
  std::ifstream(file) >> word;
  return word;
}

std::optional<double> quota_of(const std::string& directory, bool unified) {
  if (!unified) {
    return read_ratio(word_of(directory + "/cpu.cfs_quota_us"), word_of(directory + "/cpu.cfs_period_us"));
  }
  std::string quota;
  std::string period;
  std::ifstream(directory + "/cpu.max") >> quota >> period;
  return read_ratio(quota, period);
}

}  // namespace

std::optional<double> processor_quota(const std::string& root) {
  const std::string mounts = root + "/sys/fs/cgroup";
  std::optional<double> least;
  for (const Group& group : groups_of_this_process(root)) {
    std::vector<std::string> trees{mounts + "/cpu", mounts + "/cpu,cpuacct"};
    if (group.unified) trees = {mounts, mounts + "/unified"};
    // A group allows no more than those above it. In a container the path may be the host's, which is not to
    // be found there: its own group is the uppermost then.
    for (std::string path = group.path;; path.resize(path.rfind('/'))) {
      for (const std::string& tree : trees) {
        const std::optional<double> quota = quota_of(tree + path, group.unified);
        if (quota) least = std::min(least.value_or(*quota), *quota);
      }
      if (path.find('/') == std::string::npos) break;
    }
  }
  return least;
}

Duration default_look_time(std::optional<double> quota) {
  return quota && *quota < processors_to_look ? Duration::zero() : look_time;
}

}  // namespace lockstep::platform
