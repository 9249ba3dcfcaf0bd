#include "service/idempotency/idempotency.h"

#include <charconv>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "service/names.h"
#include "service/record/record.h"
#include "service/repeat.h"
#include "service/store_requests.h"
#include "store/awaitable.h"
#include "store/errors.h"

namespace lockstep::service {
namespace {

constexpr std::string_view prefix = "lockstep/idempotency/";
constexpr std::size_t owner_digits = 32;

bool is_owner(std::string_view text) {
  return text.size() == owner_digits && bytes_of_hexadecimal(text).has_value();
}

std::string draw_owner(env::Random& random) {
  std::string owner = to_hexadecimal(random.next());
  return owner += to_hexadecimal(random.next());
}

Status check(const IdempotencyBegin& begin) {
  LS_RETURN_IF_ERROR(check_name(begin.key));
  if (begin.fingerprint.size() > fingerprint_bytes_max) return errors::fingerprint_too_long();
  if (begin.in_progress_time <= Duration{} || begin.in_progress_time > in_progress_time_max) {
    return errors::idempotency_time_wrong();
  }
  if (!begin.owner.empty() && !is_owner(begin.owner)) return errors::idempotency_owner_wrong();
  return {};
}

store::RangeRequest read_of(const std::string& place) {
  store::RangeRequest request;
  request.key = place;
  return request;
}

store::Compare unchanged_since(const std::string& place, Revision revision) {
  store::Compare compare;
  compare.key = place;
  compare.target = store::CompareTarget::mod_revision;
  compare.number = revision.value();
  return compare;
}

// Revision 0: if there is none.
store::TxnRequest put_if(Revision revision, const std::string& place, const IdempotencyRecord& record,
                         LeaseId lease) {
  store::PutRequest put;
  put.key = place;
  put.value = encode(record);
  put.lease = lease;
  store::TxnRequest txn;
  txn.compare.push_back(unchanged_since(place, revision));
  txn.success.emplace_back().request = std::move(put);
  txn.failure.emplace_back().request = read_of(place);
  return txn;
}

// What was read where the comparison failed.
struct Found {
  std::optional<IdempotencyRecord> record;
  Revision mod_revision;
};
Result<Found> found(const store::TxnResponse& answer) {
  LS_MUST(!answer.succeeded);
  const store::RangeResponse* range = range_at(answer, 0);
  if (range == nullptr) return errors::answer_of_other_shape();
  Found what;
  if (range->kvs.empty()) return what;
  LS_ASSIGN_OR_RETURN(what.record, parse_idempotency_record(range->kvs[0].value));
  what.mod_revision = range->kvs[0].mod_revision;
  return what;
}

Result<IdempotencyState> state_of(const Found& what, const IdempotencyBegin& begin, Revision revision) {
  using Kind = IdempotencyState::Kind;
  IdempotencyState state;
  state.revision = revision;
  if (!what.record.has_value()) return errors::answer_of_other_shape();  // refused because it exists
  const IdempotencyRecord& record = *what.record;
  if (record.fingerprint != begin.fingerprint) {
    state.kind = Kind::mismatch;
  } else if (record.done) {
    state.kind = Kind::done;
    state.answer = record.answer;
  } else if (record.owner == begin.owner) {
    state.token = {begin.owner, what.mod_revision};
  } else {
    state.kind = Kind::in_progress;
    state.owner = record.owner;
  }
  return state;
}

}  // namespace

namespace errors {
Status fingerprint_too_long() {
  return {Code::invalid_argument, "idempotency: the fingerprint is longer than 256 bytes"};
}
Status idempotency_time_wrong() {
  return {Code::invalid_argument, "idempotency: the time is not positive, or too long"};
}
Status idempotency_owner_wrong() {
  return {Code::invalid_argument, "idempotency: an owner is 32 hexadecimal digits"};
}
Status idempotency_token_wrong() {
  return {Code::invalid_argument, "idempotency: this is no token of a first"};
}
Status answer_too_long() {
  return {Code::invalid_argument, "idempotency: the answer is longer than 64 KiB"};
}
Status not_the_first() {
  return {Code::failed_precondition, "idempotency: not the first any more"};
}
Status already_completed() {
  return {Code::failed_precondition, "idempotency: completed already, with another answer"};
}
Status idempotency_outcome_unknown() {
  return {Code::unknown_outcome, "idempotency: it may have taken effect, or may do so later"};
}
}  // namespace errors

std::string idempotency_key(const std::string& key) {
  return std::string(prefix) + key;
}

std::string to_string(const IdempotencyToken& token) {
  return token.owner + "." + std::to_string(token.revision.value());
}

Result<IdempotencyToken> parse_idempotency_token(std::string_view text) {
  const std::string_view owner = text.substr(0, owner_digits);
  if (!is_owner(owner) || text.size() < owner_digits + 2 || text[owner_digits] != '.') {
    return errors::idempotency_token_wrong();
  }
  const std::string_view number = text.substr(owner_digits + 1);
  std::int64_t revision = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), revision);
  if (error != std::errc() || end != number.data() + number.size() || revision <= 0) {
    return errors::idempotency_token_wrong();
  }
  return IdempotencyToken{std::string(owner), Revision(revision)};
}

