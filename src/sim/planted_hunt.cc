#include "sim/planted_hunt.h"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <string_view>

#include "base/planted.h"
#include "sim/recipes/recipe_run.h"
#include "sim/runner.h"

namespace lockstep::sim {

namespace {

using planted::Bug;

// Of those that are hunted here, so many must be caught in one go. Which seeds meet a rare one moves with
// every change of the code: one that is missed today is hunted with --bug and more seeds.
constexpr int caught_min = 19;
constexpr int recipe_bugs_caught_min = 26;  // all of them

// Broken rules of the recipes show in runs of the recipes.
std::string_view recipe_of(Bug bug) {
  switch (bug) {
    case Bug::token_reused:
    case Bug::herd_wake_up:
    case Bug::renewal_after_loss:
    case Bug::permit_leaked:
      return "line";
    case Bug::counter_add_repeated:
      return "counter";
    case Bug::timer_fired_twice:
    case Bug::timer_early_after_jump:
      return "timer";
    case Bug::two_leaders:
      return "election";
    case Bug::limit_refilled_twice:
      return "limit";
    case Bug::id_worker_cut:
      return "ids";
    case Bug::stale_first_takes_effect:
      return "once";
    case Bug::latch_counts_party_twice:
      return "gathering";
    case Bug::transaction_sent_before_logged:
    case Bug::transaction_attempts_in_memory:
    case Bug::transaction_undone_oldest_first:
    case Bug::transaction_cancel_forgotten:
    case Bug::transaction_early_after_jump:
    case Bug::transaction_presumed_commit:
    case Bug::transaction_unknown_not_undone:
    case Bug::message_sent_undecided:
    case Bug::message_check_forgotten:
      return "transaction";
    case Bug::topic_offset_reused:
    case Bug::topic_claim_shared:
    case Bug::topic_lost_claim_settles:
    case Bug::topic_given_back_lost:
    case Bug::topic_letter_lost:
      return "topic";
    default:
      return {};
  }
}

// Without what it needs a bug cannot show, or hardly ever: such seeds would only cost time.
bool fits(Bug bug, const RunOptions& options) {
  const bool voters = options.members >= 3;
  const bool power_cuts = options.has(Fault::power_cut) || options.has(Fault::power_cut_all);
  switch (bug) {
    case Bug::vote_not_persisted:
      return voters && options.has(Fault::contested_election);
    case Bug::commit_without_quorum_joint:
      return voters && options.has(Fault::add_member);
    case Bug::wiped_member_founds:
    case Bug::wiped_member_votes:
      return voters && options.has(Fault::wiped);
    case Bug::lease_end_after_old_leader:  // the election must be shorter than what was lost
      return voters && options.has(Fault::transfer) &&
             options.election_timeout < std::chrono::milliseconds(700);
    case Bug::reused_read_round:
    case Bug::renewal_unconfirmed:
      return voters && options.has(Fault::isolate_leader);
    case Bug::ack_before_persist:
      return voters && options.has(Fault::power_cut_all) && options.disk_delay_ns_max > 2'500'000;
    case Bug::clock_passes_renewal:
      return options.has(Fault::pause);
    case Bug::lease_time_rounded_down:  // nothing is allowed for clocks where none runs fast or slow
      return !options.has(Fault::clock_rate);
    case Bug::ack_before_fsync:
    case Bug::write_back_leads_effects:
      return power_cuts;
    case Bug::request_id_ignored:
    case Bug::request_table_not_in_snapshot:
      return options.request_ids;
    default:
      return true;
  }
}

// Their damage needs a coincidence that a few hundred short runs seldom bring, or users, which the clients
// here have none of. Another test, which also runs in CI, catches each with a checker of its own; --bug still
// hunts them here.
constexpr std::pair<Bug, std::string_view> caught_elsewhere[] = {
    {Bug::old_term_commit_by_counting, "raft_planted_test"},
    {Bug::rename_without_directory_sync, "log_planted_test"},
    {Bug::chain_not_checked, "log_planted_test"},
    {Bug::torn_tail_not_cut, "log_planted_test"},
    {Bug::clock_passes_renewal, "replica_planted_test"},
    {Bug::renewal_unconfirmed, "replica_planted_test"},
    {Bug::term_forgets_late_renewals, "replica_planted_test"},
    {Bug::entry_stamped_when_begun, "replica_planted_test"},
    {Bug::lease_time_rounded_down, "store_planted_test"},
    {Bug::term_beginning_not_restored, "persistence_planted_test"},
    {Bug::txn_nested_permission_skipped, "store_planted_test"},
    {Bug::compensation_oldest_first, "saga_planted_test"},
};

std::string_view other_test(Bug bug) {
  const auto* found = std::ranges::find(caught_elsewhere, bug, &std::pair<Bug, std::string_view>::first);
  return found == std::end(caught_elsewhere) ? std::string_view() : found->second;
}

// A guard noticed, or the run was merely spoiled: that proves nothing about the checkers.
bool is_guard(const std::string& checker) {
  return checker == "assertion" || checker == "fatal" || checker == "totals" || checker == "process";
}

struct Catch {
  std::string checker;
  std::uint64_t seed = 0;    // zero: not caught
  std::uint64_t seeds = 0;   // run
  std::uint64_t guards = 0;  // seeds in which only a guard noticed
};

std::vector<std::uint64_t> seeds_that_fit(Bug bug, const HuntOptions& options) {
  std::vector<std::uint64_t> seeds;
  for (std::uint64_t seed = options.from; seeds.size() < options.seeds_max; ++seed) {
    const std::string_view recipe = recipe_of(bug);
    const bool fitting =
        recipe.empty() ? fits(bug, draw_options(seed)) : draw_recipe_options(seed).has(std::string(recipe));
    if (fitting) seeds.push_back(seed);
  }
  return seeds;
}

RunOneSeed run_of(Bug bug) {
  return recipe_of(bug).empty() ? run_seed : run_recipe_seed;
}

Catch hunt(Bug bug, std::string_view name, const HuntOptions& options) {
  planted::clear();
  planted::set(name, true);
  SweepOptions sweeping;
  sweeping.run = run_of(bug);
  sweeping.seeds = seeds_that_fit(bug, options);
  sweeping.jobs = options.jobs;
  sweeping.block_seeds = 1;  // what runs behind the seed that catches it is wasted
  sweeping.twice_every = 0;
  Catch found;
  sweep(sweeping, [&](const SeedSummary& summary) {
    ++found.seeds;
    const bool guarded = std::ranges::any_of(
        summary.violations, [](const Violation& violation) { return is_guard(violation.checker); });
    for (const Violation& violation : summary.violations) {
      // A member that a guard stops again and again does not come back: that is the guard's merit, too.
      const bool by_guard = is_guard(violation.checker) || (guarded && violation.checker == "liveness");
      if (by_guard) continue;
      found.checker = violation.checker;
      found.seed = summary.seed;
      return false;
    }
    if (guarded) ++found.guards;
    return true;
  });
  planted::clear();
  return found;
}

class Hunt {
 public:
  explicit Hunt(const HuntOptions& options) : options_(options) {}

