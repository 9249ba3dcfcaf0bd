#include "sim/recipes/transaction_model.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "service/transaction/coordinator.h"
#include "service/transaction/transactions.h"

namespace lockstep::sim {

namespace {

namespace tx = service::transaction;
using tx::Mode;
using tx::Verdict;

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t patience_ns = 90'000 * ms;

tx::CoordinatorOptions coordinator_options(const FleetMachine& machine) {
  tx::CoordinatorOptions options;
  options.name = "machine " + std::to_string(machine.index());
  options.session_ttl = 2s;
  options.calls_max = 16;
  options.calls_per_host_max = 16;
  options.machines_max = 4;
  return options;
}

class Installed final : public Installation {
 public:
  Installed(TransactionModel& model, FleetMachine& machine)
      : client(model.participants().client(machine.context())),
        transactions(machine.context()),
        coordinator(machine.context(), *client, coordinator_options(machine)) {}
  std::unique_ptr<env::HttpClient> client;
  tx::Transactions transactions;
  tx::Coordinator coordinator;
};

// One transfer: from an account, to another, in two branches.
struct Transfer {
  std::int64_t from = 0;
  std::int64_t to = 0;
  std::int64_t amount = 0;
  [[nodiscard]] std::string branch(int number, const std::string& first, const std::string& forward,
                                   const std::string& back) const {
    const std::int64_t account = number == 1 ? from : to;
    const std::int64_t change = number == 1 ? -amount : amount;
    std::string text = R"({"id":")" + std::to_string(number) + "\"";
    if (!first.empty()) text += ",\"" + first + "\":\"" + Participants::url(account, change, first) + "\"";
    text += ",\"" + forward + "\":\"" + Participants::url(account, change, forward) + "\"";
    return text + ",\"" + back + "\":\"" + Participants::url(account, change, back) + "\"}";
  }
  [[nodiscard]] std::string tcc(bool tried, const std::string& retry) const {
    const std::string first = tried ? "try" : "";
    return R"({"branches":[)" + branch(1, first, "confirm", "cancel") + "," +
           branch(2, first, "confirm", "cancel") + R"(],"timeout":"4s","retry":)" + retry + "}";
  }
  [[nodiscard]] std::string xa(bool prepared, const std::string& retry) const {
    const std::string first = prepared ? "prepare" : "";
    return R"({"branches":[)" + branch(1, first, "commit", "rollback") + "," +
           branch(2, first, "commit", "rollback") + R"(],"timeout":"4s","retry":)" + retry + "}";
  }
  [[nodiscard]] std::string message(const std::string& retry) const {
    return R"({"check":")" + Participants::url(from, 0, "check") +
           R"(","check_after":"2s","targets":[{"id":"1","url":")" + Participants::url(to, amount, "deliver") +
           R"("}],"retry":)" + retry + "}";
  }
  [[nodiscard]] std::string saga(const std::string& retry) const {
    const auto step = [&](int number) {
      const std::int64_t account = number == 1 ? from : to;
      const std::int64_t change = number == 1 ? -amount : amount;
      return R"({"name":")" + std::to_string(number) + R"(","action":")" +
             Participants::url(account, change, "action") + R"(","compensate":")" +
             Participants::url(account, change, "compensate") + R"("})";
    };
    return R"({"retry":)" + retry + R"(,"steps":[)" + step(1) + "," + step(2) + "]}";
  }
};

Transfer draw_transfer(FleetWorker& worker) {
  Transfer transfer;
  transfer.from = static_cast<std::int64_t>(worker.prng().below(Participants::accounts));
  transfer.to =
      (transfer.from + 1 + static_cast<std::int64_t>(worker.prng().below(Participants::accounts - 1))) %
      Participants::accounts;
  transfer.amount = static_cast<std::int64_t>(worker.prng().between(1, 300));
  return transfer;
}

constexpr const char* retry_rule = R"({"timeout":"400ms","interval":"100ms","interval_max":"1s"})";

constexpr std::int64_t limit_ns = 4000 * ms;
constexpr std::int64_t check_after_ns = 2000 * ms;

std::string notification() {
  return R"({"targets":[{"id":"1","url":")" + Participants::url(0, 0, "deliver") +
         R"("}],"retry":{"timeout":"400ms","interval":"200ms","interval_max":"1s","attempts_max":)" +
         std::to_string(Participants::attempts_max) + "}}";
}

// What one transaction is to be, and who decides it.
struct Draft {
  tx::Submission submission;
  Transfer transfer;
  bool owned = false;  // whoever begins it calls its branches, and decides
};

