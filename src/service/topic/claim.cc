// Claims: who works on which partition, and what it is given.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "service/contenders.h"
#include "service/names.h"
#include "service/repeat.h"
#include "service/store_requests.h"
#include "service/topic/core.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr int looks_max = 64;  // at what others take away again and again

Status check(const MessageClaimRequest& request) {
  const bool bad = request.max < 1 || request.max > messages_per_claim_max || request.visibility < 1s ||
                   request.visibility > claim_visibility_max || request.wait < Duration{} ||
                   request.attempts_max < 1 || request.attempts_max > message_attempts_max;
  return bad ? errors::message_claim_wrong() : Status();
}

// Nobody waits for it: a lease that stays ends by itself.
void give_up_lease(const Context& context, LeaseId lease, const store::CallOptions& options) {
  store::CallOptions call;
  call.principal = options.principal;
  call.deadline = context.clock.now() + repeated_call_time_max;
  context.store.lease_revoke(store::LeaseRevokeRequest{lease}, std::move(call),
                             [](const Result<store::LeaseRevokeResponse>&) {});
}

}  // namespace

Task<Result<Topics::Claiming::Look>> Topics::Claiming::look(std::shared_ptr<Core> core, const Who& who) {
  const TopicKeys keys(who.topic);
  store::TxnRequest txn;
  store::RangeRequest owners = under(keys.owners(who.group));
  owners.keys_only = true;
  txn.success = {operation(one_key(keys.config())), operation(under(keys.heads())),
                 operation(under(keys.cursors(who.group))), operation(std::move(owners))};
  const Result<store::TxnResponse> read =
      co_await store::awaitable::txn(core->context().store, std::move(txn), who.options);
  if (!read.ok()) co_return read.status();
  const store::RangeResponse* config = range_at(*read, 0);
  const store::RangeResponse* heads = range_at(*read, 1);
  const store::RangeResponse* cursors = range_at(*read, 2);
  const store::RangeResponse* owned = range_at(*read, 3);
  if (config == nullptr || heads == nullptr || cursors == nullptr || owned == nullptr)
    co_return errors::answer_of_other_shape();
  if (config->kvs.empty()) co_return errors::topic_not_found();
  Look look;
  look.at = read->header.revision;
  for (const store::KeyValue& kv : heads->kvs) {
    Candidate candidate;
    candidate.config_revision = config->kvs[0].mod_revision;
    candidate.partition = partition_of_key(kv.key);
    const Result<TopicHead> head = parse_topic_head(kv.value);
    if (!head.ok()) {
      look.damaged = head.status();  // of one partition: the others go on
      continue;
    }
    candidate.head = *head;
    const auto of_partition = [&](const store::KeyValue& other) {
      return partition_of_key(other.key) == candidate.partition;
    };
    const bool taken = !LS_PLANTED(topic_claim_shared) && std::ranges::any_of(owned->kvs, of_partition);
    if (candidate.partition < 0 || taken) continue;
    if (const auto found = std::ranges::find_if(cursors->kvs, of_partition); found != cursors->kvs.end()) {
      Result<GroupCursor> cursor = parse_group_cursor(found->value);
      if (!cursor.ok()) {
        look.damaged = cursor.status();  // seek() writes another one
        continue;
      }
      candidate.cursor = *std::move(cursor);
      candidate.cursor_revision = found->mod_revision;
    }
    if (candidate.cursor.next < head->first) candidate.cursor = {head->first, 0, ""};
    if (candidate.cursor.next < head->next) look.candidates.push_back(std::move(candidate));
  }
  co_return look;
}

Task<Result<MessageClaim>> Topics::Claiming::claim(std::shared_ptr<Core> core, std::string topic,
                                                   std::string group, MessageClaimRequest request,
                                                   store::CallOptions options) {
  if (Status named = check_name(topic); !named.ok()) co_return named;
  if (Status named = check_name(group); !named.ok()) co_return named;
  if (Status good = check(request); !good.ok()) co_return good;
  const TimePoint until = core->context().clock.now() + request.wait;
  const Who who{std::move(topic), std::move(group), request, plain(options)};
  for (int looks = 0; looks < looks_max;) {
    Result<Look> found = co_await look(core, who);
    if (!found.ok()) co_return found.status();
    if (!found->candidates.empty()) {
      ++looks;
      // Not all begin with the same partition.
      const std::size_t at = core->turn++ % found->candidates.size();
      Result<std::optional<MessageClaim>> taken = co_await take(core, who, std::move(found->candidates[at]));
      if (!taken.ok()) co_return taken.status();
      if (taken->has_value()) co_return std::move(**taken);
      continue;
    }
    if (!found->damaged.ok()) co_return found->damaged;
    if (core->closed()) co_return errors::topics_closed();
    if (request.wait == Duration{} || core->context().clock.now() >= until) co_return MessageClaim();
    Who waiting = who;
    waiting.options.deadline = std::min(who.options.deadline, until);
    if (Status changed = co_await wait_for_change(core, waiting, found->at); !changed.ok()) {
      // The end of the wait is no error, that of the call is.
      if (Status wanted = still_wanted(core->context(), who.options); !wanted.ok()) co_return wanted;
      if (changed.code() == Code::deadline_exceeded) co_return MessageClaim();
      co_return changed;
    }
  }
  co_return MessageClaim();
}

