#include "pair.h"

#include <algorithm>
#include <deque>
#include <iterator>

#include "proto/cluster.pb.h"
#include "proto/kv.pb.h"

namespace lockstep::wire_test {
namespace {

namespace pb = ::etcdserverpb;
using google::protobuf::Message;

template <class Response>
std::unique_ptr<Message> parsed(const std::string& bytes) {
  auto message = std::make_unique<Response>();
  if (!message->ParseFromString(bytes)) return nullptr;
  return message;
}

std::unique_ptr<Message> response_of(std::string_view path, const std::string& bytes) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (name == "Range") return parsed<pb::RangeResponse>(bytes);
  if (name == "Put") return parsed<pb::PutResponse>(bytes);
  if (name == "DeleteRange") return parsed<pb::DeleteRangeResponse>(bytes);
  if (name == "Txn") return parsed<pb::TxnResponse>(bytes);
  if (name == "Compact") return parsed<pb::CompactionResponse>(bytes);
  if (name == "LeaseGrant") return parsed<pb::LeaseGrantResponse>(bytes);
  if (name == "LeaseRevoke") return parsed<pb::LeaseRevokeResponse>(bytes);
  if (name == "LeaseKeepAlive") return parsed<pb::LeaseKeepAliveResponse>(bytes);
  if (name == "LeaseTimeToLive") return parsed<pb::LeaseTimeToLiveResponse>(bytes);
  if (name == "LeaseLeases") return parsed<pb::LeaseLeasesResponse>(bytes);
  if (name == "Alarm") return parsed<pb::AlarmResponse>(bytes);
  if (name == "Watch") return parsed<pb::WatchResponse>(bytes);
  return nullptr;
}

pb::ResponseHeader* header_of(Message& message) {
  const auto* field = message.GetDescriptor()->FindFieldByName("header");
  return dynamic_cast<pb::ResponseHeader*>(message.GetReflection()->MutableMessage(&message, field));
}

// Nested answers of a transaction carry headers too; etcd fills only the revision there.
std::string without_identities(Message& message, bool with_revision) {
  pb::ResponseHeader* header = header_of(message);
  header->clear_cluster_id();
  header->clear_member_id();
  header->clear_raft_term();
  if (!with_revision) header->clear_revision();
  return message.ShortDebugString();
}

bool outage(const rpc::GrpcStatus& status) {
  return status.code == rpc::GrpcCode::unavailable || status.code == rpc::GrpcCode::deadline_exceeded ||
         status.code == rpc::GrpcCode::unknown;
}

bool in_range(const std::string& key, const std::string& begin, const std::string& end) {
  if (end.empty()) return key == begin;
  return key >= begin && (end == std::string_view("\0", 1) || key < end);
}

}  // namespace

Pair::Pair(std::size_t members) {
  sides_.push_back({"etcd", etcd_test::ServerCluster::etcd(members), {}, nullptr});
  sides_.push_back(
      {"lockstepd", etcd_test::ServerCluster::lockstepd(LOCKSTEPD_PROGRAM, members), {}, nullptr});
  for (Side& side : sides_) {
    for (std::size_t i = 0; i < members; ++i)
      side.channels.push_back(&client_.connect(side.cluster.endpoint(i)));
    side.everything = std::make_unique<WireStream>(client_, *side.channels[0], "/etcdserverpb.Watch/Watch");
    pb::WatchRequest request;
    request.mutable_create_request()->set_key(std::string(1, '\0'));
    request.mutable_create_request()->set_range_end(std::string(1, '\0'));
    request.mutable_create_request()->set_prev_kv(true);
    side.everything->send(request.SerializeAsString());
    pb::WatchResponse created;
    LS_MUST(created.ParseFromString(side.everything->next().message));
    LS_MUST(created.created());
  }
}

