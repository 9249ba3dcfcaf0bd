// What the figures of `./do bench core` share: members of this process, closed-loop load, and measuring.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "base/time.h"
#include "engine/engine.h"
#include "platform/platform.h"
#include "replica/replica.h"

namespace lockstep::bench {

struct Settings {
  std::string directory;  // on the disk to be measured; everything below it is removed afterwards
  double seconds = 4;     // of each measured run
  double warm_up_seconds = 1;
  std::function<bool()> also_until = nullptr;  // a run goes on until this, if set
};

// One member of this process: its platform, its replica, and the strand (the calling thread).
class LocalMember {
 public:
  // Exits the process with a message if it cannot be opened: a bench has nobody to report to.
  LocalMember(const std::string& directory, const std::vector<replica::Member>& founders, NodeId node);
  ~LocalMember();

  replica::Replica& replica() { return *replica_; }
  platform::Platform& platform() { return *platform_; }
  // Runs the strand until `condition`, looked at every millisecond.
  void run_until(std::function<bool()> condition);
  void run_for(double seconds);
  void wait_for_leadership();

 private:
  std::unique_ptr<engine::Engine> engine_;  // outlives the platform's worker
  std::unique_ptr<platform::Platform> platform_;
  std::unique_ptr<replica::Replica> replica_;
};

// What one run gave. CPU is user and system time of the whole process, and of `others`.
struct Measured {
  std::uint64_t operations = 0;
  double seconds = 0;
  double cpu_seconds = 0;
  double p50_us = 0;
  double p99_us = 0;
  double max_us = 0;

  [[nodiscard]] double per_second() const { return static_cast<double>(operations) / seconds; }
  [[nodiscard]] double cpu_us() const { return cpu_seconds * 1e6 / static_cast<double>(operations); }
};

// Keeps `in_flight` operations going on the member's strand: `start` begins one and calls `done` once.
using StartOperation = std::function<void(std::move_only_function<void()> done)>;
Measured run_closed_loop(LocalMember& member, const Settings& settings, std::size_t in_flight,
                         const StartOperation& start, const std::vector<int>& other_processes = {});

// "key" plus sixteen digits; 256 bytes of value that do not compress.
std::string key_name(std::uint64_t number);
std::string value_of(Prng& prng);
inline constexpr std::size_t value_bytes = 256;

StartOperation random_puts(LocalMember& member, std::uint64_t keys, Prng& prng);
// Puts keys 0 .. count-1 once each.
void fill(LocalMember& member, std::uint64_t count);

double process_cpu_seconds(int process = 0);  // 0: this one
std::uint64_t resident_bytes();
double now_seconds();

void print_row(const std::string& what, const std::string& figure, const std::string& target, bool met);
std::string rounded(double number, int digits = 0);

}  // namespace lockstep::bench
