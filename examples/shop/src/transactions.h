// The way to Lockstep's distributed transactions: submit, and wait for the end.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace shop {

enum class End {
  committed,
  not_committed,  // for good: everything that was done is undone
  unknown,        // not over yet, or nobody could be asked; it goes on by itself if it was submitted
};

// Threads: any number.
class Transactions {
 public:
  // "host:port,host:port"
  explicit Transactions(const std::string& endpoints);
  // One transaction with this id, however often it is asked for, whoever asks: two calls with the same are
  // one. Goes from member to member until one answers, as long as `patience`.
  [[nodiscard]] End run(const std::string& gid, const std::string& mode, const nlohmann::json& document,
                        std::chrono::milliseconds patience) const;

 private:
  std::vector<std::string> endpoints_;
};

}  // namespace shop
