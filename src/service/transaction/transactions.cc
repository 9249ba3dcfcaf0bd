#include "service/transaction/transactions.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/assert.h"
#include "service/record/record.h"
#include "service/repeat.h"
#include "service/store_requests.h"
#include "service/transaction/document.h"
#include "service/transaction/page_size.h"
#include "service/transaction/transition.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service::transaction {

namespace errors {
Status transaction_not_found() {
  return {Code::not_found, "transaction: there is none of that gid"};
}
Status transaction_exists() {
  return {Code::already_exists, "transaction: another one has that gid"};
}
Status transaction_finished() {
  return {Code::failed_precondition, "transaction: it is finished"};
}
Status transaction_forgotten() {
  return {Code::failed_precondition, "transaction: it is finished, and nothing else is left of it"};
}
Status too_many_remembered() {
  return {Code::resource_exhausted,
          "transaction: too many finished lately to remember more of them: submit it later"};
}
Status transaction_not_open() {
  return {Code::failed_precondition, "transaction: it takes no branches any more"};
}
Status branch_exists() {
  return {Code::already_exists, "transaction: another branch has that id"};
}
Status branch_not_called() {
  return {Code::failed_precondition, "transaction: that branch has no call under way, and none that is held"};
}
Status document_too_large() {
  return {Code::resource_exhausted, "transaction: a document has at most 1 MiB"};
}
Status definition_gone() {
  return {Code::failed_precondition, "transaction: its definition is gone"};
}
Status list_request_wrong() {
  return {Code::invalid_argument, "transaction: a list has 1 to " + std::to_string(listed_max) +
                                      " entries, and a cursor that a list gave"};
}
}  // namespace errors

namespace {

constexpr std::size_t listed_looks_max = 1024;
constexpr std::size_t listed_bytes_max = std::size_t{16} << 20;

std::int64_t wall_ms(const Context& context) {
  return std::max<std::int64_t>(context.clock.wall_now() / 1ms, 0);
}

std::string made_gid(env::Random& random) {
  return to_hexadecimal(random.next()) + to_hexadecimal(random.next());
}

// Where a list goes on behind what stands in the store by that name: "GID", or, behind keys that are not of
// transactions, "NAME/2f": behind all that begin with what is the name of none.
std::string cursor_behind(std::string_view name) {
  if (check_gid(name).ok()) return std::string(name);
  std::size_t good = 0;
  while (good < name.size() && check_gid(name.substr(0, good + 1)).ok()) ++good;
  if (good == name.size()) return {};  // the empty one, before all others
  return std::string(name.substr(0, good)) + "/" + to_hexadecimal(name.substr(good, 1));
}

// The first key that may be listed next.
std::optional<std::string> key_behind(std::string_view prefix, std::string_view cursor) {
  if (cursor.empty()) return std::string(prefix);
  const std::string_view name = cursor.substr(0, cursor.find('/'));
  if (!name.empty() && !check_gid(name).ok()) return std::nullopt;
  std::string key = std::string(prefix).append(name);
  if (name.size() == cursor.size()) return key + '\0';
  const std::optional<std::string> letter = bytes_of_hexadecimal(cursor.substr(name.size() + 1));
  if (!letter.has_value() || letter->size() != 1) return std::nullopt;
  if (static_cast<unsigned char>(letter->front()) == 0xFF) return end_of_prefix(key);
  return end_of_prefix(key + *letter);
}

// What stood there, if it is the same transaction.
Result<Submitted> existing(const Submission& submission, const store::TxnResponse& answer) {
  Result<Loaded> found = loaded_of(submission.gid, answer, 0);
  const store::RangeResponse* full = range_at(answer, reads_per_transaction);
  const bool is_full = full != nullptr && !full->kvs.empty();
  if (found.status().code() == Code::not_found && is_full) return errors::too_many_remembered();
  if (!found.ok()) return found.status();
  const bool same = found->remembered || found->document.empty()
                        ? found->view.state.definition == digest_of(submission.document)
                        : found->document == submission.document;
  if (!same || found->view.state.mode != submission.mode) return errors::transaction_exists();
  Submitted submitted;
  submitted.transaction = std::move(found->view);
  submitted.existed = true;
  return submitted;
}

}  // namespace

