#include "service/timer/due_window.h"

#include <algorithm>

#include "base/assert.h"

namespace lockstep::service {
namespace {

constexpr std::int64_t step_ms_max = std::int64_t{1} << 40;

// FNV-1a, the same in every process: parts of different sizes lie within each other.
std::uint32_t part_of(std::string_view name, std::uint32_t parts) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : name) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 0x100000001b3;
  }
  return static_cast<std::uint32_t>((hash >> 32) ^ hash) & (parts - 1);
}

}  // namespace

DueWindow::Range DueWindow::next(TimePoint now) {
  if (now - looked_at_all_ >= look_at_all_interval) looks_at_all_ = true;
  if (looks_at_all_) looked_at_all_ = now;
  return {looks_at_all_ ? 0 : begin_ms_, end_ms_, timers_per_claim * parts_};
}

bool DueWindow::found_nothing(const Range& looked_at, std::int64_t now_ms) {
  if (looked_at.end_ms > now_ms) {
    looks_at_all_ = true;  // now, or when somebody asks again
    return looked_at.begin_ms != 0;
  }
  if (looked_at.end_ms != end_ms_) return true;  // another claim went on meanwhile
  looks_at_all_ = false;
  // At first all that is due; then, step by step, what became due since.
  const bool first = end_ms_ == 0;
  begin_ms_ = end_ms_;
  end_ms_ = first ? now_ms + 1 : std::min(now_ms + 1, end_ms_ + step_ms_);
  step_ms_ = std::min(2 * step_ms_, step_ms_max);
  return true;
}

void DueWindow::found(std::int64_t first_ms, std::int64_t last_ms, std::int64_t count) {
  LS_MUST(first_ms <= last_ms);
  looks_at_all_ = false;
  begin_ms_ = first_ms;
  // More than a few claims' worth: it is made shorter.
  const auto most = static_cast<std::int64_t>(4 * timers_per_claim * parts_);
  if (count <= most) return;
  end_ms_ = last_ms + 1;
  step_ms_ = std::min(last_ms - first_ms + 1, step_ms_max);
}

std::vector<bool> DueWindow::choose(const std::vector<std::string_view>& names, std::size_t wanted,
                                    env::Random& random) {
  if (parts_ == 1 || names.empty()) return std::vector<bool>(names.size(), true);
  std::vector<std::uint32_t> parts;
  parts.reserve(names.size());
  for (const std::string_view name : names) parts.push_back(part_of(name, parts_));
  const auto mine = static_cast<std::size_t>(std::ranges::count(parts, part_));
  if (mine < std::min(wanted, names.size()) / 4 || mine == 0) part_ = parts[random.next() % parts.size()];
  std::vector<bool> chosen(names.size());
  for (std::size_t i = 0; i < parts.size(); ++i) chosen[i] = parts[i] == part_;
  return chosen;
}

void DueWindow::claimed(std::size_t got, std::size_t wanted, std::size_t bytes_read, env::Random& random) {
  LS_MUST(got <= wanted);
  if (bytes_read > bytes_read_max && parts_ > 1) {
    parts_ /= 2;
  } else if (got >= wanted - wanted / 4) {
    if (parts_ == 1 || ++claims_without_loss_ < claims_until_parts_grow) return;
    parts_ /= 2;
  } else if (parts_ < parts_max && 2 * bytes_read <= bytes_read_max) {
    parts_ *= 2;
  }
  claims_without_loss_ = 0;
  part_ = got == 0 ? static_cast<std::uint32_t>(random.next() % parts_) : part_ & (parts_ - 1);
}

}  // namespace lockstep::service
