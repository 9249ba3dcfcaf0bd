#include "sim/actor.h"

#include <type_traits>
#include <utility>

#include "base/assert.h"

namespace lockstep::sim {

Operation& Recorder::begin(std::uint32_t client, AnyRequest request, std::int64_t now_ns) {
  Operation operation;
  operation.number = next_number();
  operation.client = client;
  operation.invoked_ns = now_ns;
  operation.request = std::move(request);
  operations_.push_back(std::move(operation));
  return operations_.back();
}

Operation& Actor::begin(AnyRequest request, std::int64_t now_ns) {
  Operation& operation = recorder_.begin(number_, std::move(request), now_ns);
  if (const auto* put = std::get_if<store::PutRequest>(&operation.request)) {
    LS_MUST(tag_of(put->value) == operation.number, "a value names its operation");
  }
  return operation;
}

void Actor::record(Operation& operation, Answer answer, std::int64_t now_ns) {
  operation.member = answer.member;
  operation.member_life = answer.member_life;
  operation.outcome = answer.outcome;
  operation.code = answer.status.code();
  if (answer.outcome != Outcome::unknown) operation.returned_ns = now_ns;
  if (answer.outcome == Outcome::unknown) recorder_.coverage().add(Covered::unknown_outcome);
  if (answer.outcome != Outcome::ok) return;
  ++recorder_.acknowledged_;
  operation.response = std::move(answer.response);
  const Revision revision = std::visit(
      [](const auto& response) {
        if constexpr (std::is_same_v<std::decay_t<decltype(response)>, std::monostate>) {
          return Revision{};
        } else {
          return response.header.revision;
        }
      },
      operation.response);
  revision_seen_ = std::max(revision_seen_, revision);
  recorder_.revision_high_ = std::max(recorder_.revision_high_, revision.value());
}

bool is_mutation(const AnyRequest& request) {
  return !std::holds_alternative<store::RangeRequest>(request);
}

namespace {

template <class Response>
store::Callback<Response> wrap(std::move_only_function<void(Result<AnyResponse>)> done) {
  return [done = std::move(done)](Result<Response> result) mutable {
    if (result.ok()) {
      done(Result<AnyResponse>(AnyResponse(*std::move(result))));
    } else {
      done(result.status());
    }
  };
}

}  // namespace

void issue(store::Store& store, AnyRequest request, store::CallOptions options,
           std::move_only_function<void(Result<AnyResponse>)> done) {
  if (auto* range = std::get_if<store::RangeRequest>(&request)) {
    store.range(std::move(*range), std::move(options), wrap<store::RangeResponse>(std::move(done)));
  } else if (auto* put = std::get_if<store::PutRequest>(&request)) {
    store.put(std::move(*put), std::move(options), wrap<store::PutResponse>(std::move(done)));
  } else if (auto* remove = std::get_if<store::DeleteRangeRequest>(&request)) {
    store.delete_range(std::move(*remove), std::move(options),
                       wrap<store::DeleteRangeResponse>(std::move(done)));
  } else if (auto* txn = std::get_if<store::TxnRequest>(&request)) {
    store.txn(std::move(*txn), std::move(options), wrap<store::TxnResponse>(std::move(done)));
  } else if (auto* compact = std::get_if<store::CompactRequest>(&request)) {
    store.compact(*compact, std::move(options), wrap<store::CompactResponse>(std::move(done)));
  } else if (auto* grant = std::get_if<store::LeaseGrantRequest>(&request)) {
    store.lease_grant(*grant, std::move(options), wrap<store::LeaseGrantResponse>(std::move(done)));
  } else if (auto* revoke = std::get_if<store::LeaseRevokeRequest>(&request)) {
    store.lease_revoke(*revoke, std::move(options), wrap<store::LeaseRevokeResponse>(std::move(done)));
  } else if (auto* alive = std::get_if<store::LeaseKeepAliveRequest>(&request)) {
    store.lease_keep_alive(*alive, std::move(options), wrap<store::LeaseKeepAliveResponse>(std::move(done)));
  } else {
    done(Status(Code::invalid_argument, "an empty request"));
  }
}

}  // namespace lockstep::sim
