#include "operation.h"

#include <limits>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/limits.h"
#include "gateway/etcd/convert.h"
#include "proto/cluster.pb.h"
#include "proto/kv.pb.h"
#include "remote/convert.h"
#include "step.h"

namespace lockstep::wire_test {
namespace {

namespace pb = ::etcdserverpb;
using store::testing::Known;

constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();

class Spoiler {
 public:
  explicit Spoiler(Prng& prng) : prng_(prng) {}

  void spoil(pb::RangeRequest& request) {
    // Not sent: orders and targets that no name exists for, which etcd refuses from 3.5 on.
    switch (prng_.below(8)) {
      case 0:
        return request.clear_key();
      case 1:
        return request.set_range_end("A");  // before every key
      case 2:
        return request.set_limit(prng_.chance(1, 2) ? -7 : huge);
      case 3:
        return request.set_revision(prng_.chance(1, 2) ? huge : -3);
      case 4:
        return request.set_min_mod_revision(prng_.chance(1, 2) ? -1 : huge);
      case 5:
        return request.set_max_create_revision(prng_.chance(1, 2) ? -1 : huge);
      case 6:
        request.set_count_only(true);
        return request.set_keys_only(true);
      default:
        return request.set_range_end(request.key());
    }
  }
  void spoil(pb::PutRequest& request) {
    switch (prng_.below(6)) {
      case 0:
        return request.clear_key();
      case 1:
        return request.set_lease(prng_.chance(1, 2) ? -1 : huge);
      case 2:
        request.set_value("given");
        return request.set_ignore_value(true);
      case 3:
        request.set_lease(1);
        return request.set_ignore_lease(true);
      case 4:
        return request.set_key(std::string(prng_.between(1, 5000), 'k'));
      default:
        request.clear_value();
        request.clear_lease();
        request.set_ignore_value(true);
        return request.set_ignore_lease(true);
    }
  }
  void spoil(pb::DeleteRangeRequest& request) {
    switch (prng_.below(3)) {
      case 0:
        return request.clear_key();
      case 1:
        return request.set_range_end("A");
      default:
        return request.set_range_end(request.key());
    }
  }
  void spoil(pb::Compare& compare) {
    switch (prng_.below(6)) {
      case 0:
        return compare.clear_key();
      case 1:
        return compare.clear_target_union();
      case 2:
        return compare.set_version(prng_.chance(1, 2) ? -1 : huge);  // whatever the target is
      case 3:
        return compare.set_value("another kind");
      case 4:
        return compare.set_range_end("A");
      default:
        return compare.set_lease(3);
    }
  }
  void spoil(pb::TxnRequest& request) {
    auto& branch = prng_.chance(1, 2) ? *request.mutable_success() : *request.mutable_failure();
    switch (prng_.below(6)) {
      case 0:
        branch.Add();  // nothing in it
        return;
      case 1: {
        pb::RequestOp* operation = branch.Add();
        // Not as deep as we allow, which is less than etcd does (store/validate.h).
        for (std::uint64_t depth = prng_.between(1, 10); depth > 0; --depth) {
          operation = operation->mutable_request_txn()->add_success();
        }
        operation->mutable_request_range()->set_key("a");
        return;
      }
      case 2: {
        const std::uint64_t count = limits::txn_operations_max - 1 + prng_.below(3);
        while (branch.size() < static_cast<int>(count)) branch.Add()->mutable_request_range()->set_key("a");
        return;
      }
      case 3: {
        const std::uint64_t count = limits::txn_operations_max - 1 + prng_.below(3);
        while (request.compare_size() < static_cast<int>(count)) {
          pb::Compare* compare = request.add_compare();
          compare->set_key("a");
          compare->set_version(0);
        }
        return;
      }
      case 4:
        for (int i = 0; i < 2; ++i) branch.Add()->mutable_request_put()->set_key("twice");
        return;
      default:
        spoil_inside(request);
    }
  }
  void spoil(pb::CompactionRequest& request) { request.set_revision(prng_.chance(1, 2) ? -2 : huge); }
  void spoil(pb::LeaseGrantRequest& request) {
    // Not below one: both make that two seconds, which end at another moment on each.
    request.set_ttl(huge);
  }
  void spoil(pb::LeaseRevokeRequest& request) { request.set_id(prng_.chance(1, 2) ? 0 : -1); }
  void spoil(pb::LeaseTimeToLiveRequest& request) { request.set_id(prng_.chance(1, 2) ? 0 : huge); }
  void spoil(pb::LeaseKeepAliveRequest& request) { request.set_id(prng_.chance(1, 2) ? 0 : huge); }
  void spoil(pb::LeaseLeasesRequest&) {}
  void spoil(pb::AlarmRequest& request) { request.set_memberid(0); }
  void spoil(pb::WatchCreateRequest& request) { request.set_range_end("A"); }

