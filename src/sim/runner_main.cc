// lockstep-sim: the simulator's command line.
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/planted.h"
#include "sim/planted_hunt.h"
#include "sim/recipes/recipe_run.h"
#include "sim/runner.h"

namespace {

using namespace lockstep;
using namespace lockstep::sim;

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;
// From so many seeds on, everything the simulator can do must have happened.
constexpr std::uint64_t coverage_seeds_min = 100;

struct Arguments {
  std::uint64_t seeds = 0;
  std::uint64_t from = 1;
  std::uint64_t seed = 0;
  unsigned jobs = 0;
  bool trace = false;
  bool planted = false;
  bool recipes = false;
  bool list = false;
  std::string bug;
  std::string seeds_file;
  std::uint64_t seeds_max = 300;
};

void print_violations(const Violations& violations) {
  for (const Violation& violation : violations) {
    std::printf("  %s: %s\n", violation.checker.c_str(), violation.text.c_str());
  }
}

RunOneSeed kind_of_run(const Arguments& arguments) {
  return arguments.recipes ? run_recipe_seed : run_seed;
}

// What begins the command that runs one seed again.
const char* command_of(const Arguments& arguments) {
  return arguments.recipes ? "lockstep-sim --recipes" : "lockstep-sim";
}

int run_one_seed(const Arguments& arguments) {
  std::printf("%s\n", arguments.recipes ? draw_recipe_options(arguments.seed).to_string().c_str()
                                        : draw_options(arguments.seed).to_string().c_str());
  std::fflush(stdout);
  std::function<void(const std::string&)> sink;
  if (arguments.trace) sink = [](const std::string& line) { std::printf("%s\n", line.c_str()); };
  const RunResult result = kind_of_run(arguments)(arguments.seed, sink);
  for (std::size_t i = 0; i < covered_count; ++i) {
    if (result.coverage.at(i) == 0) continue;
    std::printf("%s=%" PRIu64 " ", std::string(covered_names[i]).c_str(), result.coverage.at(i));
  }
  std::printf("\nevents=%" PRIu64 " operations=%" PRIu64 " acknowledged=%" PRIu64
              " faults_that_mattered=%" PRIu64 " simulated_s=%.1f recovery_s=%.2f\n",
              result.events, result.operations, result.acknowledged, result.faults_that_mattered,
              static_cast<double>(result.simulated_ns) / 1e9, static_cast<double>(result.recovery_ns) / 1e9);
  if (!result.passed()) {
    std::printf("FAILED\n");
    print_violations(result.violations);
  }
  std::printf("end number %016" PRIx64 "\n", result.end_number);
  return result.passed() ? 0 : exit_failure;
}

// Totals of a sweep, and its progress line.
class Totals {
 public:
  explicit Totals(std::uint64_t count) : count_(count), interactive_(isatty(STDERR_FILENO) != 0) {}

  void add(const SeedSummary& summary) {
    ++done_;
    coverage_.merge(summary.coverage);
    events_ += summary.events;
    acknowledged_ += summary.acknowledged;
    faults_ += summary.faults_that_mattered;
    simulated_ns_ += summary.simulated_ns;
    recovery_ns_max_ = std::max(recovery_ns_max_, summary.recovery_ns);
    if (!summary.violations.empty()) failures_.push_back(summary.seed);
    show_progress();
  }
  [[nodiscard]] const std::vector<std::uint64_t>& failures() const { return failures_; }
  [[nodiscard]] bool coverage_complete() const { return missing().empty(); }

