// lockstepd against etcd over the wire: generated sequences, valid and not, sent as gRPC to real processes of
// both; status, words and every field of every answer are compared (pair.h says what is left out), and
// revisions agree.
//
//   wire_differential_test [--seed N] [--operations N] [--members N]
//
// The same seed and numbers give the same sequence. A sequence that differs is shortened before it is
// printed.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/testing_rounds.h"
#include "operation.h"
#include "pair.h"

namespace lockstep::wire_test {
namespace {

std::uint64_t first_seed = 1;
std::size_t operations_asked = 0;
std::size_t members_asked = 0;

constexpr std::size_t sequence_length = 1500;
constexpr std::size_t shrink_attempts_max = 40;
constexpr unsigned wrong_percent = 12;
// On a machine under load a leader may be lost. Then nothing can be said of the sequence, and another one is
// run.
constexpr std::size_t outages_max = 3;

struct Totals {
  std::size_t operations = 0;
  std::size_t errors = 0;
  std::size_t events = 0;
  std::size_t stricter = 0;
  std::size_t outages = 0;
};

std::optional<Mismatch> replay(const std::vector<Operation>& operations, std::size_t members) {
  Pair pair(members);
  for (const Operation& operation : operations) {
    if (auto mismatch = pair.run(operation)) return mismatch;
  }
  return pair.catch_up();
}

// Leaves out ever smaller parts, as long as the sequence still fails.
std::vector<Operation> shrink(std::vector<Operation> operations, std::size_t members) {
  std::size_t attempts = 0;
  for (std::size_t part = std::max<std::size_t>(operations.size() / 2, 1); attempts < shrink_attempts_max;) {
    bool shortened = false;
    for (std::size_t begin = 0; begin < operations.size() && attempts < shrink_attempts_max;) {
      std::vector<Operation> shorter = operations;
      const auto first = shorter.begin() + static_cast<std::ptrdiff_t>(begin);
      shorter.erase(first, first + static_cast<std::ptrdiff_t>(std::min(part, operations.size() - begin)));
      ++attempts;
      const auto mismatch = replay(shorter, members);
      if (mismatch && !mismatch->outage) {
        operations = std::move(shorter);
        shortened = true;
      } else {
        begin += part;
      }
    }
    if (part == 1 && !shortened) break;
    part = std::max<std::size_t>(part / 2, 1);
  }
  return operations;
}

void report(std::uint64_t seed, const Mismatch& mismatch, const std::vector<Operation>& operations,
            std::size_t members) {
  std::cout << "mismatch with seed " << seed << " after " << operations.size() << " operations\n"
            << mismatch.report << std::flush;
  const std::vector<Operation> shortest = shrink(operations, members);
  std::cout << "shortest failing sequence found:\n";
  for (const Operation& operation : shortest) std::cout << "  " << describe(operation) << "\n";
  if (const auto again = replay(shortest, members)) std::cout << again->report;
  FAIL() << "seed " << seed;
}

// One sequence on fresh clusters.
void run_sequence(std::uint64_t seed, std::size_t length, std::size_t members, Totals* totals) {
  Prng prng(seed);
  Pair pair(members);
  std::vector<Operation> operations;
  std::optional<Mismatch> mismatch;
  while (operations.size() < length && !mismatch) {
    Operation operation = generate(prng, pair.known(), members, wrong_percent);
    if (is_stricter_here(operation, pair.known())) {
      ++totals->stricter;
      continue;
    }
    operations.push_back(operation);
    mismatch = pair.run(operation);
  }
  if (!mismatch) mismatch = pair.catch_up();
  if (mismatch && mismatch->outage && totals->outages < outages_max) {
    std::cout << "seed " << seed << ": a server was out, another sequence follows\n" << mismatch->report;
    ++totals->outages;
    return;
  }
  if (mismatch) return report(seed, *mismatch, operations, members);
  totals->operations += operations.size();
  totals->errors += pair.errors();
  totals->events += pair.events();
}

void run_sequences(std::size_t operations, std::size_t members) {
  if (!etcd_test::ServerCluster::etcd_installed()) GTEST_SKIP() << "no etcd installed (Debian: etcd-server)";
  if (members_asked != 0 && members_asked != members)
    GTEST_SKIP() << "another number of members is asked for";
  if (operations_asked != 0) operations = operations_asked;
  Totals totals;
  for (std::uint64_t seed = first_seed; totals.operations < operations && !testing::Test::HasFailure();
       ++seed) {
    std::cout << "seed " << seed << ", " << members << " members" << std::endl;
    run_sequence(seed, std::min(sequence_length, operations - totals.operations), members, &totals);
  }
  std::cout << totals.operations << " operations compared, " << totals.errors << " of them errors, "
            << totals.events << " events, " << totals.stricter << " transactions stricter than etcd\n";
  if (testing::Test::HasFailure()) return;
  EXPECT_GT(totals.errors, totals.operations / 50) << "the generator hardly makes errors any more";
  EXPECT_GT(totals.events, totals.operations / 50) << "hardly anything is written any more";
}

TEST(WireDifferential, EveryAnswerIsEtcds) {
  run_sequences(rounds(3000), 1);
}

TEST(WireDifferential, SoIsThatOfThreeMembersAskedInTurn) {
  run_sequences(rounds(500), 3);
}

}  // namespace

void parse_arguments(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--seed") first_seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (argument == "--operations") operations_asked = std::strtoull(argv[i + 1], nullptr, 10);
    if (argument == "--members") members_asked = std::strtoull(argv[i + 1], nullptr, 10);
  }
}

}  // namespace lockstep::wire_test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  lockstep::wire_test::parse_arguments(argc, argv);
  return RUN_ALL_TESTS();
}
