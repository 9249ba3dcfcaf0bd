#include "sim/recipes/participants.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/planted.h"
#include "base/text_values.h"

namespace lockstep::sim {

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t orphan_age_ns = 6000 * ms;
constexpr std::int64_t rounding_ns = 5 * ms;

std::int64_t number_of(std::string_view text) {
  const Result<std::uint64_t> number = parse_number(text);
  return number.ok() ? static_cast<std::int64_t>(*number) : 0;
}

}  // namespace

class ParticipantsClient final : public env::HttpClient {
 public:
  ParticipantsClient(Participants& participants, const service::Context& context)
      : participants_(participants), context_(context), prng_(participants.prng_.fork()) {}

  // What becomes of it is drawn here; it comes about in the world, and is told by the process's own clock.
  void call(env::HttpCall call, TimePoint deadline,
            std::move_only_function<void(Result<env::HttpReply>)> done) override {
    const Participants::Request request = Participants::parse(call);
    participants_.sent(request);
    const bool calm = participants_.calm_;
    const std::int64_t there_ns = delay_ns(calm);
    const std::int64_t back_ns = delay_ns(calm);
    auto status = std::make_shared<std::optional<int>>();
    World& world = participants_.fleet_.world();
    Participants* served_by = &participants_;
    if (calm || !prng_.chance(6, 100)) {
      world.after(there_ns, [served_by, request, status] { *status = served_by->serve(request); });
      if (!calm && prng_.chance(5, 100)) {  // the same again, later
        world.after(there_ns + delay_ns(false), [served_by, request] { served_by->serve(request); });
      }
    }
    const bool answer_lost = !calm && prng_.chance(6, 100);
    const TimePoint answered = context_.clock.now() + Duration(there_ns + back_ns);
    if (call.time_max > Duration{}) deadline = std::min(deadline, context_.clock.now() + call.time_max);
    const TimePoint when = answer_lost ? deadline : std::min(answered, deadline);
    const bool in_time = !answer_lost && answered <= deadline;
    context_.executor.schedule(
        when, [alive = std::weak_ptr(alive_), status, in_time, done = std::move(done)]() mutable {
          if (alive.expired()) return;
          if (!in_time || !status->has_value()) return done(Status(Code::unknown_outcome, "no answer"));
          done(env::HttpReply{**status, "{}", {}});
        });
  }