Draft draw_draft(FleetWorker& worker, const std::string& gid) {
  Draft draft;
  draft.transfer = draw_transfer(worker);
  draft.submission.gid = gid;
  const std::uint64_t kind = worker.prng().below(14);
  draft.owned = kind < 5;
  if (kind < 3 || (kind >= 5 && kind < 8)) {
    draft.submission.mode = Mode::tcc;
    draft.submission.document = draft.transfer.tcc(!draft.owned, retry_rule);
  } else if (kind < 10) {
    draft.submission.mode = Mode::xa;
    draft.submission.document = draft.transfer.xa(!draft.owned, retry_rule);
  } else if (kind < 12) {
    draft.submission.mode = Mode::message;
    draft.submission.document = draft.transfer.message(retry_rule);
  } else if (kind < 13) {
    draft.submission.mode = Mode::saga;
    draft.submission.document = draft.transfer.saga(retry_rule);
  } else {
    draft.submission.mode = Mode::notification;
    draft.submission.document = notification();
  }
  return draft;
}

// A first phase that whoever began the transaction calls itself. True: done, for certain.
Task<bool> try_branch(Installed& installed, FleetWorker& worker, std::string gid, int number, Mode mode,
                      Transfer transfer) {
  const std::string operation = mode == Mode::xa ? "prepare" : "try";
  env::HttpCall call;
  call.url = Participants::url(number == 1 ? transfer.from : transfer.to,
                               number == 1 ? -transfer.amount : transfer.amount, operation);
  call.headers = {{"Lockstep-Transaction", gid},
                  {"Lockstep-Branch", std::to_string(number)},
                  {"Lockstep-Operation", operation}};
  const TimePoint deadline = worker.context().clock.now() + 500ms;
  auto start = [&](auto done) { installed.client->call(std::move(call), deadline, std::move(done)); };
  const Result<env::HttpReply> reply = co_await from_callback<Result<env::HttpReply>>(std::move(start));
  co_return reply.ok() && reply->status == 200;
}

Task<void> decide(TransactionModel& model, FleetWorker& worker, Installed& installed, std::string gid,
                  bool commit) {
  worker.doing((commit ? "committing " : "aborting ") + gid);
  if (!commit) model.participants().may_abort(gid);
  const auto decided = co_await installed.transactions.decide(gid, commit, worker.within(500, 5000));
  if (!decided.ok()) co_return;
  model.was_decided(gid, commit);
  model.seen(gid, decided->state.verdict);
}

// The sender of a message does its part, in time or not, and says so, or forgets to.
Task<void> send(TransactionModel& model, FleetWorker& worker, Installed& installed, std::string gid,
                Transfer transfer) {
  co_await worker.pause(0, worker.chance(1, 3) ? 4000 : 300);
  const bool wants = worker.chance(3, 4);
  const bool done = wants && model.participants().commit_locally(gid, transfer.from, transfer.amount);
  if (wants && !done) co_return;  // the check came first: there is nothing to say
  if (worker.chance(1, 2)) co_await decide(model, worker, installed, gid, done);
}

// What whoever began it does then.
Task<void> go_on(TransactionModel& model, FleetWorker& worker, Installed& installed, std::string gid,
                 Mode mode, bool owned, Transfer transfer) {
  if (mode == Mode::message) {
    co_await send(model, worker, installed, gid, transfer);
  } else if (owned) {
    const bool first = co_await try_branch(installed, worker, gid, 1, mode, transfer);
    const bool second = first && co_await try_branch(installed, worker, gid, 2, mode, transfer);
    if (!worker.chance(1, 6)) co_await decide(model, worker, installed, gid, second);
  } else if ((mode == Mode::tcc || mode == Mode::xa) && worker.chance(1, 4)) {
    co_await worker.pause(0, 60);  // somebody who thinks better of it, at the worst of times
    co_await decide(model, worker, installed, gid, false);
  }
}

Task<void> submit(TransactionModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  while (worker.wanted()) {
    co_await worker.pause(20, 800);
    const std::string gid = model.begin();
    Draft draft = draw_draft(worker, gid);
    const Mode mode = draft.submission.mode;
    model.participants().begins(gid, check_after_ns, limit_ns);
    worker.doing("submitting " + gid);
    const auto submitted =
        co_await installed.transactions.submit(std::move(draft.submission), worker.within(500, 5000));
    if (!submitted.ok()) continue;
    model.was_submitted(gid);
    co_await go_on(model, worker, installed, gid, mode, draft.owned, draft.transfer);
    if (!worker.chance(1, 3)) continue;
    worker.doing("waiting for " + gid);
    const auto done = co_await installed.transactions.wait(gid, worker.within(500, 8000));
    if (done.ok()) model.seen(gid, done->state.verdict);
  }
}

