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
  AcquireRequest request;
  request.name = std::move(name);
  request.lease = lease;
  request.value = std::move(value);
  request.replace_value = true;
  queue_.acquire(std::move(request), std::move(options), std::move(done));
}

void Election::proclaim(const Leadership& leadership, std::string value, store::CallOptions options,
                        std::move_only_function<void(Result<store::Header>)> done) {
  store::PutRequest put;
  put.key = leadership.key;
  put.value = std::move(value);
  put.lease = leadership.lease;
  store::TxnRequest txn = if_leads(leadership);
  txn.success.emplace_back().request = std::move(put);
  store_.txn(std::move(txn), std::move(options),
             [done = std::move(done)](const Result<store::TxnResponse>& answer) mutable {
               if (!answer.ok()) return done(answer.status());
               if (!answer->succeeded) return done(errors::not_leader());
               done(answer->header);
             });
}

void Election::resign(const Leadership& leadership, store::CallOptions options,
                      std::move_only_function<void(Result<store::Header>)> done) {
  store::DeleteRangeRequest removal;
  removal.key = leadership.key;
  store::TxnRequest txn = if_leads(leadership);
  txn.success.emplace_back().request = std::move(removal);
  store_.txn(std::move(txn), std::move(options),
             [done = std::move(done)](const Result<store::TxnResponse>& answer) mutable {
               if (!answer.ok()) return done(answer.status());
               done(answer->header);
             });
}

void Election::leader(const std::string& name, store::CallOptions options, store::Callback<Leader> done) {
  store_.range(oldest_contender(name), std::move(options),
               [done = std::move(done)](Result<store::RangeResponse> answer) mutable {
                 if (!answer.ok()) return done(answer.status());
                 if (answer->kvs.empty()) return done(errors::no_leader());
                 done(Leader{answer->header, std::move(answer->kvs[0])});
               });
}

std::shared_ptr<LeaderObserver> Election::observe(std::string name, store::CallOptions options) {
  return std::make_shared<LeaderObserver>(store_, std::move(name), std::move(options));
}

}  // namespace lockstep::service