std::string encode(const IdempotencyRecord& record) {
  RecordWriter line;
  line.text("state", record.done ? "done" : "in_progress");
  line.text("owner", record.owner).text("fingerprint", to_hexadecimal(record.fingerprint));
  return record.done ? line.finish(record.answer) : line.finish();
}

Result<IdempotencyRecord> parse_idempotency_record(std::string_view value) {
  LS_ASSIGN_OR_RETURN(const Record line, Record::parse("idempotency", value));
  IdempotencyRecord record;
  LS_ASSIGN_OR_RETURN(const std::string state, line.text("state"));
  LS_ASSIGN_OR_RETURN(record.owner, line.text("owner"));
  LS_ASSIGN_OR_RETURN(const std::string digits, line.text("fingerprint"));
  std::optional<std::string> fingerprint = bytes_of_hexadecimal(digits);
  record.done = state == "done";
  const bool good =
      (record.done || state == "in_progress") && is_owner(record.owner) && fingerprint.has_value();
  if (!good) return Status(Code::failed_precondition, "idempotency: the key holds no good record");
  record.fingerprint = *std::move(fingerprint);
  if (record.done) record.answer = line.bytes();
  return record;
}

store::Compare Idempotency::owned(const std::string& key, const IdempotencyToken& token) {
  if (LS_PLANTED(stale_first_takes_effect)) return created_at("none", Revision());  // always
  return unchanged_since(idempotency_key(key), token.revision);
}

Idempotency::Idempotency(const Context& context, std::string key_prefix)
    : context_(context), leases_(context), prefix_(std::move(key_prefix)) {}

Task<Result<IdempotencyState>> Idempotency::begin(IdempotencyBegin begin, store::CallOptions options) {
  if (Status checked = check(begin); !checked.ok()) co_return checked;
  if (begin.owner.empty()) begin.owner = draw_owner(context_.random);
  const Context context = context_;
  const SharedLeases leases = leases_;
  const std::string at = place(begin.key);
  const IdempotencyRecord record{false, begin.owner, begin.fingerprint, {}};
  Repetition sends(context, options);
  while (co_await sends.next()) {
    const Result<LeaseId> lease = co_await leases.lasting(begin.in_progress_time, options);
    if (!lease.ok()) {
      sends.failed(lease.status());
      continue;
    }
    store::TxnRequest txn = put_if(Revision(), at, record, *lease);
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context.store, std::move(txn), sends.call());
    if (!answer.ok()) {
      if (answer.status() == store::errors::lease_not_found()) leases.forget(*lease);
      sends.failed(answer.status());
      continue;
    }
    IdempotencyState first;
    first.revision = answer->header.revision;
    first.token = {begin.owner, first.revision};
    if (answer->succeeded) co_return first;
    const Result<Found> what = found(*answer);
    if (!what.ok()) co_return what.status();
    co_return state_of(*what, begin, answer->header.revision);
  }
  co_return sends.in_doubt() ? errors::idempotency_outcome_unknown() : sends.last_failure();
}

