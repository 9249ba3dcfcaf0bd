// What owners and operators do to a transaction: read it, take a step, write it if nobody else did meanwhile.
#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "service/flat_json.h"
#include "service/repeat.h"
#include "service/store_requests.h"
#include "service/transaction/document.h"
#include "service/transaction/transactions.h"
#include "service/transaction/transition.h"
#include "store/awaitable.h"

namespace lockstep::service::transaction {
namespace {

struct Editing {
  Loaded loaded;
  std::unique_ptr<Machine> machine;
  std::int64_t wall_ms = 0;
  std::vector<store::RequestOperation> also;  // written along
};
// What a step can end though it cannot be read.
enum class Damaged : std::uint8_t { refused, accepted };

// True: it changed something. False: it is as asked for already.
using Step = std::function<Result<bool>(Editing&)>;

JournalLine line_of(const Editing& editing, Entry entry) {
  JournalLine line;
  line.at_ms = std::max<std::int64_t>(editing.wall_ms - editing.loaded.view.state.created_ms, 0);
  line.entry = std::move(entry);
  return line;
}

Result<bool> tell(Editing& editing, Entry entry) {
  State& state = editing.loaded.view.state;
  LS_RETURN_IF_ERROR(record(state, *editing.machine, line_of(editing, std::move(entry))));
  settle(state, *editing.machine, editing.machine->next(), editing.wall_ms);
  state.next_ms = 0;
  return true;
}

Result<bool> tell(Editing& editing, Entry::Kind kind) {
  Entry entry;
  entry.kind = kind;
  return tell(editing, std::move(entry));
}

Task<Result<TransactionView>> edit(Context context, std::string gid, Step step, store::CallOptions options,
                                   Damaged damaged = Damaged::refused) {
  if (Status good = check_gid(gid); !good.ok()) co_return good;
  Repetition sends(context, std::move(options));
  while (co_await sends.next()) {
    Editing editing;
    editing.wall_ms = std::max<std::int64_t>(context.clock.wall_now() / 1ms, 0);
    Result<Loaded> loaded = co_await load(context, gid, sends.call());
    if (loaded.status().code() == Code::failed_precondition && damaged == Damaged::accepted)
      loaded = co_await load_damaged(context, gid, sends.call());
    if (!loaded.ok()) {
      // Only reading failed: what was written before may be there.
      sends.failed(loaded.status());
      if (loaded.status().code() == Code::not_found) break;
      continue;
    }
    editing.loaded = *std::move(loaded);
    if (!editing.loaded.remembered) {
      auto machine =
          replay(editing.loaded.view.state, gid, editing.loaded.document, editing.loaded.registered);
      if (machine.ok()) editing.machine = *std::move(machine);
    }
    const Result<bool> stepped = step(editing);
    if (!stepped.ok() && sends.in_doubt()) break;
    if (!stepped.ok()) co_return stepped.status();
    if (!*stepped) co_return std::move(editing.loaded.view);
    if (editing.loaded.remembered) co_return errors::transaction_forgotten();
    const std::string where = editing.loaded.finished ? finished_key(gid) : unfinished_key(gid);
    store::TxnRequest txn;
    txn.compare.push_back(modified_at(where, editing.loaded.view.revision));
    txn.success = operations_of(gid, editing.loaded.view.state, editing.loaded.finished);
    std::move(editing.also.begin(), editing.also.end(), std::back_inserter(txn.success));
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context.store, std::move(txn), sends.call());
    if (!answer.ok()) {
      sends.failed(answer.status());
    } else if (answer->succeeded) {
      editing.loaded.view.revision = answer->header.revision;
      co_return std::move(editing.loaded.view);
    } else {
      sends.again();
    }
  }
  if (sends.in_doubt()) {
    co_return Status(Code::unknown_outcome, "transaction: that may have been done: look at it");
  }
  co_return sends.last_failure();
}

Status needs_machine(const Editing& editing) {
  if (editing.machine != nullptr) return {};
  if (editing.loaded.remembered) return errors::transaction_forgotten();
  if (editing.loaded.document.empty()) return errors::definition_gone();
  return {Code::failed_precondition,
          "transaction: its journal does not fit its definition: finish it by force"};
}

Step audited(std::string action, std::string branch, OperatorNote note, Step step) {
  return [action = std::move(action), branch = std::move(branch), note = std::move(note),
          step = std::move(step)](Editing& editing) -> Result<bool> {
    State& state = editing.loaded.view.state;
    Audit audit;
    audit.action = action;
    audit.branch = branch;
    audit.by = printable(note.by);
    audit.user = printable(note.user);
    audit.reason = printable(note.reason);
    audit.was = to_string(state.verdict);
    audit.at_ms = editing.wall_ms;
    Result<bool> stepped = step(editing);
    if (!stepped.ok() || !*stepped) return stepped;
    LS_ASSIGN_OR_RETURN(std::string key, audit_key(editing.loaded.view.gid, state.audits + 1));
    ++state.audits;
    editing.also.push_back(operation(put_of(std::move(key), encode(audit), LeaseId())));
    return true;
  };
}

// What the first pass found under way: a later pass skips that, and nothing that came after it.
struct Meant {
  Operation operation = Operation::action;
  std::size_t outcomes = 0;  // of it that were recorded before
};

// Those that are recorded of it.
std::vector<Outcome> outcomes_of(const State& state, const std::string& branch, Operation operation) {
  std::vector<Outcome> outcomes;
  const Result<std::vector<JournalLine>> lines = parse_journal(state.journal);
  if (!lines.ok()) return outcomes;
  for (const JournalLine& line : *lines) {
    const Entry& entry = line.entry;
    if (entry.kind == Entry::Kind::outcome && entry.branch == branch && entry.operation == operation)
      outcomes.push_back(entry.outcome);
  }
  return outcomes;
}

Result<bool> skip_branch(Editing& editing, const std::string& branch, std::optional<Meant>& meant) {
  if (meant.has_value()) {
    const auto known = outcomes_of(editing.loaded.view.state, branch, meant->operation);
    const bool over = known.size() > meant->outcomes;
    if (over && (known.back() == Outcome::skipped || known.back() == Outcome::done)) return false;
  }
  if (editing.loaded.finished) return errors::transaction_finished();
  LS_RETURN_IF_ERROR(needs_machine(editing));
  const Next next = editing.machine->next();
  Entry entry;
  entry.outcome = Outcome::skipped;
  entry.branch = branch;
  bool found = false;
  for (const auto& [held, operation] : next.held_calls) {
    if (held != branch || found || (meant.has_value() && meant->operation != operation)) continue;
    entry.operation = operation;
    found = true;
  }
  for (const Call& call : next.calls) {
    if (call.branch != branch || found || (meant.has_value() && meant->operation != call.operation)) continue;
    entry.operation = call.operation;
    found = true;
  }
  if (!found) return errors::branch_not_called();
  if (!meant.has_value()) {
    const std::size_t known = outcomes_of(editing.loaded.view.state, branch, entry.operation).size();
    meant = Meant{entry.operation, known};
  }
  return tell(editing, std::move(entry));
}

}  // namespace