Task<Result<Submitted>> Transactions::submit(Submission submission, store::CallOptions options) {
  const Context context = context_;
  if (submission.gid.empty()) submission.gid = made_gid(context.random);
  if (Status good = check_gid(submission.gid); !good.ok()) co_return good;
  if (submission.document.size() > definition_bytes_max) co_return errors::document_too_large();
  const auto machine = make_machine(submission.mode, submission.document, {}, submission.gid);
  if (!machine.ok()) co_return machine.status();
  Submitted submitted;
  TransactionView& view = submitted.transaction;
  view.gid = submission.gid;
  view.state.mode = submission.mode;
  view.state.created_ms = wall_ms(context);
  view.state.definition = digest_of(submission.document);
  view.state.user = printable(submission.user);
  settle(view.state, **machine, (*machine)->next(), view.state.created_ms);
  const std::string definition = definition_key(view.gid);
  Repetition sends(context, std::move(options));
  while (co_await sends.next()) {
    store::TxnRequest txn;
    // The gid begins nothing anew, not even where somebody removed its definition.
    txn.compare = {created_at(definition, Revision()), created_at(unfinished_key(view.gid), Revision()),
                   created_at(finished_key(view.gid), Revision()),
                   created_at(remembered_key(view.gid), Revision()),
                   created_at(std::string(full_key), Revision())};
    txn.success = operations_of(view.gid, view.state, std::nullopt);
    txn.success.push_back(operation(put_of(definition, submission.document, LeaseId())));
    txn.failure = reads_of(view.gid);
    txn.failure.push_back(operation(one_key(std::string(full_key))));
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context.store, std::move(txn), sends.call());
    if (!answer.ok()) {
      sends.failed(answer.status());
      continue;
    }
    if (!answer->succeeded) co_return existing(submission, *answer);
    view.revision = answer->header.revision;
    co_return submitted;
  }
  if (sends.in_doubt()) {
    co_return Status(Code::unknown_outcome, "transaction: it may have been submitted: submit it again");
  }
  co_return sends.last_failure();
}

Task<Result<TransactionView>> Transactions::get(std::string gid, store::CallOptions options) {
  const Context context = context_;
  if (Status good = check_gid(gid); !good.ok()) co_return good;
  Result<Loaded> loaded = co_await load(context, gid, std::move(options));
  if (!loaded.ok()) co_return loaded.status();
  co_return std::move(loaded->view);
}

Task<Result<std::vector<std::string>>> Transactions::documents(std::string gid, store::CallOptions options) {
  const Context context = context_;
  if (Status good = check_gid(gid); !good.ok()) co_return good;
  Result<Loaded> loaded = co_await load(context, gid, std::move(options));
  if (!loaded.ok()) co_return loaded.status();
  if (loaded->remembered) co_return errors::transaction_forgotten();
  if (loaded->document.empty()) co_return errors::definition_gone();
  std::vector<std::string> documents = {std::move(loaded->document)};
  for (std::string& branch : loaded->registered) documents.push_back(std::move(branch));
  co_return documents;
}

Task<Result<Next>> Transactions::next(std::string gid, store::CallOptions options) {
  const Context context = context_;
  if (Status good = check_gid(gid); !good.ok()) co_return good;
  const Result<Loaded> loaded = co_await load(context, gid, std::move(options));
  if (!loaded.ok()) co_return loaded.status();
  Next next;
  next.verdict = loaded->view.state.verdict;
  next.reason = loaded->view.state.reason;
  if (loaded->finished) co_return next;
  const auto machine = replay(loaded->view.state, gid, loaded->document, loaded->registered);
  if (!machine.ok()) co_return machine.status();
  co_return (*machine)->next();
}