 private:
  void spoil_inside(pb::TxnRequest& request) {
    if (request.compare_size() > 0 && prng_.chance(1, 2))
      return spoil(*request.mutable_compare(
          static_cast<int>(prng_.below(static_cast<std::uint64_t>(request.compare_size())))));
    for (auto* branch : {request.mutable_success(), request.mutable_failure()}) {
      for (pb::RequestOp& operation : *branch) {
        if (operation.has_request_range()) return spoil(*operation.mutable_request_range());
        if (operation.has_request_put()) return spoil(*operation.mutable_request_put());
        if (operation.has_request_delete_range()) return spoil(*operation.mutable_request_delete_range());
        if (operation.has_request_txn()) return spoil_inside(*operation.mutable_request_txn());
      }
    }
  }

  Prng& prng_;
};

// Keys that begin with a zero byte are the server's own here (gateway/etcd/reserved_keys.h), so none is sent;
// "\0" as the begin of everything is.
template <class Message>
  requires requires(Message& message) { message.key(); }
void leave_reserved_keys(Message& message) {
  if (message.key().empty() || message.key().front() != '\0') return;
  if constexpr (requires { message.range_end(); }) {
    if (message.range_end() == std::string_view("\0", 1)) return;
  }
  message.set_key("\x02");
}
void leave_reserved_keys(pb::TxnRequest& message) {
  for (pb::Compare& compare : *message.mutable_compare()) leave_reserved_keys(compare);
  for (auto* branch : {message.mutable_success(), message.mutable_failure()}) {
    for (pb::RequestOp& operation : *branch) {
      if (operation.has_request_range()) leave_reserved_keys(*operation.mutable_request_range());
      if (operation.has_request_put()) leave_reserved_keys(*operation.mutable_request_put());
      if (operation.has_request_delete_range())
        leave_reserved_keys(*operation.mutable_request_delete_range());
      if (operation.has_request_txn()) leave_reserved_keys(*operation.mutable_request_txn());
    }
  }
}

// A serializable read may be answered by a member that lags, and so may a transaction that reads nothing
// else: each gets one read that is not. And nothing in a transaction may be refused while it is applied:
// members of etcd 3.4 then differ, the one that was asked has no effect of it and the others count a
// revision.
void linearize(pb::TxnRequest& message) {
  for (auto* branch : {message.mutable_success(), message.mutable_failure()}) {
    for (pb::RequestOp& operation : *branch) {
      if (operation.has_request_range()) {
        operation.mutable_request_range()->clear_serializable();
        operation.mutable_request_range()->clear_revision();
      }
      if (operation.has_request_put()) {
        operation.mutable_request_put()->clear_lease();
        operation.mutable_request_put()->clear_ignore_lease();
        operation.mutable_request_put()->clear_ignore_value();
      }
      if (operation.has_request_txn()) linearize(*operation.mutable_request_txn());
    }
  }
}
void linearize(Operation& operation) {
  if (const auto* range = dynamic_cast<const pb::RangeRequest*>(operation.request.get())) {
    auto copy = std::make_shared<pb::RangeRequest>(*range);
    copy->clear_serializable();
    operation.request = std::move(copy);
  }
  if (const auto* txn = dynamic_cast<const pb::TxnRequest*>(operation.request.get())) {
    auto copy = std::make_shared<pb::TxnRequest>(*txn);
    linearize(*copy);
    copy->add_success()->mutable_request_range()->set_key("a");
    copy->add_failure()->mutable_request_range()->set_key("a");
    operation.request = std::move(copy);
  }
}

template <class Message>
Operation operation(Operation::Kind kind, std::string_view path, Message message, Prng& prng,
                    unsigned wrong) {
  if (prng.chance(wrong, 100)) Spoiler(prng).spoil(message);
  if constexpr (requires { leave_reserved_keys(message); }) leave_reserved_keys(message);
  return {kind, path, std::make_shared<Message>(std::move(message)), 0};
}

struct ToOperation {
  Prng& prng;
  unsigned wrong;