 private:
  std::int64_t delay_ns(bool calm) {
    if (!calm && prng_.chance(3, 100)) return static_cast<std::int64_t>(prng_.between(500, 4000)) * ms;
    return static_cast<std::int64_t>(prng_.between(100, 20'000)) * 1000;
  }

  Participants& participants_;
  service::Context context_;
  Prng prng_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

Participants::Participants(Fleet& fleet, Prng prng) : fleet_(fleet), prng_(prng) {
  for (std::int64_t account = 0; account < accounts; ++account) accounts_[account] = {};
}

std::unique_ptr<env::HttpClient> Participants::client(const service::Context& context) {
  return std::make_unique<ParticipantsClient>(*this, context);
}

std::string Participants::url(std::int64_t account, std::int64_t amount, const std::string& operation) {
  return "http://account/" + std::to_string(account) + "/" + std::to_string(amount + opening_balance) + "/" +
         operation;
}

Participants::Request Participants::parse(const env::HttpCall& call) {
  Request request;
  for (const auto& [name, value] : call.headers) {
    if (name == "Lockstep-Transaction") request.gid = value;
    if (name == "Lockstep-Branch") request.branch = value;
    if (name == "Lockstep-Operation") request.operation = value;
    if (name == "Lockstep-Mode") request.mode = value;
  }
  std::string_view rest = std::string_view(call.url).substr(std::string_view("http://account/").size());
  request.account = number_of(rest.substr(0, rest.find('/')));
  rest.remove_prefix(rest.find('/') + 1);
  request.amount = number_of(rest.substr(0, rest.find('/'))) - opening_balance;
  return request;
}

void Participants::begins(const std::string& gid, std::int64_t check_after_ns, std::int64_t limit_ns) {
  times_[gid] = {fleet_.world().now(), check_after_ns, limit_ns, false};
}

void Participants::check_time(const Request& request) {
  const auto found = times_.find(request.gid);
  if (found == times_.end()) return;
  const Times& times = found->second;
  const bool checks = request.operation == "check";
  const bool undoes = request.operation == "cancel" || request.operation == "rollback";
  if (!checks && (!undoes || times.may_abort)) return;
  const std::int64_t delay_ns = checks ? times.check_after_ns : times.limit_ns;
  const std::int64_t drift_ns = delay_ns / 1'000'000 * fleet_.options().clock_rate_ppm_max;
  const std::int64_t early_ns = times.begun_ns + delay_ns - drift_ns - rounding_ns - fleet_.world().now();
  if (early_ns <= 0) return;
  fleet_.report("early", request.gid + ": " + request.operation + " was sent " +
                             std::to_string(early_ns / ms) + " ms before its time");
}

void Participants::sent(const Request& request) {
  check_time(request);
  if (request.operation != "deliver" || request.mode == "message") return;
  const std::int64_t sent = ++deliveries_[{request.gid, request.branch}];
  if (sent > attempts_max) {
    fleet_.report("attempts", request.gid + " was sent " + std::to_string(sent) + " times to target " +
                                  request.branch + ", " + std::to_string(attempts_max) + " are allowed");
  }
}

int Participants::serve(const Request& request) {
  const bool notifies = request.operation == "deliver" && request.mode != "message";
  if (notifies) return calm_ || prng_.chance(1, 3) ? 200 : 503;
  // Overloaded, restarting, still at it: nothing happened.
  if (!calm_ && prng_.chance(8, 100)) return prng_.chance(1, 2) ? 503 : 425;
  if (request.operation == "check") return serve_check(request);
  if (request.operation == "deliver") return serve_message(request);
  BranchState& branch = branches_[{request.gid, request.branch}];
  branch.account = request.account;
  branch.amount = request.amount;
  branch.is_xa = request.operation == "prepare" || branch.is_xa;
  const bool first_phase =
      request.operation == "try" || request.operation == "action" || request.operation == "prepare";
  if (first_phase) return serve_try(request, branch);
  if (request.operation == "confirm" || request.operation == "commit") return serve_confirm(request, branch);
  serve_undo(request, branch);
  return 200;
}

int Participants::serve_confirm(const Request& request, BranchState& branch) {
  if (branch.stage == Stage::confirmed) return 200;
  if (branch.stage != Stage::tried) {
    fleet_.report("atomicity", request.gid + "/" + request.branch + " is confirmed, and it was " +
                                   (branch.stage == Stage::cancelled ? "cancelled" : "never tried"));
    return 409;
  }
  branch.stage = Stage::confirmed;
  accounts_[branch.account].reserved -= branch.amount;
  accounts_[branch.account].balance += branch.amount;
  return 200;
}

// The row that the sender's own transaction would write, written first, keeps that from committing.
int Participants::serve_check(const Request& request) {
  Sender& sender = senders_[request.gid];
  if (sender == Sender::committed) return 200;
  if (!LS_PLANTED(message_check_forgotten)) sender = Sender::refused;
  return 409;
}

bool Participants::commit_locally(const std::string& gid, std::int64_t account, std::int64_t amount) {
  Sender& sender = senders_[gid];
  if (sender != Sender::none) return false;
  sender = Sender::committed;
  accounts_[account].balance -= amount;
  return true;
}

int Participants::serve_message(const Request& request) {
  const auto sender = senders_.find(request.gid);
  if (sender == senders_.end() || sender->second != Sender::committed) {
    fleet_.report("atomicity", request.gid + " is sent, and its sender did not do its part");
    return 500;
  }
  if (++deliveries_[{request.gid, request.branch}] == 1) accounts_[request.account].balance += request.amount;
  return 200;
}

std::vector<Participants::Prepared> Participants::prepared_long_ago() const {
  std::vector<Prepared> found;
  for (const auto& [key, branch] : branches_) {
    const bool orphan = branch.is_xa && branch.stage == Stage::tried &&
                        fleet_.world().now() > branch.tried_ns + orphan_age_ns;
    if (orphan) found.push_back({key.first, key.second});
  }
  return found;
}

void Participants::finish_prepared(const Prepared& which, bool commit) {
  BranchState& branch = branches_[{which.gid, which.branch}];
  Request request;
  request.gid = which.gid;
  request.branch = which.branch;
  request.operation = commit ? "commit" : "rollback";
  if (commit) {
    serve_confirm(request, branch);
  } else {
    serve_undo(request, branch);
  }
}

// A try reserves; a saga's action takes effect at once.
int Participants::serve_try(const Request& request, BranchState& branch) {
  if (branch.stage == Stage::tried || branch.stage == Stage::confirmed) return 200;
  if (branch.stage == Stage::refused) return 409;
  if (branch.stage == Stage::cancelled && !LS_PLANTED(transaction_cancel_forgotten)) return 409;
  Account& account = accounts_[request.account];
  const bool refused = prng_.chance(15, 100) || account.balance + account.reserved + request.amount < 0;
  branch.stage = refused ? Stage::refused : Stage::tried;
  branch.tried_ns = fleet_.world().now();
  if (refused) may_abort(request.gid);
  if (refused) return 409;
  (request.operation == "action" ? account.balance : account.reserved) += request.amount;
  return 200;
}

void Participants::serve_undo(const Request& request, BranchState& branch) {
  if (branch.stage == Stage::confirmed) {
    fleet_.report("atomicity", request.gid + "/" + request.branch + " is cancelled, and it was confirmed");
    return;
  }
  if (request.operation != "rollback") check_order(request);  // what is prepared keeps its locks
  if (branch.stage == Stage::tried) {
    Account& account = accounts_[branch.account];
    (request.operation == "compensate" ? account.balance : account.reserved) -= branch.amount;
  }
  if (branch.stage != Stage::refused) branch.stage = Stage::cancelled;
}

void Participants::check_order(const Request& request) {
  for (const auto& [key, other] : branches_) {
    const bool newer = key.first == request.gid && key.second > request.branch;
    if (!newer || other.stage != Stage::tried) continue;
    fleet_.report("order", request.gid + ": branch " + request.branch + " is undone, and " + key.second +
                               ", which came after it, is not");
  }
}

Violations Participants::check() const {
  Violations violations;
  std::int64_t sum = 0;
  for (const auto& [number, account] : accounts_) {
    sum += account.balance;
    if (account.reserved == 0) continue;
    violations.push_back({"conservation", "account " + std::to_string(number) + " still has " +
                                              std::to_string(account.reserved) + " reserved"});
  }
  if (sum != accounts * opening_balance) {
    violations.push_back({"conservation", "all accounts together have " + std::to_string(sum) +
                                              " instead of " + std::to_string(accounts * opening_balance)});
  }
  return violations;
}

}  // namespace lockstep::sim
