// The participants of transactions: accounts behind a barrier, over a bad network, in a world that knows
// everything.
//
// What is asked of an account takes effect at most once for each branch and operation; a cancel that comes
// first is remembered, and the try behind it refused. Requests get lost, come late, come twice; so do
// answers, but for the last. What is asked although it cannot follow from anything is reported at once:
//
//   atomicity   confirmed without a try, or after a cancel; cancelled after a confirm
//   order       an older branch undone while a newer one, that had its effect, is not
//   attempts    more of them sent than are allowed
//
// Strand: the world's single thread. Outlives the processes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "env/http_client.h"
#include "service/context.h"
#include "sim/recipes/fleet.h"

namespace lockstep::sim {

class Participants {
 public:
  static constexpr std::int64_t accounts = 6;
  static constexpr std::int64_t opening_balance = 1000;
  static constexpr std::int64_t attempts_max = 4;  // of notifications

  Participants(Fleet& fleet, Prng prng);

  // One process's way to them. The context outlives it.
  std::unique_ptr<env::HttpClient> client(const service::Context& context);
  // Faults are over: everybody answers.
  void heal() { calm_ = true; }
  Violations check() const;

  // http://account/N/AMOUNT/OPERATION; a branch is named by its place, from 1.
  static std::string url(std::int64_t account, std::int64_t amount, const std::string& operation);

 private:
  friend class ParticipantsClient;
  enum class Stage : std::uint8_t { none, tried, refused, confirmed, cancelled };
  struct Request {
    std::string gid;
    std::string branch;
    std::string operation;
    std::int64_t account = 0;
    std::int64_t amount = 0;
  };
  struct Account {
    std::int64_t balance = opening_balance;
    std::int64_t reserved = 0;
  };
  struct BranchState {
    Stage stage = Stage::none;
    std::int64_t account = 0;
    std::int64_t amount = 0;
    bool cancelled_first = false;
  };
  static Request parse(const env::HttpCall& call);
  int serve(const Request& request);
  int serve_try(const Request& request, BranchState& branch);
  void serve_undo(const Request& request, BranchState& branch);
  void sent(const Request& request);
  void check_order(const Request& request);

  Fleet& fleet_;
  Prng prng_;
  bool calm_ = false;
  std::map<std::int64_t, Account> accounts_;
  std::map<std::pair<std::string, std::string>, BranchState> branches_;
  std::map<std::pair<std::string, std::string>, std::int64_t> deliveries_;
};

}  // namespace lockstep::sim