  void print() const {
    if (interactive_) std::fprintf(stderr, "\n");
    std::printf("seeds=%" PRIu64 " failed=%zu events=%" PRIu64 " acknowledged=%" PRIu64
                " faults_that_mattered=%" PRIu64 " simulated_hours=%.2f recovery_s_max=%.2f wall_s=%.1f\n",
                done_, failures_.size(), events_, acknowledged_, faults_,
                static_cast<double>(simulated_ns_) / 3.6e12, static_cast<double>(recovery_ns_max_) / 1e9,
                elapsed());
    for (std::size_t i = 0; i < covered_count; ++i) {
      std::printf("%-28s %12" PRIu64 "%s\n", std::string(covered_names[i]).c_str(), coverage_.at(i),
                  coverage_.at(i) == 0 ? "  never happened" : "");
    }
  }

 private:
  [[nodiscard]] std::vector<std::string> missing() const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < covered_count; ++i) {
      if (coverage_.at(i) == 0) names.emplace_back(covered_names[i]);
    }
    return names;
  }
  [[nodiscard]] double elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  }
  void show_progress() {
    const double seconds = elapsed();
    if (!interactive_ ? done_ % 100 != 0 : seconds - shown_at_ < 0.5 && done_ != count_) return;
    shown_at_ = seconds;
    const double rate = static_cast<double>(done_) / seconds;
    std::fprintf(stderr, "%s%" PRIu64 "/%" PRIu64 " seeds, %.1f a second, %.0f s left, %zu failed%s",
                 interactive_ ? "\r" : "", done_, count_, rate, static_cast<double>(count_ - done_) / rate,
                 failures_.size(), interactive_ ? "   " : "\n");
  }

  std::uint64_t count_;
  bool interactive_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  double shown_at_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t faults_ = 0;
  std::int64_t simulated_ns_ = 0;
  std::int64_t recovery_ns_max_ = 0;
  Coverage coverage_;
  std::vector<std::uint64_t> failures_;
};

// Lines of one number each; '#' begins a comment.
std::vector<std::uint64_t> read_seeds(const std::string& path) {
  std::vector<std::uint64_t> seeds;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.front() != '#') seeds.push_back(std::strtoull(line.c_str(), nullptr, 10));
  }
  return seeds;
}

int run_seeds_of_file(const Arguments& arguments) {
  const std::string& path = arguments.seeds_file;
  int result = 0;
  const std::vector<std::uint64_t> seeds = read_seeds(path);
  if (seeds.empty()) {
    std::fprintf(stderr, "lockstep-sim: no seeds in %s\n", path.c_str());
    return exit_usage;
  }
  for (const std::uint64_t seed : seeds) {
    const RunResult run = kind_of_run(arguments)(seed, nullptr);
    std::printf("seed %" PRIu64 " %s, end number %016" PRIx64 "\n", seed, run.passed() ? "passes" : "FAILED",
                run.end_number);
    print_violations(run.violations);
    if (!run.passed()) result = exit_failure;
  }
  return result;
}

int run_seeds(const Arguments& arguments, unsigned jobs) {
  SweepOptions options;
  for (std::uint64_t i = 0; i < arguments.seeds; ++i) options.seeds.push_back(arguments.from + i);
  options.jobs = jobs;
  options.run = kind_of_run(arguments);
  std::printf("seeds %" PRIu64 " to %" PRIu64 ", %u at a time\n", options.seeds.front(), options.seeds.back(),
              jobs);
  Totals totals(arguments.seeds);
  std::uint64_t end_numbers = 0;
  sweep(options, [&](const SeedSummary& summary) {
    totals.add(summary);
    end_numbers ^= summary.end_number * (2 * summary.seed + 1);
    if (!summary.violations.empty()) {
      std::printf("seed %" PRIu64 " FAILED\n", summary.seed);
      print_violations(summary.violations);
      std::printf("  again: %s --seed %" PRIu64 " --trace\n", command_of(arguments), summary.seed);
      std::fflush(stdout);
    }
    return true;
  });
  totals.print();
  int result = totals.failures().empty() ? 0 : exit_failure;
  if (!arguments.recipes && arguments.seeds >= coverage_seeds_min && !totals.coverage_complete()) {
    std::printf("FAILED: something the simulator can do never happened (see above)\n");
    result = exit_failure;
  }
  std::printf("end number %016" PRIx64 "\n", end_numbers);
  return result;
}