Task<Result<TransactionView>> Transactions::wait(std::string gid, store::CallOptions options) {
  const Context context = context_;
  if (Status good = check_gid(gid); !good.ok()) co_return good;
  Result<Loaded> loaded = co_await load(context, gid, options);
  if (!loaded.ok()) co_return loaded.status();
  if (loaded->finished) co_return std::move(loaded->view);
  store::WatchRequest request;
  request.key = finished_key(gid);
  request.start_revision = loaded->seen.next();
  request.no_delete = true;
  const auto events = context.store.watch(std::move(request), options);
  if (!events.ok()) co_return events.status();
  while (true) {
    const Result<store::WatchResponse> answer = co_await next_answer(context, **events, options);
    if (!answer.ok()) co_return answer.status();
    if (answer->canceled) co_return Status(Code::unavailable, "transaction: it could not be watched");
    if (answer->events.empty()) continue;
    TransactionView view;
    Result<State> state = parse_state(answer->events.front().kv.value);
    if (!state.ok()) co_return state.status();
    view.gid = gid;
    view.state = *std::move(state);
    view.revision = answer->events.front().kv.mod_revision;
    co_return view;
  }
}

Task<Result<Listed>> Transactions::list(ListRequest request, store::CallOptions options) {
  const Context context = context_;
  PageSize size(128);
  if (request.cursor.empty()) request.cursor = "t:";
  const bool good_cursor = (request.cursor.starts_with("t:") || request.cursor.starts_with("f:")) &&
                           key_behind(unfinished_prefix, request.cursor.substr(2)).has_value();
  if (request.limit == 0 || request.limit > listed_max || !good_cursor)
    co_return errors::list_request_wrong();
  Listed listed;
  const bool wants_unfinished = !request.state.has_value() || !final(*request.state);
  const bool wants_finished = !request.needs_operator_only && (!request.state || final(*request.state));
  bool in_finished = request.cursor.starts_with("f:") || !wants_unfinished;
  std::string after = request.cursor.substr(2);
  std::size_t listed_bytes = 0;
  std::size_t looked_at = 0;
  while (looked_at < listed_looks_max && size.bytes() < listed_bytes_max && listed_bytes < listed_bytes_max) {
    const std::string prefix(in_finished ? finished_prefix : unfinished_prefix);
    store::RangeRequest range = one_key(*key_behind(prefix, after));
    range.range_end = end_of_prefix(prefix);
    range.limit = size.keys();
    const Result<store::RangeResponse> found =
        co_await store::awaitable::range(context.store, std::move(range), options);
    if (!found.ok()) co_return found.status();
    size.saw(found->kvs);
    looked_at += found->kvs.size() + 1;
    for (const store::KeyValue& kv : found->kvs) {
      const std::string name = kv.key.substr(prefix.size());
      after = cursor_behind(name);
      if (!check_gid(name).ok()) continue;  // an ordinary key that somebody put here
      Result<State> state = parse_state(kv.value);
      if (!state.ok()) continue;  // get() tells what is wrong
      if (request.state.has_value() && state->verdict != *request.state) continue;
      if (request.needs_operator_only && state->needs_operator.empty()) continue;
      state->journal = {};  // many of them would be much
      state->calls = {};
      listed_bytes += state->result.size();
      listed.transactions.push_back({name, *std::move(state), kv.mod_revision});
      if (listed.transactions.size() == request.limit) break;
    }
    listed.cursor = (in_finished ? "f:" : "t:") + after;
    if (listed.transactions.size() == request.limit) co_return listed;
    if (found->more) continue;
    listed.cursor.clear();
    if (in_finished || !wants_finished) co_return listed;
    in_finished = true;
    after.clear();
    listed.cursor = "f:";
  }
  co_return listed;
}

}  // namespace lockstep::service::transaction