  bool run() {
    std::printf("%-38s %-18s %6s %8s %7s  %s\n", "planted bug", "caught by", "seeds", "the last", "guards",
                "without it");
    for (std::size_t i = 0; i < planted::bug_count; ++i) {
      if (wanted(i)) look_for(static_cast<Bug>(i));
      std::fflush(stdout);
    }
    if (!options_.bug.empty()) return caught_ == 1 && !spoiled_;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    const int wanted_min = options_.recipes ? recipe_bugs_caught_min : caught_min;
    std::printf("%d caught here, at least %d wanted; %d by other tests; %.0f s\n", caught_, wanted_min,
                elsewhere_, seconds);
    return caught_ >= wanted_min && !spoiled_;
  }

 private:
  [[nodiscard]] bool wanted(std::size_t i) const {
    if (!options_.bug.empty()) return planted::table[i].name == options_.bug;
    return options_.recipes == !recipe_of(static_cast<Bug>(i)).empty();
  }

  void look_for(Bug bug) {
    const std::string name(planted::table[static_cast<unsigned>(bug)].name);
    if (const std::string_view test = other_test(bug); options_.bug.empty() && !test.empty()) {
      std::printf("%-38s %s\n", name.c_str(), std::string(test).c_str());
      ++elsewhere_;
      return;
    }
    const Catch found = hunt(bug, name, options_);
    if (found.seed == 0) {
      std::printf("%-38s %-18s %6" PRIu64 " %8s %7" PRIu64 "\n", name.c_str(), "NOT CAUGHT", found.seeds, "-",
                  found.guards);
      return;
    }
    ++caught_;
    const bool passes = run_of(bug)(found.seed, nullptr).passed();
    if (!passes) spoiled_ = true;
    std::printf("%-38s %-18s %6" PRIu64 " %8" PRIu64 " %7" PRIu64 "  %s\n", name.c_str(),
                found.checker.c_str(), found.seeds, found.seed, found.guards,
                passes ? "passes" : "FAILS TOO");
  }

  const HuntOptions& options_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  int caught_ = 0;
  int elsewhere_ = 0;
  bool spoiled_ = false;
};

}  // namespace

bool hunt_planted_bugs(const HuntOptions& options) {
  return Hunt(options).run();
}

}  // namespace lockstep::sim