#ifdef LOCKSTEP_PLANTED_BUGS

int run_planted(const Arguments& arguments, unsigned jobs) {
  return hunt_planted_bugs({arguments.bug, arguments.recipes, arguments.from, arguments.seeds_max, jobs})
             ? 0
             : exit_failure;
}

int list_bugs() {
  for (const planted::Description& bug : planted::table) {
    std::printf("%-38s %s\n", std::string(bug.name).c_str(), std::string(bug.what).c_str());
  }
  return 0;
}

#else

// The planted bugs are compiled into a binary of their own, beside this one.
int run_twin(char** argv) {
  std::string path(4096, '\0');
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  if (length <= 0) return exit_failure;
  path.resize(static_cast<std::size_t>(length));
  path += "-planted";
  execv(path.c_str(), argv);
  std::fprintf(stderr, "lockstep-sim: %s is missing: build the target lockstep-sim-planted\n", path.c_str());
  return exit_failure;
}

#endif

constexpr const char* description =
    "Runs whole clusters in a simulated world: faults from a seed, checkers afterwards.\n"
    "Everything a run does follows from its seed and the commit; its end number proves it.\n\n"
    "examples:\n"
    "  lockstep-sim --seeds 300               seeds 1 to 300\n"
    "  lockstep-sim --seeds 300 --from 1000   seeds 1000 to 1299\n"
    "  lockstep-sim --seed 1234 --trace       one seed, every step printed\n"
    "  lockstep-sim --recipes --seeds 100     the same for locks and what else is built on the store\n"
    "  lockstep-sim --planted                 break one rule at a time; each must be caught\n"
    "  lockstep-sim --planted --bug leader_local_read\n"
    "  lockstep-sim --recipes --planted       the rules that recipes keep\n\n"
    "exit codes: 0 all well, 1 a failure was found (or the coverage has a hole), 2 usage";

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(description, "lockstep-sim");
  auto* seeds = app.add_option("--seeds", arguments.seeds, "run so many seeds")->check(CLI::PositiveNumber);
  auto* seed = app.add_option("--seed", arguments.seed, "run this one seed");
  app.add_option("--from", arguments.from, "the first seed (1)");
  app.add_option("--jobs", arguments.jobs, "seeds at a time (one for each processor)");
  app.add_flag("--trace", arguments.trace, "print every step (with --seed)")->needs(seed);
  app.add_flag("--recipes", arguments.recipes, "locks, timers and so on, used by a fleet of machines");
  auto* planted_flag = app.add_flag("--planted", arguments.planted, "plant each known bug in turn");
  app.add_option("--bug", arguments.bug, "only this bug (with --planted)")->needs(planted_flag);
  app.add_option("--seeds-max", arguments.seeds_max,
                 "give a planted bug up after so many seeds that fit it (300)")
      ->needs(planted_flag);
  auto* file = app.add_option("--seeds-file", arguments.seeds_file, "run the seeds listed in this file");
  auto* list = app.add_flag("--list", arguments.list, "name the planted bugs");
  seeds->excludes(seed, planted_flag);
  seed->excludes(planted_flag);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  const unsigned jobs =
      arguments.jobs != 0 ? arguments.jobs : std::max(1u, std::thread::hardware_concurrency());
  if (planted_flag->count() > 0 || list->count() > 0) {
#ifdef LOCKSTEP_PLANTED_BUGS
    return list->count() > 0 ? list_bugs() : run_planted(arguments, jobs);
#else
    return run_twin(argv);
#endif
  }
  if (file->count() > 0) return run_seeds_of_file(arguments);
  if (seed->count() > 0) return run_one_seed(arguments);
  if (seeds->count() > 0) return run_seeds(arguments, jobs);
  std::fprintf(stderr, "%s", app.help().c_str());
  return exit_usage;
}
