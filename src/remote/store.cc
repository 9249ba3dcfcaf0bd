#include "remote/store.h"

#include <algorithm>
#include <utility>

#include "remote/convert.h"

namespace lockstep::remote {
namespace {

template <class Message>
std::string serialised(Message&& message) {
  return std::forward<Message>(message).SerializeAsString();
}

template <class Message, class Request>
std::string wire(Request&& request) {
  Message message;
  to_wire(std::forward<Request>(request), &message);
  return message.SerializeAsString();
}

Call call_of(std::string_view path, std::string message, Effect effect, store::CallOptions options) {
  Call call;
  call.path = path;
  call.message = std::move(message);
  call.effect = effect;
  call.deadline = options.deadline;
  call.cancellation = std::move(options.cancellation);
  call.request_id = options.request_id;
  return call;
}

// `acknowledged` learns the revision; the answer may come after the store is gone.
template <class Message, class Response>
Connections::Done parsing(Effect effect, std::shared_ptr<Revision> acknowledged,
                          store::Callback<Response> done) {
  return [effect, acknowledged = std::move(acknowledged),
          done = std::move(done)](Result<std::string> bytes) mutable {
    if (!bytes.ok()) return done(bytes.status());
    Message message;
    if (!message.ParseFromString(*bytes))
      return done(Status(effect == Effect::mutation ? Code::unknown_outcome : Code::internal,
                         "the server's answer cannot be read"));
    Response response;
    from_wire(std::move(message), &response);
    *acknowledged = std::max(*acknowledged, response.header.revision);
    done(std::move(response));
  };
}

}  // namespace

Store::Store(Connections& connections, const StoreOptions& options)
    : connections_(connections),
      options_(options),
      keep_alives_(connections),
      watches_(connections, options_.watches) {}

store::Capabilities Store::capabilities() const {
  // A new leader of etcd gives every lease its whole time again, so a renewal is never lost with the old one.
  return {.lease_ttl_min = options_.lease_ttl_min,
          .lease_renewals_survive_failover = true,
          .deduplicates_requests = connections_.options().deduplicates_requests,
          .serializable_reads_see_own_writes = connections_.options().endpoints.size() == 1};
}

void Store::read(Call call, Connections::Done done) {
  connections_.call(std::move(call), std::move(done));
}

void Store::mutate(Call call, Connections::Done done) {
  const TimePoint deadline = call.deadline;
  watches_.when_created(deadline, [this, call = std::move(call), done = std::move(done)]() mutable {
    connections_.call(std::move(call), std::move(done));
  });
}

void Store::range(store::RangeRequest request, store::CallOptions options,
                  store::Callback<store::RangeResponse> done) {
  read(call_of("/etcdserverpb.KV/Range", wire<pb::RangeRequest>(std::move(request)), Effect::none,
               std::move(options)),
       parsing<pb::RangeResponse>(Effect::none, acknowledged_, std::move(done)));
}

void Store::put(store::PutRequest request, store::CallOptions options,
                store::Callback<store::PutResponse> done) {
  mutate(call_of("/etcdserverpb.KV/Put", wire<pb::PutRequest>(std::move(request)), Effect::mutation,
                 std::move(options)),
         parsing<pb::PutResponse>(Effect::mutation, acknowledged_, std::move(done)));
}

void Store::delete_range(store::DeleteRangeRequest request, store::CallOptions options,
                         store::Callback<store::DeleteRangeResponse> done) {
  mutate(call_of("/etcdserverpb.KV/DeleteRange", wire<pb::DeleteRangeRequest>(std::move(request)),
                 Effect::mutation, std::move(options)),
         parsing<pb::DeleteRangeResponse>(Effect::mutation, acknowledged_, std::move(done)));
}

void Store::txn(store::TxnRequest request, store::CallOptions options,
                store::Callback<store::TxnResponse> done) {
  mutate(call_of("/etcdserverpb.KV/Txn", wire<pb::TxnRequest>(std::move(request)), Effect::mutation,
                 std::move(options)),
         parsing<pb::TxnResponse>(Effect::mutation, acknowledged_, std::move(done)));
}

void Store::compact(store::CompactRequest request, store::CallOptions options,
                    store::Callback<store::CompactResponse> done) {
  mutate(call_of("/etcdserverpb.KV/Compact", wire<pb::CompactionRequest>(std::move(request)),
                 Effect::mutation, std::move(options)),
         parsing<pb::CompactionResponse>(Effect::mutation, acknowledged_, std::move(done)));
}

void Store::lease_grant(store::LeaseGrantRequest request, store::CallOptions options,
                        store::Callback<store::LeaseGrantResponse> done) {
  mutate(call_of("/etcdserverpb.Lease/LeaseGrant", wire<pb::LeaseGrantRequest>(std::move(request)),
                 Effect::mutation, std::move(options)),
         parsing<pb::LeaseGrantResponse>(Effect::mutation, acknowledged_, std::move(done)));
}

void Store::lease_revoke(store::LeaseRevokeRequest request, store::CallOptions options,
                         store::Callback<store::LeaseRevokeResponse> done) {
  mutate(call_of("/etcdserverpb.Lease/LeaseRevoke", wire<pb::LeaseRevokeRequest>(std::move(request)),
                 Effect::mutation, std::move(options)),
         parsing<pb::LeaseRevokeResponse>(Effect::mutation, acknowledged_, std::move(done)));
}

void Store::lease_keep_alive(store::LeaseKeepAliveRequest request, store::CallOptions options,
                             store::Callback<store::LeaseKeepAliveResponse> done) {
  keep_alives_.renew(request.id, options, std::move(done));
}

void Store::lease_time_to_live(store::LeaseTimeToLiveRequest request, store::CallOptions options,
                               store::Callback<store::LeaseTimeToLiveResponse> done) {
  read(call_of("/etcdserverpb.Lease/LeaseTimeToLive", wire<pb::LeaseTimeToLiveRequest>(std::move(request)),
               Effect::none, std::move(options)),
       parsing<pb::LeaseTimeToLiveResponse>(Effect::none, acknowledged_, std::move(done)));
}

void Store::lease_leases(store::CallOptions options, store::Callback<store::LeaseLeasesResponse> done) {
  read(call_of("/etcdserverpb.Lease/LeaseLeases", serialised(pb::LeaseLeasesRequest()), Effect::none,
               std::move(options)),
       parsing<pb::LeaseLeasesResponse>(Effect::none, acknowledged_, std::move(done)));
}

void Store::alarm(store::AlarmRequest request, store::CallOptions options,
                  store::Callback<store::AlarmResponse> done) {
  const Effect effect = request.action == store::AlarmAction::get ? Effect::none : Effect::mutation;
  mutate(call_of("/etcdserverpb.Maintenance/Alarm", wire<pb::AlarmRequest>(std::move(request)), effect,
                 std::move(options)),
         parsing<pb::AlarmResponse>(effect, acknowledged_, std::move(done)));
}

void Store::register_client(store::CallOptions /*options*/,
                            store::Callback<store::RegisterClientResponse> done) {
  done(Status(Code::unimplemented, "etcd's protocol has no way to register a client"));
}

Result<std::unique_ptr<store::Subscription>> Store::watch(store::WatchRequest request,
                                                          store::CallOptions /*options*/) {
  return watches_.watch(std::move(request), *acknowledged_);
}

}  // namespace lockstep::remote
