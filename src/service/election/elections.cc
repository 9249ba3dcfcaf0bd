#include "service/election/elections.h"

#include <utility>

#include "base/planted.h"
#include "service/names.h"
#include "service/store_requests.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

Status check(const std::string& name, const std::string& value) {
  LS_RETURN_IF_ERROR(check_name(name));
  return value.size() > leader_value_bytes_max ? errors::leader_value_too_large() : Status();
}

Task<Result<Elected>> campaign_in(std::shared_ptr<Line> line, SessionPtr session, Campaign campaign,
                                  store::CallOptions options) {
  if (Status wrong = check(campaign.name, campaign.value); !wrong.ok()) co_return wrong;
  LineRequest place;
  place.key = contender_key(campaign.name, session->id());
  place.value = campaign.value;
  if (!LS_PLANTED(two_leaders))
    place.before.push_back({campaign.name + "/", prefix_end(campaign.name + "/")});
  place.wait = campaign.wait;
  place.again = [value = campaign.value](const store::KeyValue&, bool) { return value; };
  const Result<Entered> entered =
      co_await line->enter(std::move(session), std::move(place), std::move(options));
  if (!entered.ok()) {
    co_return entered.status() == errors::would_wait() ? errors::somebody_leads() : entered.status();
  }
  const Ownership& own = entered->ownership;
  co_return Elected{std::move(campaign.name), own.token, own.lease, own.key, own.header};
}

Task<Result<store::Header>> proclaim_as(Context context, Leadership leadership, std::string value,
                                        store::CallOptions options) {
  if (value.size() > leader_value_bytes_max) co_return errors::leader_value_too_large();
  if (leadership.token <= Revision()) co_return errors::not_leader();
  store::TxnRequest txn;
  txn.compare.push_back(created_at(leadership.key, leadership.token));
  store::PutRequest put = put_of(leadership.key, std::move(value), {});
  put.ignore_lease = true;  // it stays its session's, whatever the caller says
  txn.success.push_back(operation(std::move(put)));
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context.store, std::move(txn), std::move(options));
  if (!answer.ok()) co_return answer.status();
  if (!answer->succeeded) co_return errors::not_leader();
  co_return answer->header;
}

Task<Result<store::Header>> resign_as(Context context, Leadership leadership, store::CallOptions options) {
  if (leadership.token <= Revision()) co_return errors::not_leader();
  LeaveRequest leave;
  leave.key = std::move(leadership.key);
  leave.token = leadership.token;
  const Result<Left> left = co_await leave_line(context, std::move(leave), std::move(options));
  if (left.ok()) co_return left->header;
  const bool is_over = left.status() == errors::not_holder() || left.status() == errors::stale_token();
  co_return is_over ? errors::not_leader() : left.status();
}

Task<Result<Leader>> leader_of(Context context, std::string name, store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  Result<store::RangeResponse> answer =
      co_await store::awaitable::range(context.store, oldest_contender(name), std::move(options));
  if (!answer.ok()) co_return answer.status();
  if (answer->kvs.empty()) co_return errors::no_leader();
  co_return Leader{answer->header, std::move(answer->kvs[0])};
}

}  // namespace

namespace errors {
Status somebody_leads() {
  return {Code::failed_precondition, "lockstep: somebody else leads"};
}
Status leader_value_too_large() {
  return {Code::invalid_argument, "lockstep: what a leader says is longer than 64 KiB"};
}
}  // namespace errors

// Outlives a question that nobody waits for any more: its answer is the next question's.
struct LeaderWatch::Answer {
  explicit Answer(const Context& context) : arrived(context) {}
  Signal arrived;
  bool asked = false;
  std::optional<Result<Leader>> leader;
};

LeaderWatch::LeaderWatch(const Context& context, std::string name, const store::CallOptions& options)
    : answer_(std::make_shared<Answer>(context)) {
  store::CallOptions call;
  call.principal = options.principal;
  observer_ = std::make_shared<LeaderObserver>(context.store, std::move(name), call);
}

Task<Result<Leader>> LeaderWatch::next(store::CallOptions options) {
  return wait(observer_, answer_, std::move(options));
}

Task<Result<Leader>> LeaderWatch::wait(std::shared_ptr<LeaderObserver> observer,
                                       std::shared_ptr<Answer> answer, store::CallOptions options) {
  while (!answer->leader.has_value()) {
    if (!std::exchange(answer->asked, true)) {
      observer->next([answer](Result<Leader> leader) {
        answer->asked = false;
        answer->leader = std::move(leader);
        answer->arrived.set();
      });
      continue;
    }
    const Wake wake = co_await answer->arrived.wait(options.deadline, options.cancellation);
    if (answer->leader.has_value()) break;
    if (wake == Wake::deadline) co_return errors::wait_deadline_over();
    if (wake == Wake::cancelled) co_return errors::wait_cancelled();
  }
  Result<Leader> leader = *std::move(answer->leader);
  answer->leader.reset();
  co_return leader;
}

Task<Result<Elected>> Elections::campaign(SessionPtr session, Campaign campaign, store::CallOptions options) {
  return campaign_in(line_, std::move(session), std::move(campaign), std::move(options));
}

Task<Result<store::Header>> Elections::proclaim(const Leadership& leadership, std::string value,
                                                store::CallOptions options) {
  return proclaim_as(context_, leadership, std::move(value), std::move(options));
}

Task<Result<store::Header>> Elections::resign(const Leadership& leadership, store::CallOptions options) {
  return resign_as(context_, leadership, std::move(options));
}

Task<Result<Leader>> Elections::leader(std::string name, store::CallOptions options) {
  return leader_of(context_, std::move(name), std::move(options));
}

}  // namespace lockstep::service
