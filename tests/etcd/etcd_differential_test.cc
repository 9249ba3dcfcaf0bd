// The state machine against a real etcd: generated sequences, every field of every answer compared.
//
// Not compared, because they cannot be equal: cluster_id, member_id and raft_term of headers; the remaining
// TTL of a lease (only that it is within the granted one). Compared as sets, because etcd walks a map: the
// keys of a lease, and the list of leases. etcd 3.4 sends no header with alarm answers. Not sent:
// transactions refused here and accepted there by oversight (validate.h); they are counted. The gateway
// cannot express: several answers of one keep-alive stream, cancellation.
//
//   etcd_differential_test [--seed N] [--operations N]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include "base/testing_rounds.h"
#include "candidate.h"
#include "gateway.h"
#include "server_cluster.h"
#include "step.h"
#include "wire_json.h"

namespace lockstep::etcd_test {
namespace {

struct Options {
  std::uint64_t seed = 1;
  std::size_t operations = rounds(20'000);
};
Options options;

constexpr std::size_t sequence_length = 2500;
constexpr std::size_t shrink_attempts_max = 120;

void sort_list(boost::json::value& answer, const char* name) {
  auto* list = answer.as_object().if_contains(name);
  if (list == nullptr) return;
  std::ranges::sort(list->as_array(), {},
                    [](const boost::json::value& value) { return boost::json::serialize(value); });
}

// Takes out what is not compared.
void normalize(const Step& step, boost::json::value& answer) {
  if (std::holds_alternative<store::LeaseLeasesResponse>(step)) sort_list(answer, "leases");
  if (std::holds_alternative<store::AlarmRequest>(step)) sort_list(answer, "alarms");
  if (!std::holds_alternative<store::LeaseTimeToLiveRequest>(step)) return;
  sort_list(answer, "keys");
  boost::json::object& object = answer.as_object();
  const auto* granted = object.if_contains("grantedTTL");
  const auto* remaining = object.if_contains("TTL");
  if (granted == nullptr || remaining == nullptr) return;
  const std::int64_t granted_s = std::stoll(std::string(granted->as_string()));
  const std::int64_t remaining_s = std::stoll(std::string(remaining->as_string()));
  EXPECT_LE(remaining_s, granted_s);
  EXPECT_GT(remaining_s, 0);
  object.erase("TTL");
}

struct Mismatch {
  std::size_t position = 0;
  std::string report;
};

struct Totals {
  std::size_t operations = 0;
  std::size_t errors = 0;
  std::size_t stricter = 0;
  std::size_t restarts = 0;
};

// A candidate beside a fresh etcd. As on a busy leader: requests travel in pipelined groups, and the
// candidate gathers them into entries; answers are compared when they come.
class Pair {
 public:
  std::optional<Mismatch> run(const Step& step) {
    asked_.push_back(step);
    gateway_.send(to_http(step));
    // What is stricter here depends on the alarms, so the generator must know them.
    const bool wait = std::holds_alternative<store::AlarmRequest>(step) ||
                      asked_.size() - expected_.size() >= pipelined_max;
    return wait ? exchange() : std::nullopt;
  }
  std::optional<Mismatch> flush() {
    if (auto mismatch = exchange()) return mismatch;
    candidate_.flush();
    return compare();
  }
  Candidate& candidate() { return candidate_; }
  [[nodiscard]] std::size_t errors() const { return errors_; }

 private:
  static constexpr std::size_t pipelined_max = 16;

  std::optional<Mismatch> exchange() {
    while (expected_.size() < asked_.size()) {
      candidate_.step(asked_[expected_.size()]);
      expected_.push_back(gateway_.receive());
    }
    return compare();
  }
  std::optional<Mismatch> compare() {
    for (boost::json::value& answer : candidate_.take_answers()) {
      const Step& step = asked_[compared_];
      boost::json::value& expected = expected_[compared_];
      normalize(step, expected);
      normalize(step, answer);
      if (expected.as_object().contains("error")) ++errors_;
      if (expected != answer) {
        return Mismatch{compared_, "request:  " + describe(step) +
                                       "\netcd:     " + boost::json::serialize(expected) +
                                       "\nlockstep: " + boost::json::serialize(answer) + "\n"};
      }
      ++compared_;
    }
    return std::nullopt;
  }

