// Reads a /metrics page as Prometheus would (text format 0.0.4), and says what is wrong with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep::gateway::testing {

struct MetricFamily {
  std::string name;
  std::string type;
  std::string help;
  std::vector<std::string> samples;  // name, labels and value
};

struct Exposition {
  std::vector<MetricFamily> families;
  std::vector<std::string> mistakes;
};

// Names and labels well formed, each family once with help and type before its samples, no sample twice,
// values that are numbers, counters not negative, histograms cumulative up to +Inf, which equals their count.
Exposition read_exposition(std::string_view page);

}  // namespace lockstep::gateway::testing