std::optional<Mismatch> Pair::run(const Operation& operation) {
  switch (operation.kind) {
    case Operation::Kind::unary:
      return run_unary(operation);
    case Operation::Kind::grant_any:
      return run_grant_any(operation);
    case Operation::Kind::keep_alive:
      return run_keep_alive(operation);
    case Operation::Kind::watch:
      return run_watch(operation);
  }
  return std::nullopt;
}

std::string Pair::normalised(const Operation& operation, const Answer& answer) const {
  if (!answer.status.ok())
    return "code " + std::to_string(static_cast<int>(answer.status.code)) + ": " + answer.status.message;
  const std::unique_ptr<Message> message = response_of(operation.path, answer.message);
  if (!message) return "not a message";
  bool with_revision = sides_[0].cluster.size() == 1 || !operation.path.starts_with("/etcdserverpb.Lease/");
  if (auto* leases = dynamic_cast<pb::LeaseLeasesResponse*>(message.get())) {
    std::sort(leases->mutable_leases()->pointer_begin(), leases->mutable_leases()->pointer_end(),
              [](const auto* a, const auto* b) { return a->id() < b->id(); });
  } else if (auto* alarms = dynamic_cast<pb::AlarmResponse*>(message.get())) {
    with_revision = false;
    std::sort(alarms->mutable_alarms()->pointer_begin(), alarms->mutable_alarms()->pointer_end(),
              [](const auto* a, const auto* b) { return a->memberid() < b->memberid(); });
  } else if (auto* ttl = dynamic_cast<pb::LeaseTimeToLiveResponse*>(message.get())) {
    std::sort(ttl->mutable_keys()->begin(), ttl->mutable_keys()->end());
    if (ttl->ttl() > 0 && ttl->ttl() <= ttl->grantedttl()) ttl->set_ttl(ttl->grantedttl());
  } else if (auto* watch = dynamic_cast<pb::WatchResponse*>(message.get())) {
    with_revision = watch->compact_revision() == 0 && sides_[0].cluster.size() == 1;
    if (watch->compact_revision() != 0) watch->clear_cancel_reason();
  }
  return without_identities(*message, with_revision);
}

std::optional<Mismatch> Pair::compare(const Operation& operation, const Answer& etcd,
                                      const Answer& lockstepd) {
  if (!etcd.status.ok()) ++errors_;
  const std::string expected = normalised(operation, etcd);
  const std::string got = normalised(operation, lockstepd);
  if (expected == got && etcd.status.code != rpc::GrpcCode::deadline_exceeded) return std::nullopt;
  return Mismatch{
      "request:   " + describe(operation) + "\netcd:      " + expected + "\nlockstepd: " + got + "\n",
      outage(etcd.status) != outage(lockstepd.status) && sides_[0].cluster.size() > 1};
}

void Pair::learn(const Operation& operation, const Answer& answer) {
  if (!answer.status.ok()) return;
  const std::unique_ptr<Message> message = response_of(operation.path, answer.message);
  known_.revision = std::max(known_.revision, header_of(*message)->revision());
  if (const auto* compact = dynamic_cast<const pb::CompactionRequest*>(operation.request.get()))
    known_.compacted = compact->revision();
  if (const auto* grant = dynamic_cast<const pb::LeaseGrantResponse*>(message.get()))
    known_.leases.emplace_back(grant->id());
  if (const auto* revoke = dynamic_cast<const pb::LeaseRevokeRequest*>(operation.request.get()))
    std::erase(known_.leases, LeaseId(revoke->id()));
  if (const auto* alarm = dynamic_cast<const pb::AlarmRequest*>(operation.request.get())) {
    const std::pair key(alarm->memberid(), static_cast<int>(alarm->alarm()));
    if (alarm->action() == pb::AlarmRequest::ACTIVATE) alarms_.insert(key);
    if (alarm->action() == pb::AlarmRequest::DEACTIVATE) alarms_.erase(key);
    known_.no_space = std::ranges::any_of(
        alarms_, [](const auto& one) { return one.second == static_cast<int>(pb::NOSPACE); });
  }
}

