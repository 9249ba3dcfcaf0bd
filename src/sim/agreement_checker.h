// What the members must agree on, whatever clients saw (I3, I7, I8).
//
//   AgreementChecker  one leader a term; one entry an index; one digest an applied index
//   EffectChecker     each operation took effect at most once, with or without retries
//   SumChecker        the accounts' sum is the same at every revision and in every answer
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "sim/history.h"
#include "sim/model_store.h"

namespace lockstep::sim {

class AgreementChecker {
 public:
  static constexpr const char* name = "agreement";
  Violations check(const History& history) const;
};

class EffectChecker {
 public:
  static constexpr const char* name = "effect";
  Violations check(const History& history) const;
};

// An account is a key with the prefix whose value is "tag:balance".
class SumChecker {
 public:
  static constexpr const char* name = "sum";
  SumChecker(std::string prefix, std::int64_t accounts, std::int64_t sum)
      : prefix_(std::move(prefix)), accounts_(accounts), sum_(sum) {}
  Violations check(const History& history) const;
  static std::int64_t balance_of(std::string_view value);

 private:
  std::string prefix_;
  std::int64_t accounts_;
  std::int64_t sum_;
};

}  // namespace lockstep::sim
