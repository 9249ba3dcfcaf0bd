// Something long in phases, on a line that is replaced: phase, bytes, rate, time left.
#pragma once

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "base/time.h"
#include "cli/session.h"
#include "cli/text.h"
#include "env/clock.h"

namespace lockstep::cli {

class Progress {
 public:
  // The clock outlives this. Without a total only amount and rate are told.
  Progress(env::Clock& clock, std::string phase)
      : clock_(clock), phase_(std::move(phase)), begun_(clock.now()) {}

  void show(std::uint64_t bytes, std::uint64_t bytes_total) const {
    const double seconds = std::max(static_cast<double>((clock_.now() - begun_).count()) / 1e9, 1e-3);
    const double rate = static_cast<double>(bytes) / seconds;
    std::string line =
        fmt::format("{}: {}, {}/s", phase_, show_bytes(bytes), show_bytes(static_cast<std::uint64_t>(rate)));
    if (bytes_total > bytes)
      line += fmt::format(", {} % of {}, {:.0f} s left", bytes * 100 / bytes_total, show_bytes(bytes_total),
                          static_cast<double>(bytes_total - bytes) / std::max(rate, 1.0));
    Session::progress(line);
  }

 private:
  env::Clock& clock_;
  std::string phase_;
  TimePoint begun_;
};

}  // namespace lockstep::cli
