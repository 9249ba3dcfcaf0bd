#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sim/run.h"
using namespace lockstep::sim;
int main(int argc, char** argv) {
  const std::uint64_t from = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const std::uint64_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const bool trace = argc > 3;
  for (std::uint64_t seed = from; seed < from + count; ++seed) {
    std::printf("%s\n", draw_options(seed).to_string().c_str());
    const RunResult r =
        run_seed(seed, trace ? [](const std::string& line) { std::printf("%s\n", line.c_str()); }
                             : std::function<void(const std::string&)>());
    for (const auto& v : r.violations) std::printf("VIOLATION %s: %s\n", v.checker.c_str(), v.text.c_str());
    std::printf("seed %lu events %lu ops %lu acked %lu faults %lu sim %.1fs recovery %.1fs end %016lx %s\n",
                seed, r.events, r.operations, r.acknowledged, r.faults_that_mattered, r.simulated_ns / 1e9,
                r.recovery_ns / 1e9, r.end_number, r.passed() ? "ok" : "FAILED");
    std::fflush(stdout);
  }
}
