#include "gateway/etcd/kv_service.h"

#include "gateway/etcd/convert.h"

namespace lockstep::gateway {
namespace {

using rpc::ServerCallPtr;

template <class Request, class Response>
using StoreMethod = void (store::Store::*)(Request, store::CallOptions, store::Callback<Response>);

// One kind of unary call: parse, convert, ask the store, convert, answer.
template <class WireRequest, class WireResponse, class Request, class Response>
class StoreCall {
 public:
  StoreCall(Edge& edge, StoreMethod<Request, Response> method) : edge_(edge), method_(method) {}

  void serve(const ServerCallPtr& call, std::string_view bytes) {
    WireRequest& message = request_.begin();
    if (!Edge::parse(*call, bytes, &message)) return;
    // etcd's learners serve what asks for no agreement.
    Learners learners = Learners::refused;
    if constexpr (std::is_same_v<Request, store::RangeRequest>) {
      if (message.serializable()) learners = Learners::served;
    }
    std::optional<store::CallOptions> options = edge_.admit(*call, learners);
    if (!options.has_value()) return;
    Request request;
    const rpc::GrpcStatus refused = from_wire(message, &request);
    request_.end(bytes.size());
    if (!refused.ok()) return call->finish(refused);
    auto done = [this, call](Result<Response> result) { answer(*call, std::move(result)); };
    (edge_.store().*method_)(std::move(request), *std::move(options), std::move(done));
  }

 private:
  void answer(rpc::ServerCall& call, Result<Response> result) {
    if (call.ended()) return;
    if (!result.ok()) return Edge::fail(call, result.status());
    result->header = edge_.filled(result->header);
    WireResponse& message = response_.begin();
    to_wire(*std::move(result), &message);
    const std::string_view bytes = edge_.serialised(message);
    call.respond(bytes);
    response_.end(bytes.size());
  }

  Edge& edge_;
  StoreMethod<Request, Response> method_;
  Scratch<WireRequest> request_;
  Scratch<WireResponse> response_;
};

template <class WireRequest, class WireResponse, class Request, class Response>
void add(Edge& edge, rpc::ServiceRegistry& registry, std::string_view path,
         StoreMethod<Request, Response> method) {
  auto handler = std::make_shared<StoreCall<WireRequest, WireResponse, Request, Response>>(edge, method);
  edge.keep(handler);
  registry.unary(path, [handler = handler.get()](const ServerCallPtr& call, std::string_view bytes) {
    handler->serve(call, bytes);
  });
}

}  // namespace

void register_store_calls(Edge& edge, rpc::ServiceRegistry& registry) {
  using store::Store;
  add<pb::RangeRequest, pb::RangeResponse>(edge, registry, "/etcdserverpb.KV/Range", &Store::range);
  add<pb::PutRequest, pb::PutResponse>(edge, registry, "/etcdserverpb.KV/Put", &Store::put);
  add<pb::DeleteRangeRequest, pb::DeleteRangeResponse>(edge, registry, "/etcdserverpb.KV/DeleteRange",
                                                       &Store::delete_range);
  add<pb::TxnRequest, pb::TxnResponse>(edge, registry, "/etcdserverpb.KV/Txn", &Store::txn);
  add<pb::CompactionRequest, pb::CompactionResponse>(edge, registry, "/etcdserverpb.KV/Compact",
                                                     &Store::compact);
  add<pb::LeaseRevokeRequest, pb::LeaseRevokeResponse>(edge, registry, "/etcdserverpb.Lease/LeaseRevoke",
                                                       &Store::lease_revoke);
  add<pb::LeaseTimeToLiveRequest, pb::LeaseTimeToLiveResponse>(
      edge, registry, "/etcdserverpb.Lease/LeaseTimeToLive", &Store::lease_time_to_live);
  add<pb::AlarmRequest, pb::AlarmResponse>(edge, registry, "/etcdserverpb.Maintenance/Alarm", &Store::alarm);
}

}  // namespace lockstep::gateway