// A resource manager asks what became of what it finds prepared. What nobody knows of is presumed aborted.
Task<void> recover(TransactionModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  while (worker.wanted()) {
    co_await worker.pause(500, 4000);
    for (const Participants::Prepared& which : model.participants().prepared_long_ago()) {
      const auto found = co_await installed.transactions.get(which.gid, worker.within(500, 3000));
      if (found.ok()) {
        const Verdict verdict = found->state.verdict;
        const bool commits = verdict == Verdict::committing || verdict == Verdict::committed;
        if (commits) model.participants().finish_prepared(which, true);
        if (verdict == Verdict::aborted) model.participants().finish_prepared(which, false);
      } else if (found.status().code() == Code::not_found) {
        model.participants().finish_prepared(which, false);
      }
    }
  }
}

// Looks at everything, again and again, until all is finished.
Task<void> look(TransactionModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  std::int64_t stopping_since_ns = 0;
  tx::ListRequest request;
  while (true) {
    if (!worker.wanted()) {
      if (stopping_since_ns == 0) stopping_since_ns = model.now_ns();
      if (model.all_done() || model.now_ns() > stopping_since_ns + patience_ns) co_return;
    }
    worker.doing("looking, " + model.first_open());
    const auto listed = co_await installed.transactions.list(request, worker.within(1000, 5000));
    request.cursor = listed.ok() ? listed->cursor : std::string();
    if (listed.ok()) {
      for (const tx::TransactionView& view : listed->transactions) model.seen(view.gid, view.state.verdict);
    }
    co_await worker.pause(50, 1000);
  }
}

// Takes over now and then, whoever coordinates.
Task<void> usurp(FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  while (worker.wanted()) {
    co_await worker.pause(300, 8000);
    installed.coordinator.lead(false);
    installed.coordinator.lead(true);
  }
}

}  // namespace

void TransactionModel::populate(FleetMachine& machine) {
  auto installed = std::make_unique<Installed>(*this, machine);
  Installed& recipes = *installed;
  machine.install(std::move(installed));
  machine.run(submit(*this, machine, recipes));
  machine.run(look(*this, machine, recipes));
  machine.run(recover(*this, machine, recipes));
  machine.run(usurp(machine, recipes));
}

void TransactionModel::on_tick() {
  if (fleet_.stopping()) participants_.heal();
}

std::string TransactionModel::begin() {
  std::string gid = std::to_string(transactions_.size() + 1);
  gid.insert(0, 6 - std::min<std::size_t>(gid.size(), 6), '0');
  transactions_[gid] = {};
  return gid;
}

void TransactionModel::was_decided(const std::string& gid, bool commit) {
  Record& record = transactions_[gid];
  (commit ? record.committed : record.aborted) = true;
  if (record.committed && record.aborted) fleet_.report("decided", gid + " was decided both ways");
}

// Answers come late: one that is behind what was seen says nothing. One that is beside it does.
void TransactionModel::seen(const std::string& gid, Verdict verdict) {
  Record& record = transactions_[gid];
  record.submitted = true;
  const auto commits = [](Verdict one) { return one == Verdict::committing || one == Verdict::committed; };
  const auto aborts = [](Verdict one) { return one == Verdict::aborting || one == Verdict::aborted; };
  const bool contrary = (commits(verdict) && (aborts(record.verdict) || record.aborted)) ||
                        (aborts(verdict) && (commits(record.verdict) || record.committed));
  if (contrary) {
    fleet_.report("monotone", gid + " is " + std::string(tx::to_string(verdict)) + ", having been " +
                                  std::string(tx::to_string(record.verdict)) + " or decided otherwise");
  }
  if (tx::final(record.verdict) || verdict == record.verdict) return;
  if (!tx::final(verdict) && !commits(verdict) && !aborts(verdict)) return;
  if (tx::final(verdict)) ++finished_;
  record.verdict = verdict;
}

bool TransactionModel::all_done() const {
  return first_open().empty();
}

std::string TransactionModel::first_open() const {
  const auto open = [](const auto& entry) {
    return entry.second.submitted && !tx::final(entry.second.verdict);
  };
  const auto found = std::ranges::find_if(transactions_, open);
  return found == transactions_.end() ? std::string() : found->first;
}

Violations TransactionModel::check(const History& /*history*/) {
  Violations violations = participants_.check();
  for (const auto& [gid, record] : transactions_) {
    if (!record.submitted || tx::final(record.verdict)) continue;
    violations.push_back({"stuck", gid + " was submitted and never finished; it was seen " +
                                       std::string(tx::to_string(record.verdict))});
  }
  return violations;
}

}  // namespace lockstep::sim