  ServerCluster etcd_ = ServerCluster::etcd();
  Gateway gateway_{etcd_.client_port()};
  Candidate candidate_;
  std::vector<Step> asked_;
  std::vector<boost::json::value> expected_;
  std::size_t compared_ = 0;
  std::size_t errors_ = 0;
};

std::optional<Mismatch> replay(const std::vector<Step>& steps) {
  Pair pair;
  for (const Step& step : steps) {
    if (auto mismatch = pair.run(step)) return mismatch;
  }
  return pair.flush();
}

// Leaves out ever smaller parts, as long as the sequence still fails.
std::vector<Step> shrink(std::vector<Step> steps) {
  std::size_t attempts = 0;
  for (std::size_t part = std::max<std::size_t>(steps.size() / 2, 1); attempts < shrink_attempts_max;) {
    bool shortened = false;
    for (std::size_t begin = 0; begin < steps.size() && attempts < shrink_attempts_max;) {
      std::vector<Step> shorter(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(begin));
      const std::size_t end = std::min(begin + part, steps.size());
      shorter.insert(shorter.end(), steps.begin() + static_cast<std::ptrdiff_t>(end), steps.end());
      ++attempts;
      if (!shorter.empty() && replay(shorter).has_value()) {
        steps = std::move(shorter);
        shortened = true;
      } else {
        begin = end;
      }
    }
    if (part == 1 && !shortened) break;
    part = std::max<std::size_t>(part / 2, 1);
  }
  return steps;
}

void report(std::uint64_t seed, const Mismatch& mismatch, std::vector<Step> steps) {
  std::cout << "mismatch with seed " << seed << " at step " << mismatch.position << "\n" << mismatch.report;
  const std::vector<Step> shortest = shrink(std::move(steps));
  std::cout << "shortest failing sequence found (entries of one command):\n";
  for (const Step& step : shortest) std::cout << "  " << describe(step) << "\n";
  if (const auto again = replay(shortest)) std::cout << again->report;
  FAIL() << "seed " << seed;
}

// One sequence against a fresh etcd.
void run_sequence(std::uint64_t seed, std::size_t length, Totals* totals) {
  Prng prng(seed);
  Pair pair;
  std::vector<Step> steps;
  while (steps.size() < length) {
    if (prng.chance(1, 40)) pair.candidate().set_batch(prng.chance(1, 3) ? 1 : prng.between(2, 40));
    std::optional<Mismatch> mismatch;
    if (prng.chance(1, 150)) {
      mismatch = pair.flush();
      if (!mismatch) pair.candidate().restart();
      ++totals->restarts;
    }
    if (!mismatch) {
      const Known known = pair.candidate().known();
      Step step = store::testing::generate(prng, known);
      const auto* txn = std::get_if<store::TxnRequest>(&step);
      if (txn != nullptr && is_stricter_here(*txn, known)) {
        ++totals->stricter;
        continue;
      }
      steps.push_back(step);
      mismatch = pair.run(step);
    }
    if (!mismatch && steps.size() == length) mismatch = pair.flush();
    if (mismatch) return report(seed, *mismatch, std::move(steps));
  }
  totals->operations += steps.size();
  totals->errors += pair.errors();
}

TEST(EtcdDifferential, EveryAnswerIsEtcds) {
  if (!ServerCluster::etcd_installed()) GTEST_SKIP() << "no etcd installed (Debian: etcd-server)";
  Totals totals;
  for (std::uint64_t seed = options.seed; totals.operations < options.operations && !HasFailure(); ++seed) {
    std::cout << "seed " << seed << std::endl;
    run_sequence(seed, std::min(sequence_length, options.operations - totals.operations), &totals);
  }
  std::cout << totals.operations << " operations compared, " << totals.errors << " of them errors, "
            << totals.restarts << " restarts, " << totals.stricter << " transactions stricter than etcd\n";
  if (HasFailure()) return;
  EXPECT_GT(totals.errors, totals.operations / 50) << "the generator hardly makes errors any more";
  EXPECT_GT(totals.restarts, 0u);
}

}  // namespace

void parse_arguments(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--seed" && i + 1 < argc) options.seed = std::strtoull(argv[++i], nullptr, 10);
    if (argument == "--operations" && i + 1 < argc)
      options.operations = std::strtoull(argv[++i], nullptr, 10);
  }
}

}  // namespace lockstep::etcd_test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  lockstep::etcd_test::parse_arguments(argc, argv);
  return RUN_ALL_TESTS();
}