std::string encode(const Audit& audit) {
  FlatJsonWriter json;
  json.text("action", audit.action);
  if (!audit.branch.empty()) json.text("branch", audit.branch);
  if (!audit.user.empty()) json.text("user", audit.user);
  return json.text("by", audit.by)
      .text("reason", audit.reason)
      .text("was", audit.was)
      .number("at_ms", audit.at_ms)
      .str();
}

Result<Audit> parse_audit(std::string_view text) {
  const Result<FlatJson> json = FlatJson::parse(text);
  if (!json.ok() || !json->text("action").has_value()) {
    return Status(Code::failed_precondition, "transaction: a stored audit is damaged");
  }
  Audit audit;
  audit.action = *json->text("action");
  audit.branch = json->text("branch").value_or("");
  audit.by = json->text("by").value_or("");
  audit.user = json->text("user").value_or("");
  audit.reason = json->text("reason").value_or("");
  audit.was = json->text("was").value_or("");
  audit.at_ms = json->number("at_ms").value_or(0);
  return audit;
}

Task<Result<TransactionView>> Transactions::register_branch(std::string gid, std::string branch_document,
                                                            store::CallOptions options) {
  Step step = [branch_document = std::move(branch_document)](Editing& editing) -> Result<bool> {
    Loaded& loaded = editing.loaded;
    State& state = loaded.view.state;
    if (state.mode != Mode::tcc && state.mode != Mode::xa) return errors::transaction_not_open();
    if (loaded.document.empty()) return errors::transaction_not_open();  // it is over
    LS_ASSIGN_OR_RETURN(const Document common, parse_document(state.mode, loaded.document, Rules::stored));
    LS_ASSIGN_OR_RETURN(const Target branch,
                        parse_branch(state.mode, branch_document, common, Rules::submitted));
    for (const std::string& other : loaded.registered) {
      if (other == branch_document) return false;
      const Result<Target> known = parse_branch(state.mode, other, common, Rules::stored);
      if (known.ok() && known->id == branch.id) return errors::branch_exists();
    }
    if (state.verdict != Verdict::waiting) return errors::transaction_not_open();
    loaded.registered.push_back(branch_document);
    LS_ASSIGN_OR_RETURN(editing.machine, replay(state, loaded.view.gid, loaded.document, loaded.registered));
    ++state.branches;
    state.changed_ms = editing.wall_ms;
    editing.also.push_back(
        operation(put_of(branch_key(loaded.view.gid, branch.id), branch_document, LeaseId())));
    return true;
  };
  return edit(context_, std::move(gid), std::move(step), std::move(options));
}

