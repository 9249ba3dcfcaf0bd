// Log lines that an attacker cannot multiply: one a second for each kind, with the number of those held back.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/time.h"

namespace lockstep::platform {

class EventLog {
 public:
  using Sink = std::function<void(std::string_view line)>;
  // An empty sink writes to standard error.
  explicit EventLog(Sink sink);
  // `kind` is one of a fixed set of literals, not made of received bytes.
  void write(TimePoint now, std::string_view kind, const std::string& line);

 private:
  struct Kind {
    TimePoint next{};
    std::uint64_t held_back = 0;
  };
  Sink sink_;
  std::map<std::string, Kind, std::less<>> kinds_;
};

}  // namespace lockstep::platform
