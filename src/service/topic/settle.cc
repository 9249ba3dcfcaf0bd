// What becomes of a claim, and where a group goes on.
#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "service/names.h"
#include "service/repeat.h"
#include "service/store_requests.h"
#include "service/topic/core.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr Duration delay_max = std::chrono::hours(24);

// The cursor after a settlement: behind what is acknowledged; what is given back was delivered once more.
GroupCursor cursor_after(const ClaimToken& token, const MessageSettlement& settlement) {
  GroupCursor cursor;
  cursor.next = settlement.acknowledged_through.value_or(token.from - 1) + 1;
  if (LS_PLANTED(topic_given_back_lost) && !settlement.reject) cursor.next = token.to;
  cursor.reason = printable(settlement.reason, 512);
  const bool moved = cursor.next > token.from;
  cursor.attempts = moved ? (settlement.reason.empty() ? 0 : 1) : token.attempts;
  return cursor;
}

}  // namespace

Task<Status> Topics::Claiming::settle(std::shared_ptr<Core> core, std::string topic, std::string group,
                                      ClaimToken token, MessageSettlement settlement,
                                      store::CallOptions options) {
  if (Status named = check_name(topic); !named.ok()) co_return named;
  if (Status named = check_name(group); !named.ok()) co_return named;
  const std::int64_t through = settlement.acknowledged_through.value_or(token.from - 1);
  if (through < token.from - 1 || through >= token.to) co_return errors::settlement_wrong();
  if (settlement.delay < Duration{} || settlement.delay > delay_max) co_return errors::settlement_wrong();
  const TopicKeys keys(topic);
  const std::string owner = keys.owner(group, token.partition);
  const GroupCursor cursor = cursor_after(token, settlement);
  store::CallOptions call = plain(options);
  store::TxnRequest txn;
  if (!LS_PLANTED(topic_lost_claim_settles)) txn.compare = {modified_at(owner, token.revision)};
  if (settlement.reject) {
    // Read only for whoever holds the claim.
    const Result<store::RangeResponse> held =
        co_await store::awaitable::range(core->context().store, one_key(owner), call);
    if (!held.ok()) co_return held.status();
    if (held->kvs.empty() || held->kvs[0].mod_revision != token.revision) co_return errors::claim_lost();
    Result<MessagesRead> read =
        co_await read_messages(core->context(), topic, token.partition, cursor.next, token.to, 1, call);
    if (!read.ok()) co_return read.status();
    if (read->messages.empty()) co_return errors::settlement_wrong();
    DeadMessage dead;
    dead.partition = token.partition;
    dead.offset = read->messages[0].offset;
    dead.attempts = std::max<std::int64_t>(cursor.attempts, 1);
    dead.at_ms = read->messages[0].at_ms;
    dead.reason = settlement.reason.empty() ? "rejected" : settlement.reason;
    dead.message = std::move(read->messages[0].message);
    txn.success = burial(keys, group, dead);
  } else {
    txn.success = {operation(put_of(keys.cursor(group, token.partition), encode(cursor), LeaseId()))};
  }
  LeaseId resting;
  if (settlement.delay > Duration{}) {
    const Result<store::LeaseGrantResponse> lease = co_await store::awaitable::lease_grant(
        core->context().store, store::LeaseGrantRequest{settlement.delay, LeaseId()}, call);
    if (!lease.ok()) co_return lease.status();
    resting = lease->id;
    txn.success.push_back(operation(put_of(owner, "{\"rests\":1}", resting)));
  } else {
    txn.success.push_back(operation(removal_of(owner)));
  }
  txn.failure = {operation(one_key(keys.cursor(group, token.partition)))};
  Repetition sends(core->context(), call);
  while (co_await sends.next()) {
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(core->context().store, txn, sends.call());
    if (!answer.ok()) {
      sends.failed(answer.status());
      continue;
    }
    if (answer->succeeded) {
      store::CallOptions later;
      later.principal = options.principal;
      later.deadline = core->context().clock.now() + repeated_call_time_max;
      core->context().store.lease_revoke(store::LeaseRevokeRequest{token.lease}, std::move(later),
                                         [](const Result<store::LeaseRevokeResponse>&) {});
      co_return Status();
    }
    // The owner's key is another, or gone: this claim's transaction will not take effect any more. Did it?
    co_return sends.in_doubt() ? errors::topic_outcome_unknown() : errors::claim_lost();
  }
  co_return sends.in_doubt() ? errors::topic_outcome_unknown() : sends.last_failure();
}

Task<Status> Topics::Claiming::seek(std::shared_ptr<Core> core, std::string topic, std::string group, Seek to,
                                    store::CallOptions options) {
  if (Status named = check_name(topic); !named.ok()) co_return named;
  if (Status named = check_name(group); !named.ok()) co_return named;
  const store::CallOptions call = plain(options);
  const Result<Core::KnownTopic> known = co_await Core::topic(core, topic, call);
  if (!known.ok()) co_return known.status();
  const TopicKeys keys(topic);
  for (std::int64_t partition = 0; partition < known->config.partitions; ++partition) {
    const Result<store::RangeResponse> read =
        co_await store::awaitable::range(core->context().store, one_key(keys.head(partition)), call);
    if (!read.ok()) co_return read.status();
    if (read->kvs.empty()) continue;
    const Result<TopicHead> head = parse_topic_head(read->kvs[0].value);
    if (!head.ok()) co_return head.status();
    std::int64_t next = to.to == Seek::To::first ? head->first : head->next;
    if (to.to == Seek::To::time) {
      const Result<std::int64_t> found =
          co_await offset_at_time(core->context(), topic, partition, *head, to.at_ms, call);
      if (!found.ok()) co_return found.status();
      next = *found;
    }
    // Whoever works on it has lost it: what it settles is refused.
    store::TxnRequest txn;
    txn.success = {
        operation(put_of(keys.cursor(group, partition), encode(GroupCursor{next, 0, ""}), LeaseId())),
        operation(removal_of(keys.owner(group, partition)))};
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(core->context().store, std::move(txn), call);
    if (!answer.ok()) co_return answer.status();
  }
  co_return Status();
}

}  // namespace lockstep::service