Task<Result<TransactionView>> Transactions::decide(std::string gid, bool commit, store::CallOptions options) {
  Step step = [commit](Editing& editing) -> Result<bool> {
    const Verdict verdict = editing.loaded.view.state.verdict;
    const Mode mode = editing.loaded.view.state.mode;
    if (mode == Mode::saga || mode == Mode::notification) return errors::entry_does_not_fit();
    const bool committed = verdict == Verdict::committing || verdict == Verdict::committed;
    const bool aborted = verdict == Verdict::aborting || verdict == Verdict::aborted;
    if (committed || aborted) {
      if (committed == commit) return false;
      return errors::decided_otherwise(committed);
    }
    if (editing.loaded.finished) return errors::transaction_finished();
    LS_RETURN_IF_ERROR(needs_machine(editing));
    Entry entry;
    entry.kind = Entry::Kind::decision;
    entry.commit = commit;
    return tell(editing, std::move(entry));
  };
  return edit(context_, std::move(gid), std::move(step), std::move(options));
}

Task<Result<TransactionView>> Transactions::retry_now(std::string gid, OperatorNote note,
                                                      store::CallOptions options) {
  Step step = [](Editing& editing) -> Result<bool> {
    State& state = editing.loaded.view.state;
    if (editing.loaded.finished) return errors::transaction_finished();
    for (CallState& call : state.calls) call.due_ms = 0;
    state.next_ms = 0;
    state.changed_ms = editing.wall_ms;
    return true;
  };
  return edit(context_, std::move(gid), audited("retry", "", std::move(note), std::move(step)),
              std::move(options));
}

Task<Result<TransactionView>> Transactions::skip(std::string gid, std::string branch, OperatorNote note,
                                                 store::CallOptions options) {
  Step step = [branch, meant = std::optional<Meant>()](Editing& editing) mutable {
    return skip_branch(editing, branch, meant);
  };
  Step noted = audited("skip", std::move(branch), std::move(note), std::move(step));
  return edit(context_, std::move(gid), std::move(noted), std::move(options));
}

Task<Result<TransactionView>> Transactions::force_finish(std::string gid, OperatorNote note,
                                                         store::CallOptions options) {
  std::string reason = "finished by force";
  if (!note.by.empty()) reason += " by " + note.by;
  if (!note.reason.empty()) reason += ": " + note.reason;
  Step step = [reason = printable(reason)](Editing& editing) -> Result<bool> {
    State& state = editing.loaded.view.state;
    if (editing.loaded.finished) return errors::transaction_finished();
    state.verdict = Verdict::failed;
    state.reason = reason;
    state.changed_ms = editing.wall_ms;
    state.calls.clear();
    state.next_ms = 0;
    state.deadline_ms = 0;
    state.needs_operator.clear();
    state.needs_operator_since_ms = 0;
    return true;
  };
  return edit(context_, std::move(gid), audited("finish", "", std::move(note), std::move(step)),
              std::move(options), Damaged::accepted);
}

Task<Result<TransactionView>> Transactions::forward(std::string gid, OperatorNote note,
                                                    store::CallOptions options) {
  Step step = [](Editing& editing) -> Result<bool> {
    LS_RETURN_IF_ERROR(needs_machine(editing));
    // What was finished by force is not what its machine thinks it is.
    if (editing.loaded.finished && !final(editing.machine->next().verdict))
      return errors::transaction_finished();
    return tell(editing, Entry::Kind::forward);
  };
  return edit(context_, std::move(gid), audited("forward", "", std::move(note), std::move(step)),
              std::move(options));
}

Task<Result<TransactionView>> Transactions::compensate(std::string gid, OperatorNote note,
                                                       store::CallOptions options) {
  Step step = [](Editing& editing) -> Result<bool> {
    LS_RETURN_IF_ERROR(needs_machine(editing));
    if (editing.loaded.finished && !final(editing.machine->next().verdict))
      return errors::transaction_finished();
    return tell(editing, Entry::Kind::compensate);
  };
  return edit(context_, std::move(gid), audited("compensate", "", std::move(note), std::move(step)),
              std::move(options));
}

Task<Result<std::vector<Audit>>> Transactions::audits(std::string gid, store::CallOptions options) {
  const Context context = context_;
  if (Status good = check_gid(gid); !good.ok()) co_return good;
  store::RangeRequest range = one_key(audits_prefix(gid));
  range.range_end = end_of_prefix(range.key);
  range.limit = static_cast<std::int64_t>(listed_max);
  const Result<store::RangeResponse> found =
      co_await store::awaitable::range(context.store, std::move(range), std::move(options));
  if (!found.ok()) co_return found.status();
  std::vector<Audit> audits;
  for (const store::KeyValue& kv : found->kvs) {
    Result<Audit> audit = parse_audit(kv.value);
    if (!audit.ok()) co_return audit.status();
    audits.push_back(*std::move(audit));
  }
  co_return audits;
}

}  // namespace lockstep::service::transaction
