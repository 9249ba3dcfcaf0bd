// The participants of transactions: accounts behind a barrier, over a bad network, in a world that knows
// everything.
//
// What is asked of an account takes effect at most once for each branch and operation; a cancel that comes
// first is remembered, and the try behind it refused. Requests get lost, come late, come twice; so do
// answers, but for the last. What is asked although it cannot follow from anything is reported at once:
//
//   atomicity   confirmed without a try, or after a cancel; cancelled after a confirm; a message sent whose
//               sender did not do its part
//   order       an older branch undone while a newer one, that had its effect, is not
//   attempts    more of them sent than are allowed
//   early       asked whether the sender did its part, or undone for the time limit, before it was time,
//               whatever wall clocks showed
//
// A branch of xa is one of tcc that keeps its promise whatever happens: prepare, commit, roll back. What
// stays prepared is found by prepared(), as a resource manager lists it.
//
// Strand: the world's single thread. Outlives the processes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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

  // ---- What a transaction's owner says of it before it submits it.
  // The check of a message comes no sooner than so long after now; nor do undoings that nobody asked for.
  void begins(const std::string& gid, std::int64_t check_after_ns, std::int64_t limit_ns);
  // From now on it may be undone at any time.
  void may_abort(const std::string& gid) { times_[gid].may_abort = true; }
  // The sender's part of a message, in its own database. False: its check came first and said no.
  bool commit_locally(const std::string& gid, std::int64_t account, std::int64_t amount);

  // ---- Resource managers that come back.
  struct Prepared {
    std::string gid;
    std::string branch;
  };
  // Branches of xa that have been prepared since long, and nobody finished.
  [[nodiscard]] std::vector<Prepared> prepared_long_ago() const;
  void finish_prepared(const Prepared& which, bool commit);

  // http://account/N/AMOUNT/OPERATION; a branch is named by its place, from 1.
  static std::string url(std::int64_t account, std::int64_t amount, const std::string& operation);

 private:
  friend class ParticipantsClient;
  enum class Stage : std::uint8_t { none, tried, refused, confirmed, cancelled };
  struct Request {
    std::string gid;
    std::string branch;
    std::string operation;
    std::string mode;
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
    bool is_xa = false;
    std::int64_t tried_ns = 0;
  };
  // The sender's side of a message.
  enum class Sender : std::uint8_t { none, committed, refused };
  struct Times {
    std::int64_t begun_ns = 0;
    std::int64_t check_after_ns = 0;
    std::int64_t limit_ns = 0;
    bool may_abort = false;
  };
  static Request parse(const env::HttpCall& call);
  int serve(const Request& request);
  int serve_try(const Request& request, BranchState& branch);
  int serve_confirm(const Request& request, BranchState& branch);
  void serve_undo(const Request& request, BranchState& branch);
  int serve_check(const Request& request);
  int serve_message(const Request& request);
  void sent(const Request& request);
  void check_order(const Request& request);
  void check_time(const Request& request);

  Fleet& fleet_;
  Prng prng_;
  bool calm_ = false;
  std::map<std::int64_t, Account> accounts_;
  std::map<std::pair<std::string, std::string>, BranchState> branches_;
  std::map<std::pair<std::string, std::string>, std::int64_t> deliveries_;
  std::map<std::string, Sender> senders_;
  std::map<std::string, Times> times_;
};

}  // namespace lockstep::sim