Task<Status> Idempotency::complete(std::string key, IdempotencyToken token, std::string answer, Duration keep,
                                   store::CallOptions options) {
  if (Status named = check_name(key); !named.ok()) co_return named;
  if (answer.size() > stored_answer_bytes_max) co_return errors::answer_too_long();
  if (keep <= Duration{} || keep > answer_time_max) co_return errors::idempotency_time_wrong();
  if (token.revision <= Revision() || !is_owner(token.owner)) co_return errors::idempotency_token_wrong();
  const Context context = context_;
  const SharedLeases leases = leases_;
  const std::string at = place(key);
  // The record is read first: it knows the fingerprint.
  Repetition sends(context, options);
  while (co_await sends.next()) {
    const Result<store::RangeResponse> read =
        co_await store::awaitable::range(context.store, read_of(at), sends.call());
    if (!read.ok()) {
      sends.failed(read.status());
      continue;
    }
    const Status lost = sends.in_doubt() ? errors::idempotency_outcome_unknown() : errors::not_the_first();
    if (read->kvs.empty()) co_return lost;
    Result<IdempotencyRecord> record = parse_idempotency_record(read->kvs[0].value);
    if (!record.ok()) co_return record.status();
    if (record->owner != token.owner) co_return lost;
    if (record->done) co_return record->answer == answer ? Status() : errors::already_completed();
    if (read->kvs[0].mod_revision != token.revision) co_return errors::not_the_first();
    const Result<LeaseId> lease = co_await leases.lasting(keep, options);
    if (!lease.ok()) {
      sends.failed(lease.status());
      continue;
    }
    record->done = true;
    record->answer = answer;
    store::TxnRequest txn = put_if(token.revision, at, *record, *lease);
    const Result<store::TxnResponse> written =
        co_await store::awaitable::txn(context.store, std::move(txn), sends.call());
    if (written.ok() && written->succeeded) co_return Status();
    // Something else is there now: what, is read again.
    if (written.ok()) {
      sends.again();
      continue;
    }
    if (written.status() == store::errors::lease_not_found()) leases.forget(*lease);
    sends.failed(written.status());
  }
  co_return sends.in_doubt() ? errors::idempotency_outcome_unknown() : sends.last_failure();
}

Task<Status> Idempotency::abandon(std::string key, IdempotencyToken token, store::CallOptions options) {
  if (Status named = check_name(key); !named.ok()) co_return named;
  if (token.revision <= Revision() || !is_owner(token.owner)) co_return errors::idempotency_token_wrong();
  const Context context = context_;
  const std::string at = place(key);
  Repetition sends(context, options);
  while (co_await sends.next()) {
    store::DeleteRangeRequest removal;
    removal.key = at;
    store::TxnRequest txn;
    txn.compare.push_back(unchanged_since(at, token.revision));
    txn.success.emplace_back().request = std::move(removal);
    txn.failure.emplace_back().request = read_of(at);
    const Result<store::TxnResponse> removed =
        co_await store::awaitable::txn(context.store, std::move(txn), sends.call());
    if (!removed.ok()) {
      sends.failed(removed.status());
      continue;
    }
    if (removed->succeeded) co_return Status();
    const Result<Found> what = found(*removed);
    if (!what.ok()) co_return what.status();
    if (!what->record.has_value()) co_return Status();
    if (what->record->owner == token.owner) co_return errors::already_completed();
    co_return sends.in_doubt() ? Status() : errors::not_the_first();  // another's: ours is gone either way
  }
  co_return sends.in_doubt() ? errors::idempotency_outcome_unknown() : sends.last_failure();
}

}  // namespace lockstep::service
