#include "service/transaction/transition.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/text_values.h"
#include "service/flat_json.h"
#include "service/store_requests.h"
#include "store/awaitable.h"

namespace lockstep::service::transaction {
namespace {

bool is_named(const Next& next, const CallState& call) {
  const auto same = [&](const Call& one) {
    return one.branch == call.branch && one.operation == call.operation;
  };
  return std::any_of(next.calls.begin(), next.calls.end(), same);
}

std::string alarm_of(const State& state, const Next& next) {
  if (next.held) return next.reason.empty() ? "held" : next.reason;
  for (const Call& call : next.calls) {
    const CallState* known = find_call(state, call.branch, call.operation);
    if (known == nullptr || !is_alarming(*known, call)) continue;
    return std::string(to_string(call.operation)) + " of " + call.branch + " failed " +
           std::to_string(known->attempts - known->ongoing) + " times: " + known->error;
  }
  return {};
}

std::size_t outputs_of(std::string_view journal) {
  return journal.size();  // its other parts are small
}

}  // namespace

Result<std::unique_ptr<Machine>> replay(const State& state, std::string_view gid, std::string_view document,
                                        const std::vector<std::string>& registered) {
  LS_ASSIGN_OR_RETURN(std::unique_ptr<Machine> machine,
                      make_machine(state.mode, document, registered, gid, Rules::stored));
  LS_ASSIGN_OR_RETURN(const std::vector<JournalLine> lines, parse_journal(state.journal));
  for (const JournalLine& line : lines) {
    if (const Status learned = machine->learn(line.entry); !learned.ok()) {
      return Status(Code::failed_precondition, "transaction: its journal does not fit its definition");
    }
  }
  return machine;
}

Status record(State& state, Machine& machine, JournalLine line) {
  if (outputs_of(state.journal) + line.entry.output.size() > journal_output_bytes_max)
    line.entry.output.clear();
  LS_RETURN_IF_ERROR(machine.learn(line.entry));
  append_to_journal(state.journal, line);
  if (line.entry.kind == Entry::Kind::outcome) {
    std::erase_if(state.calls, [&](const CallState& call) {
      return call.branch == line.entry.branch && call.operation == line.entry.operation;
    });
  }
  return {};
}

void settle(State& state, const Machine& machine, const Next& next, std::int64_t wall_ms) {
  state.verdict = next.verdict;
  state.reason = printable(next.reason);
  state.changed_ms = wall_ms;
  std::erase_if(state.calls, [&](const CallState& call) { return !is_named(next, call); });
  const std::string alarm = final(next.verdict) ? std::string() : printable(alarm_of(state, next));
  if (alarm.empty()) {
    state.needs_operator_since_ms = 0;
  } else if (state.needs_operator.empty()) {
    state.needs_operator_since_ms = wall_ms;
  }
  state.needs_operator = alarm;
  if (!final(next.verdict)) return;
  LS_MUST(next.calls.empty(), "what is final calls nobody");
  state.next_ms = 0;
  state.deadline_ms = 0;
  std::string result = machine.result();
  if (result.size() <= result_bytes_max && is_utf8(result)) state.result = std::move(result);
}

bool is_alarming(const CallState& state, const Call& call) {
  if (state.attempts == 0) return false;
  const std::string_view error = state.error;
  if (error.starts_with("permission_denied") || error.starts_with("invalid_argument")) return true;
  if (state.status == 409 && !call.may_refuse) return true;
  return call.retry.attempts_alarm > 0 && state.attempts - state.ongoing >= call.retry.attempts_alarm;
}

const CallState* find_call(const State& state, std::string_view branch, Operation operation) {
  for (const CallState& call : state.calls) {
    if (call.operation == operation && call.branch == branch) return &call;
  }
  return nullptr;
}

std::vector<store::RequestOperation> operations_of(std::string_view gid, const State& state,
                                                   std::optional<bool> was_finished) {
  std::vector<store::RequestOperation> operations;
  const bool finished = final(state.verdict);
  if (was_finished.has_value() && *was_finished != finished) {
    operations.push_back(operation(removal_of(*was_finished ? finished_key(gid) : unfinished_key(gid))));
  }
  operations.push_back(
      operation(put_of(finished ? finished_key(gid) : unfinished_key(gid), encode(state), LeaseId())));
  return operations;
}

std::vector<store::RequestOperation> reads_of(std::string_view gid) {
  std::vector<store::RequestOperation> reads;
  reads.push_back(operation(one_key(unfinished_key(gid))));
  reads.push_back(operation(one_key(finished_key(gid))));
  reads.push_back(operation(one_key(definition_key(gid))));
  store::RangeRequest branches = one_key(branches_prefix(gid));
  branches.range_end = end_of_prefix(branches.key);
  branches.sort_order = store::SortOrder::ascend;
  branches.sort_target = store::SortTarget::create_revision;
  reads.push_back(operation(std::move(branches)));
  reads.push_back(operation(one_key(remembered_key(gid))));
  return reads;
}

Result<Loaded> loaded_of(std::string_view gid, const store::TxnResponse& answer, std::size_t first) {
  const store::RangeResponse* unfinished = range_at(answer, first);
  const store::RangeResponse* finished = range_at(answer, first + 1);
  const store::RangeResponse* document = range_at(answer, first + 2);
  const store::RangeResponse* branches = range_at(answer, first + 3);
  const store::RangeResponse* remembered = range_at(answer, first + 4);
  if (unfinished == nullptr || finished == nullptr || document == nullptr || branches == nullptr ||
      remembered == nullptr) {
    return service::errors::answer_of_other_shape();
  }
  Loaded loaded;
  loaded.finished = unfinished->kvs.empty();
  loaded.remembered = loaded.finished && finished->kvs.empty();
  const store::RangeResponse* where = loaded.remembered ? remembered
                                      : loaded.finished ? finished
                                                        : unfinished;
  if (where->kvs.empty()) return errors::transaction_not_found();
  LS_ASSIGN_OR_RETURN(loaded.view.state, parse_state(where->kvs[0].value));
  if (loaded.finished != loaded.view.finished()) {
    return Status(Code::failed_precondition, "transaction: the stored state lies where it does not belong");
  }
  loaded.seen = answer.header.revision;
  loaded.view.gid = gid;
  loaded.view.revision = where->kvs[0].mod_revision;
  if (loaded.remembered) return loaded;
  // What is over needs none any more to tell how it ended.
  if (document->kvs.empty() && !loaded.finished) return errors::definition_gone();
  if (!document->kvs.empty()) loaded.document = document->kvs[0].value;
  for (const store::KeyValue& branch : branches->kvs) loaded.registered.push_back(branch.value);
  return loaded;
}

Task<Result<Loaded>> load_damaged(Context context, std::string gid, store::CallOptions options) {
  store::RangeRequest audits = one_key(audits_prefix(gid));
  audits.range_end = end_of_prefix(audits.key);
  audits.sort_order = store::SortOrder::descend;
  audits.sort_target = store::SortTarget::key;
  audits.limit = 1;
  audits.keys_only = true;
  store::TxnRequest reads;
  reads.success = {operation(one_key(unfinished_key(gid))), operation(std::move(audits))};
  options.request_id = {};
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context.store, std::move(reads), std::move(options));
  if (!answer.ok()) co_return answer.status();
  const store::RangeResponse* found = range_at(*answer, 0);
  const store::RangeResponse* last = range_at(*answer, 1);
  if (found == nullptr || last == nullptr) co_return service::errors::answer_of_other_shape();
  if (found->kvs.empty()) co_return errors::transaction_not_found();
  Loaded loaded;
  loaded.view.gid = gid;
  loaded.view.revision = found->kvs[0].mod_revision;
  loaded.seen = answer->header.revision;
  State& state = loaded.view.state;
  const std::string_view stored = found->kvs[0].value;
  if (Result<State> whole = parse_state(stored); whole.ok()) state = *std::move(whole);
  const Result<FlatJson> line = FlatJson::parse(stored.substr(0, stored.find('\n')));
  if (line.ok()) state.mode = parse_mode(line->text("mode").value_or("")).value_or(state.mode);
  state.journal.clear();  // or nobody could read what it ends as
  state.calls.clear();
  state.audits = 0;
  if (!last->kvs.empty()) {
    const Result<std::uint64_t> number =
        parse_number(std::string_view(last->kvs[0].key).substr(audits_prefix(gid).size()));
    if (number.ok()) state.audits = static_cast<std::int64_t>(std::min<std::uint64_t>(*number, counted_max));
  }
  co_return loaded;
}

Task<Result<Loaded>> load(Context context, std::string gid, store::CallOptions options) {
  store::TxnRequest reads;
  reads.success = reads_of(gid);
  options.request_id = {};
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context.store, std::move(reads), std::move(options));
  if (!answer.ok()) co_return answer.status();
  co_return loaded_of(gid, *answer, 0);
}

}  // namespace lockstep::service::transaction
