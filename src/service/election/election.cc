#include "service/election/election.h"

#include <utility>

namespace lockstep::service {
namespace {

store::TxnRequest if_leads(const Leadership& leadership) {
  store::Compare compare;
  compare.key = leadership.key;
  compare.target = store::CompareTarget::create_revision;
  compare.number = leadership.token.value();
  store::TxnRequest txn;
  txn.compare.push_back(std::move(compare));
  return txn;
}

Task<void> resign_as(Context context, LeaveRequest leave, store::CallOptions options,
                     std::move_only_function<void(Result<store::Header>)> done) {
  const Result<Left> left = co_await leave_line(context, std::move(leave), std::move(options));
  if (left.ok()) {
    done(left->header);
    co_return;
  }
  const bool is_over = left.status() == errors::not_holder() || left.status() == errors::stale_token();
  done(is_over ? Result<store::Header>(store::Header{}) : left.status());
}

}  // namespace

namespace errors {
Status not_leader() {
  return {Code::failed_precondition, "election: not leader"};
}
Status no_leader() {
  return {Code::not_found, "election: no leader"};
}
}  // namespace errors

void Election::campaign(std::string name, LeaseId lease, std::string value, store::CallOptions options,
                        store::Callback<Ownership> done) {
  line_.enter({std::move(name), lease, std::move(value)}, std::move(options), std::move(done));
}

void Election::proclaim(const Leadership& leadership, std::string value, store::CallOptions options,
                        std::move_only_function<void(Result<store::Header>)> done) {
  store::PutRequest put;
  put.key = leadership.key;
  put.value = std::move(value);
  put.lease = leadership.lease;
  store::TxnRequest txn = if_leads(leadership);
  txn.success.emplace_back().request = std::move(put);
  context_.store.txn(std::move(txn), std::move(options),
                     [done = std::move(done)](const Result<store::TxnResponse>& answer) mutable {
                       if (!answer.ok()) return done(answer.status());
                       if (!answer->succeeded) return done(errors::not_leader());
                       done(answer->header);
                     });
}

void Election::resign(Leadership leadership, store::CallOptions options,
                      std::move_only_function<void(Result<store::Header>)> done) {
  LeaveRequest leave;
  leave.key = std::move(leadership.key);
  leave.token = leadership.token;
  resign_as(context_, std::move(leave), std::move(options), std::move(done)).detach();
}

void Election::leader(const std::string& name, store::CallOptions options, store::Callback<Leader> done) {
  context_.store.range(oldest_contender(name), std::move(options),
                       [done = std::move(done)](Result<store::RangeResponse> answer) mutable {
                         if (!answer.ok()) return done(answer.status());
                         if (answer->kvs.empty()) return done(errors::no_leader());
                         done(Leader{answer->header, std::move(answer->kvs[0])});
                       });
}

std::shared_ptr<LeaderObserver> Election::observe(std::string name, store::CallOptions options) {
  return std::make_shared<LeaderObserver>(context_.store, std::move(name), std::move(options));
}

}  // namespace lockstep::service