  template <class Message, class Request>
  Operation unary(std::string_view path, Request request) {
    Message message;
    remote::to_wire(std::move(request), &message);
    return operation(Operation::Kind::unary, path, std::move(message), prng, wrong);
  }
  Operation operator()(store::RangeRequest request) {
    return unary<pb::RangeRequest>("/etcdserverpb.KV/Range", std::move(request));
  }
  Operation operator()(store::PutRequest request) {
    return unary<pb::PutRequest>("/etcdserverpb.KV/Put", std::move(request));
  }
  Operation operator()(store::DeleteRangeRequest request) {
    return unary<pb::DeleteRangeRequest>("/etcdserverpb.KV/DeleteRange", std::move(request));
  }
  Operation operator()(store::TxnRequest request) {
    return unary<pb::TxnRequest>("/etcdserverpb.KV/Txn", std::move(request));
  }
  Operation operator()(store::CompactRequest request) {
    return unary<pb::CompactionRequest>("/etcdserverpb.KV/Compact", request);
  }
  Operation operator()(store::LeaseGrantRequest request) {
    if (prng.chance(1, 6)) {
      pb::LeaseGrantRequest message;
      message.set_ttl(static_cast<std::int64_t>(prng.between(100'000, 200'000)));
      return {Operation::Kind::grant_any, "/etcdserverpb.Lease/LeaseGrant",
              std::make_shared<pb::LeaseGrantRequest>(message), 0};
    }
    return unary<pb::LeaseGrantRequest>("/etcdserverpb.Lease/LeaseGrant", request);
  }
  Operation operator()(store::LeaseRevokeRequest request) {
    return unary<pb::LeaseRevokeRequest>("/etcdserverpb.Lease/LeaseRevoke", request);
  }
  Operation operator()(store::LeaseKeepAliveRequest request) {
    pb::LeaseKeepAliveRequest message;
    message.set_id(request.id.value());
    return operation(Operation::Kind::keep_alive, "/etcdserverpb.Lease/LeaseKeepAlive", message, prng, wrong);
  }
  Operation operator()(store::LeaseTimeToLiveRequest request) {
    return unary<pb::LeaseTimeToLiveRequest>("/etcdserverpb.Lease/LeaseTimeToLive", request);
  }
  Operation operator()(const store::LeaseLeasesResponse&) {
    return operation(Operation::Kind::unary, "/etcdserverpb.Lease/LeaseLeases", pb::LeaseLeasesRequest(),
                     prng, 0);
  }
  Operation operator()(store::AlarmRequest request) {
    return unary<pb::AlarmRequest>("/etcdserverpb.Maintenance/Alarm", request);
  }
};

// Filters, previous values, and a begin anywhere between before the compaction and now.
Operation watch(Prng& prng, const Known& known) {
  pb::WatchCreateRequest message;
  const std::string keys[] = {"a", "b", "ab", "c", "ca", std::string(1, '\0')};
  message.set_key(keys[prng.below(6)]);
  if (message.key() == std::string(1, '\0') || prng.chance(1, 3)) {
    message.set_range_end(std::string(1, '\0'));
  } else if (prng.chance(1, 2)) {
    message.set_range_end(keys[prng.below(5)]);
  }
  const auto back =
      static_cast<std::uint64_t>(known.revision - std::max<std::int64_t>(known.compacted - 2, 0));
  message.set_start_revision(prng.chance(1, 6)
                                 ? 0
                                 : known.revision + 1 -
                                       static_cast<std::int64_t>(prng.below(std::min<std::uint64_t>(
                                           back + 1, prng.chance(1, 3) ? 10'000 : 40))));
  message.set_start_revision(std::max<std::int64_t>(message.start_revision(), 0));
  message.set_prev_kv(prng.chance(1, 2));
  if (prng.chance(1, 4)) message.add_filters(static_cast<pb::WatchCreateRequest::FilterType>(prng.below(2)));
  return {Operation::Kind::watch, "/etcdserverpb.Watch/Watch",
          std::make_shared<pb::WatchCreateRequest>(message), 0};
}

}  // namespace

Operation generate(Prng& prng, const Known& known, std::size_t members, unsigned wrong) {
  Operation operation = prng.chance(1, 30)
                            ? watch(prng, known)
                            : std::visit(ToOperation{prng, wrong}, store::testing::generate(prng, known));
  operation.member = prng.below(members);
  if (members > 1) linearize(operation);
  // An alarm stops what comes in later at the member that knows of it. The others hear of it a moment after
  // who raised it, and etcd's stop what was already on its way too.
  if (members > 1 && dynamic_cast<const pb::AlarmRequest*>(operation.request.get()) != nullptr)
    return generate(prng, known, members, wrong);
  // After a compaction at 0, members of etcd 3.4 no longer agree whether a transaction may read at a negative
  // revision: one refuses it, the others apply it.
  const auto* compaction = dynamic_cast<const pb::CompactionRequest*>(operation.request.get());
  if (members > 1 && compaction != nullptr && compaction->revision() <= 0)
    return generate(prng, known, members, wrong);
  return operation;
}

bool is_stricter_here(const Operation& operation, const Known& known) {
  const auto* message = dynamic_cast<const pb::TxnRequest*>(operation.request.get());
  if (message == nullptr) return false;
  pb::TxnRequest copy = *message;
  store::TxnRequest request;
  return gateway::from_wire(copy, &request).ok() && etcd_test::is_stricter_here(request, known);
}

std::string describe(const Operation& operation) {
  std::string text = operation.request->ShortDebugString();
  if (text.size() > 1500) text = text.substr(0, 1500) + "…";
  return "member " + std::to_string(operation.member + 1) + " " + std::string(operation.path) + " {" + text +
         "}";
}

}  // namespace lockstep::wire_test