Task<Result<std::optional<MessageClaim>>> Topics::Claiming::take(std::shared_ptr<Core> core, const Who& who,
                                                                 Candidate candidate) {
  using Taken = std::optional<MessageClaim>;
  if (candidate.cursor.attempts >= who.request.attempts_max) {
    if (Status buried = co_await bury(core, who, std::move(candidate)); !buried.ok()) co_return buried;
    co_return Taken();
  }
  const Result<store::LeaseGrantResponse> lease = co_await store::awaitable::lease_grant(
      core->context().store, store::LeaseGrantRequest{who.request.visibility, LeaseId()}, who.options);
  if (!lease.ok()) co_return lease.status();
  const TopicKeys keys(who.topic);
  const std::string owner = keys.owner(who.group, candidate.partition);
  const std::string cursor = keys.cursor(who.group, candidate.partition);
  ++candidate.cursor.attempts;
  store::TxnRequest txn;
  // Of this topic, not of one that was made since under its name.
  txn.compare = {created_at(owner, Revision()), modified_at(cursor, candidate.cursor_revision),
                 modified_at(keys.config(), candidate.config_revision)};
  if (LS_PLANTED(topic_claim_shared)) txn.compare.erase(txn.compare.begin());
  txn.success = {operation(put_of(owner, "{}", lease->id)),
                 operation(put_of(cursor, encode(candidate.cursor), LeaseId()))};
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(core->context().store, std::move(txn), who.options);
  // Also after an unknown outcome: if it took the partition, that ends with the lease.
  if (!answer.ok() || !answer->succeeded) give_up_lease(core->context(), lease->id, who.options);
  if (!answer.ok()) co_return answer.status();
  if (!answer->succeeded) co_return Taken();
  MessageClaim claim;
  claim.token = {candidate.partition,   answer->header.revision, lease->id,
                 candidate.cursor.next, candidate.cursor.next,   candidate.cursor.attempts};
  co_return co_await deliver(core, who, std::move(candidate), std::move(claim));
}

Task<Result<std::optional<MessageClaim>>> Topics::Claiming::deliver(std::shared_ptr<Core> core,
                                                                    const Who& who, Candidate candidate,
                                                                    MessageClaim claim) {
  // What comes again comes alone.
  const std::size_t max = candidate.cursor.attempts > 1 ? 1 : who.request.max;
  Result<MessagesRead> read =
      co_await read_messages(core->context(), who.topic, candidate.partition, candidate.cursor.next,
                             candidate.head.next, max, who.options);
  if (!read.ok()) {
    give_up_lease(core->context(), claim.token.lease, who.options);
    co_return read.status();
  }
  std::erase_if(read->messages, [&](const DeliveredMessage& delivered) {
    return std::ranges::any_of(delivered.message.headers, [&](const auto& header) {
      return header.first == only_group_header && header.second != printable(who.group, name_bytes_max);
    });
  });
  claim.messages = std::move(read->messages);
  claim.token.to = read->next;
  if (!claim.messages.empty()) co_return std::optional(std::move(claim));
  // Nothing there for this group: go on behind it.
  const TopicKeys keys(who.topic);
  const std::string owner = keys.owner(who.group, candidate.partition);
  store::TxnRequest txn;
  txn.compare = {modified_at(owner, claim.token.revision),
                 modified_at(keys.config(), candidate.config_revision)};
  txn.success = step_over(keys, who.group, candidate.partition, *std::move(read));
  txn.success.push_back(operation(removal_of(owner)));
  const Result<store::TxnResponse> skipped =
      co_await store::awaitable::txn(core->context().store, std::move(txn), who.options);
  give_up_lease(core->context(), claim.token.lease, who.options);
  if (!skipped.ok()) co_return skipped.status();
  co_return std::optional<MessageClaim>();
}

