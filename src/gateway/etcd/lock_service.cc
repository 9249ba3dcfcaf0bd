#include "gateway/etcd/lock_service.h"

#include "gateway/etcd/convert.h"
#include "gateway/etcd/reserved_keys.h"
#include "proto/lock.pb.h"
#include "service/waiting.h"

namespace lockstep::gateway {
namespace {

using rpc::ServerCallPtr;

void lock_call(Edge& edge, service::LeaseLine& locks, const ServerCallPtr& call, std::string_view bytes) {
  v3lockpb::LockRequest request;
  if (!Edge::parse(*call, bytes, &request)) return;
  std::optional<store::CallOptions> options = edge.admit(*call);
  if (!options.has_value()) return;
  if (const rpc::GrpcStatus refused = keep_to_client_keys(request.mutable_name(), {}); !refused.ok()) {
    return call->finish(refused);
  }
  options->cancellation = call->cancellation();
  service::LeasePlace place{std::move(*request.mutable_name()), LeaseId(request.lease()), {}};
  locks.enter(std::move(place), *std::move(options), [&edge, call](Result<service::Ownership> owned) {
    if (!owned.ok()) return call->finish(to_recipe_status(owned.status()));
    v3lockpb::LockResponse message;
    to_wire(edge.filled(owned->header), message.mutable_header());
    message.set_key(std::move(owned->key));
    edge.respond(*call, message);
  });
}

void unlock_call(Edge& edge, service::LeaseLine& locks, const ServerCallPtr& call, std::string_view bytes) {
  v3lockpb::UnlockRequest request;
  if (!Edge::parse(*call, bytes, &request)) return;
  std::optional<store::CallOptions> options = edge.admit(*call);
  if (!options.has_value()) return;
  if (const rpc::GrpcStatus refused = keep_to_client_keys(request.mutable_key(), {}); !refused.ok()) {
    return call->finish(refused);
  }
  locks.leave(std::move(*request.mutable_key()), *std::move(options),
              [&edge, call](const Result<store::Header>& done) {
                if (!done.ok()) return call->finish(to_recipe_status(done.status()));
                v3lockpb::UnlockResponse message;
                to_wire(edge.filled(*done), message.mutable_header());
                edge.respond(*call, message);
              });
}

}  // namespace

rpc::GrpcStatus to_recipe_status(const Status& status) {
  if (status == service::errors::session_expired()) {
    return {rpc::GrpcCode::unknown, "mutex: session is expired"};
  }
  if (status == service::errors::not_leader() || status == service::errors::no_leader()) {
    return {rpc::GrpcCode::unknown, std::string(status.message())};
  }
  // Of those who gave up, nobody hears it.
  if (status == service::errors::wait_cancelled())
    return {rpc::GrpcCode::unavailable, "etcdserver: server stopped"};
  rpc::GrpcStatus answer = to_etcd_status(status);
  // What another try would not mend; the others keep the code that says "try again".
  if (status.code() == Code::not_found || status.code() == Code::invalid_argument) {
    answer.code = rpc::GrpcCode::unknown;
  }
  return answer;
}

void register_lock(Edge& edge, service::LeaseLine& locks, rpc::ServiceRegistry& registry) {
  registry.unary("/v3lockpb.Lock/Lock", [&edge, &locks](const ServerCallPtr& call, std::string_view bytes) {
    lock_call(edge, locks, call, bytes);
  });
  registry.unary("/v3lockpb.Lock/Unlock", [&edge, &locks](const ServerCallPtr& call, std::string_view bytes) {
    unlock_call(edge, locks, call, bytes);
  });
}

}  // namespace lockstep::gateway