std::optional<Mismatch> Pair::run_unary(const Operation& operation) {
  const std::string bytes = operation.request->SerializeAsString();
  const std::vector<Answer> answers =
      client_.ask({{sides_[0].channels[operation.member], operation.path, bytes},
                   {sides_[1].channels[operation.member], operation.path, bytes}});
  learn(operation, answers[0]);
  return compare(operation, answers[0], answers[1]);
}

std::optional<Mismatch> Pair::run_grant_any(const Operation& operation) {
  std::vector<Answer> granted;
  std::vector<Answer> revoked;
  for (Side& side : sides_) {
    Answer grant = client_.ask(
        {{side.channels[operation.member], operation.path, operation.request->SerializeAsString()}})[0];
    pb::LeaseGrantResponse response;
    if (grant.status.ok() && response.ParseFromString(grant.message)) {
      pb::LeaseRevokeRequest revoke;
      revoke.set_id(response.id());
      revoked.push_back(client_.ask({{side.channels[operation.member], "/etcdserverpb.Lease/LeaseRevoke",
                                      revoke.SerializeAsString()}})[0]);
      response.set_id(response.id() > 0 ? 1 : 0);
      grant.message = response.SerializeAsString();
    }
    granted.push_back(std::move(grant));
  }
  if (auto mismatch = compare(operation, granted[0], granted[1])) return mismatch;
  if (revoked.empty()) return std::nullopt;
  Operation revocation = operation;
  revocation.path = "/etcdserverpb.Lease/LeaseRevoke";
  return compare(revocation, revoked[0], revoked[1]);
}

std::optional<Mismatch> Pair::run_keep_alive(const Operation& operation) {
  std::vector<Answer> answers;
  for (Side& side : sides_) {
    WireStream stream(client_, *side.channels[operation.member], operation.path);
    stream.send(operation.request->SerializeAsString());
    answers.push_back(stream.next());
  }
  return compare(operation, answers[0], answers[1]);
}

std::optional<Mismatch> Pair::compare_events(WireStream& etcd, WireStream& lockstepd, std::size_t count,
                                             const std::string& what) {
  std::deque<mvccpb::Event> pending[2];
  WireStream* streams[2] = {&etcd, &lockstepd};
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t side = 0; side < 2; ++side) {
      while (pending[side].empty()) {
        const Answer answer = streams[side]->next();
        pb::WatchResponse response;
        if (!answer.status.ok() || !response.ParseFromString(answer.message) || response.canceled())
          return Mismatch{what + "\n" + sides_[side].name + " ended after " + std::to_string(i) + " of " +
                          std::to_string(count) + " events: " + answer.status.message + " " +
                          response.ShortDebugString() + "\n"};
        pending[side].insert(pending[side].end(), response.events().begin(), response.events().end());
      }
    }
    const std::string expected = pending[0].front().ShortDebugString();
    const std::string got = pending[1].front().ShortDebugString();
    if (expected != got)
      return Mismatch{what + "\nevent " + std::to_string(i) + "\netcd:      " + expected +
                      "\nlockstepd: " + got + "\n"};
    if (&etcd == sides_[0].everything.get()) {
      const mvccpb::Event& event = pending[0].front();
      record_.push_back({event.kv().mod_revision(), event.type() == mvccpb::Event::DELETE, event.kv().key()});
      recorded_revision_ = event.kv().mod_revision();
    }
    for (auto& events : pending) events.pop_front();
  }
  if (!pending[0].empty() || !pending[1].empty())
    return Mismatch{what + "\nevents too many: " + std::to_string(pending[0].size()) + " of etcd, " +
                    std::to_string(pending[1].size()) + " of lockstepd\n"};
  return std::nullopt;
}