std::vector<store::RequestOperation> step_over(const TopicKeys& keys, const std::string& group,
                                               std::int64_t partition, MessagesRead read) {
  std::vector<store::RequestOperation> operations = {
      operation(put_of(keys.cursor(group, partition), encode(GroupCursor{read.next, 0, ""}), LeaseId()))};
  if (!read.damage.has_value()) return operations;
  DeadMessage dead;
  dead.partition = partition;
  dead.offset = read.damage->offset;
  dead.reason = "what is stored from here to offset " + std::to_string(read.next) + " is damaged";
  dead.message.payload = std::move(read.damage->stored);
  operations.push_back(operation(put_of(keys.dead(group, partition, dead.offset), encode(dead), LeaseId())));
  return operations;
}

std::vector<store::RequestOperation> burial(const TopicKeys& keys, const std::string& group,
                                            const DeadMessage& dead) {
  store::RequestOperation goes_on = operation(
      put_of(keys.cursor(group, dead.partition), encode(GroupCursor{dead.offset + 1, 0, ""}), LeaseId()));
  if (LS_PLANTED(topic_letter_lost)) return {std::move(goes_on)};
  return {operation(put_of(keys.dead(group, dead.partition, dead.offset), encode(dead), LeaseId())),
          std::move(goes_on)};
}

// The message at the cursor was delivered too often.
Task<Status> Topics::Claiming::bury(std::shared_ptr<Core> core, const Who& who, Candidate candidate) {
  const TopicKeys keys(who.topic);
  Result<MessagesRead> read =
      co_await read_messages(core->context(), who.topic, candidate.partition, candidate.cursor.next,
                             candidate.head.next, 1, who.options);
  if (!read.ok()) co_return read.status();
  store::TxnRequest txn;
  txn.compare = {created_at(keys.owner(who.group, candidate.partition), Revision()),
                 modified_at(keys.cursor(who.group, candidate.partition), candidate.cursor_revision),
                 modified_at(keys.config(), candidate.config_revision)};
  if (read->messages.empty()) {
    txn.success = step_over(keys, who.group, candidate.partition, *std::move(read));
  } else {
    DeadMessage dead;
    dead.partition = candidate.partition;
    dead.offset = read->messages[0].offset;
    dead.attempts = candidate.cursor.attempts;
    dead.at_ms = read->messages[0].at_ms;
    dead.reason = candidate.cursor.reason.empty() ? "not acknowledged in time" : candidate.cursor.reason;
    dead.message = std::move(read->messages[0].message);
    txn.success = burial(keys, who.group, dead);
  }
  // Lost, or of unknown outcome: the next look tells.
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(core->context().store, std::move(txn), who.options);
  co_return answer.ok() || is_unknown(answer.status()) ? Status() : answer.status();
}

// Until something is published, or a partition of the group becomes free.
Task<Status> Topics::Claiming::wait_for_change(std::shared_ptr<Core> core, const Who& who, Revision after) {
  if (core->waiting_claims.size() >= topic_claims_waiting_max) co_return errors::too_much_waiting();
  const TopicKeys keys(who.topic);
  const Signal changed(core->context());
  std::vector<std::unique_ptr<store::Subscription>> subscriptions;
  for (const std::string& prefix : {keys.heads(), keys.owners(who.group), keys.config()}) {
    store::WatchRequest request;
    request.key = prefix;
    request.range_end = prefix_end(prefix);
    request.no_put = prefix == keys.owners(who.group);  // that others take a partition helps nobody
    request.start_revision = after + 1;
    Result<std::unique_ptr<store::Subscription>> subscription =
        core->context().store.watch(std::move(request), who.options);
    if (!subscription.ok()) co_return subscription.status();
    subscriptions.push_back(*std::move(subscription));
  }
  const std::uint64_t id = ++core->last_claim;
  core->waiting_claims.emplace(id, changed);
  Status status;
  while (true) {
    bool happened = core->closed();
    for (const std::unique_ptr<store::Subscription>& subscription : subscriptions) {
      if (const std::optional<store::WatchResponse> answer = subscription->next(claim_bytes_max)) {
        // Also if it ended, for whatever reason: the next look tells.
        happened = happened || !answer->events.empty() || answer->canceled;
      }
      if (!happened) subscription->notify_when_ready([changed] { changed.set(); });
    }
    if (happened) break;
    const Wake wake = co_await changed.wait(who.options.deadline, who.options.cancellation);
    if (wake == Wake::deadline) status = errors::wait_deadline_over();
    if (wake == Wake::cancelled) status = errors::wait_cancelled();
    if (!status.ok()) break;
  }
  core->waiting_claims.erase(id);
  co_return status;
}

}  // namespace lockstep::service