// Whole revisions until both stand where the store stands: no revision is without an event.
std::optional<Mismatch> Pair::catch_up() {
  std::deque<mvccpb::Event> pending[2];
  for (std::size_t side = 0; side < 2; ++side) {
    std::int64_t reached = recorded_revision_;
    while (reached < known_.revision) {
      const Answer answer = sides_[side].everything->next();
      pb::WatchResponse response;
      if (!answer.status.ok() || !response.ParseFromString(answer.message) || response.canceled())
        return Mismatch{sides_[side].name + ": the watcher of everything ended at revision " +
                        std::to_string(reached) + " of " + std::to_string(known_.revision) + ": " +
                        answer.status.message + "\n"};
      for (const mvccpb::Event& event : response.events()) {
        reached = event.kv().mod_revision();
        pending[side].push_back(event);
      }
    }
  }
  for (std::size_t i = 0; i < std::max(pending[0].size(), pending[1].size()); ++i) {
    const std::string expected = i < pending[0].size() ? pending[0][i].ShortDebugString() : "none";
    const std::string got = i < pending[1].size() ? pending[1][i].ShortDebugString() : "none";
    if (expected != got)
      return Mismatch{"the watcher of everything\netcd:      " + expected + "\nlockstepd: " + got + "\n"};
    const mvccpb::Event& event = pending[0][i];
    record_.push_back({event.kv().mod_revision(), event.type() == mvccpb::Event::DELETE, event.kv().key()});
  }
  recorded_revision_ = known_.revision;
  return std::nullopt;
}

std::size_t Pair::due(const Message& create) const {
  const auto& request = dynamic_cast<const pb::WatchCreateRequest&>(create);
  if (request.start_revision() == 0) return 0;
  const auto filtered = [&](bool deleted) {
    return std::ranges::any_of(request.filters(), [&](int filter) {
      return filter == (deleted ? pb::WatchCreateRequest::NODELETE : pb::WatchCreateRequest::NOPUT);
    });
  };
  return static_cast<std::size_t>(std::ranges::count_if(record_, [&](const Happened& one) {
    return one.revision >= request.start_revision() &&
           in_range(one.key, request.key(), request.range_end()) && !filtered(one.deleted);
  }));
}

std::optional<Mismatch> Pair::run_watch(const Operation& operation) {
  if (auto mismatch = catch_up()) return mismatch;
  pb::WatchRequest request;
  *request.mutable_create_request() = dynamic_cast<const pb::WatchCreateRequest&>(*operation.request);
  pb::WatchCreateRequest& create = *request.mutable_create_request();
  // At the compacted revision itself etcd gives what its compaction has not come to yet; and a member that
  // lags has not heard of the compaction.
  if (create.start_revision() == known_.compacted ||
      (create.start_revision() < known_.compacted && create.start_revision() > 0 &&
       sides_[0].cluster.size() > 1))
    create.set_start_revision(known_.compacted + 1);
  WireStream etcd(client_, *sides_[0].channels[operation.member], operation.path);
  WireStream lockstepd(client_, *sides_[1].channels[operation.member], operation.path);
  for (WireStream* stream : {&etcd, &lockstepd}) stream->send(request.SerializeAsString());
  const Answer created = etcd.next();
  if (auto mismatch = compare(operation, created, lockstepd.next())) return mismatch;
  pb::WatchResponse first;
  if (!first.ParseFromString(created.message) || first.canceled()) return std::nullopt;
  if (create.start_revision() > 0 && create.start_revision() < known_.compacted)
    return compare(operation, etcd.next(), lockstepd.next());
  if (auto mismatch = compare_events(etcd, lockstepd, due(create), "watch " + create.ShortDebugString()))
    return mismatch;
  pb::WatchRequest cancel;
  cancel.mutable_cancel_request()->set_watch_id(0);
  for (WireStream* stream : {&etcd, &lockstepd}) stream->send(cancel.SerializeAsString());
  return compare(operation, etcd.next(), lockstepd.next());
}

}  // namespace lockstep::wire_test
