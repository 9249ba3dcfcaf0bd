#include "gateway/etcd/convert.h"
#include "gateway/etcd/lock_service.h"
#include "gateway/etcd/refused_stream.h"
#include "gateway/etcd/reserved_keys.h"
#include "proto/election.pb.h"

namespace lockstep::gateway {
namespace {

using rpc::ServerCallPtr;

constexpr std::size_t unsent_bytes_high = 64 * limits::kibibyte;

rpc::GrpcStatus leader_missing() {
  return {rpc::GrpcCode::unknown, "\"leader\" field must be provided"};
}

// Parsed, admitted, and of a name that clients may use; otherwise the call is finished.
template <class Request>
std::optional<store::CallOptions> begin(Edge& edge, const ServerCallPtr& call, std::string_view bytes,
                                        Request* request) {
  if (!Edge::parse(*call, bytes, request)) return std::nullopt;
  std::optional<store::CallOptions> options = edge.admit(*call);
  if (!options.has_value()) return std::nullopt;
  rpc::GrpcStatus refused;
  if constexpr (requires { request->name(); }) {
    refused = keep_to_client_keys(request->mutable_name(), {});
  } else {
    refused = request->has_leader() ? keep_to_client_keys(request->mutable_leader()->mutable_key(), {})
                                    : leader_missing();
  }
  if (refused.ok()) return options;
  call->finish(refused);
  return std::nullopt;
}

service::Leadership leadership_of(v3electionpb::LeaderKey& key) {
  return {std::move(*key.mutable_key()), Revision(key.rev()), LeaseId(key.lease())};
}

void to_wire_leader(Edge& edge, service::Leader leader, v3electionpb::LeaderResponse* message) {
  to_wire(edge.filled(leader.header), message->mutable_header());
  to_wire(std::move(leader.kv), message->mutable_kv());
}

void campaign(Edge& edge, service::Election& election, const ServerCallPtr& call, std::string_view bytes) {
  v3electionpb::CampaignRequest request;
  std::optional<store::CallOptions> options = begin(edge, call, bytes, &request);
  if (!options.has_value()) return;
  options->cancellation = call->cancellation();
  election.campaign(request.name(), LeaseId(request.lease()), std::move(*request.mutable_value()),
                    *std::move(options),
                    [&edge, call, name = request.name()](Result<service::Ownership> elected) {
                      if (!elected.ok()) return call->finish(to_recipe_status(elected.status()));
                      v3electionpb::CampaignResponse message;
                      to_wire(edge.filled(elected->header), message.mutable_header());
                      message.mutable_leader()->set_name(name);
                      message.mutable_leader()->set_key(std::move(elected->key));
                      message.mutable_leader()->set_rev(elected->token.value());
                      message.mutable_leader()->set_lease(elected->lease.value());
                      edge.respond(*call, message);
                    });
}

template <class Response>
auto answer_with_header(Edge& edge, const ServerCallPtr& call) {
  return [&edge, call](const Result<store::Header>& done) {
    if (!done.ok()) return call->finish(to_recipe_status(done.status()));
    Response message;
    to_wire(edge.filled(*done), message.mutable_header());
    edge.respond(*call, message);
  };
}

void proclaim(Edge& edge, service::Election& election, const ServerCallPtr& call, std::string_view bytes) {
  v3electionpb::ProclaimRequest request;
  std::optional<store::CallOptions> options = begin(edge, call, bytes, &request);
  if (!options.has_value()) return;
  election.proclaim(leadership_of(*request.mutable_leader()), std::move(*request.mutable_value()),
                    *std::move(options), answer_with_header<v3electionpb::ProclaimResponse>(edge, call));
}

void resign(Edge& edge, service::Election& election, const ServerCallPtr& call, std::string_view bytes) {
  v3electionpb::ResignRequest request;
  std::optional<store::CallOptions> options = begin(edge, call, bytes, &request);
  if (!options.has_value()) return;
  election.resign(leadership_of(*request.mutable_leader()), *std::move(options),
                  answer_with_header<v3electionpb::ResignResponse>(edge, call));
}

void leader(Edge& edge, service::Election& election, const ServerCallPtr& call, std::string_view bytes) {
  v3electionpb::LeaderRequest request;
  std::optional<store::CallOptions> options = begin(edge, call, bytes, &request);
  if (!options.has_value()) return;
  election.leader(request.name(), *std::move(options), [&edge, call](Result<service::Leader> found) {
    if (!found.ok()) return call->finish(to_recipe_status(found.status()));
    v3electionpb::LeaderResponse message;
    to_wire_leader(edge, *std::move(found), &message);
    edge.respond(*call, message);
  });
}

class ObserveStream final : public rpc::ServerStreamHandler {
 public:
  ObserveStream(Edge& edge, service::Election& election, ServerCallPtr call)
      : edge_(edge), election_(election), call_(std::move(call)) {}

  void on_message(std::string_view bytes) override {
    if (call_->ended() || observer_ != nullptr) return;
    v3electionpb::LeaderRequest request;
    std::optional<store::CallOptions> options = begin(edge_, call_, bytes, &request);
    if (!options.has_value()) return;
    options->deadline = no_deadline;
    observer_ = election_.observe(request.name(), *std::move(options));
    ask();
  }
  void on_half_close() override {
    if (observer_ == nullptr) call_->finish({rpc::GrpcCode::internal, "lockstep: one request was expected"});
  }
  void on_cancelled() override { observer_.reset(); }

 private:
  void ask() {
    observer_->next([this, weak = std::weak_ptr(observer_)](Result<service::Leader> leader) {
      if (weak.expired()) return;
      on_leader(std::move(leader));
    });
  }

  void on_leader(Result<service::Leader> leader) {
    if (call_->ended()) return;
    if (!leader.ok()) return call_->finish(to_recipe_status(leader.status()));
    v3electionpb::LeaderResponse message;
    to_wire_leader(edge_, *std::move(leader), &message);
    call_->send(edge_.serialised(message));
    if (call_->unsent_bytes() < unsent_bytes_high) return ask();
    call_->notify_when_unsent_below(unsent_bytes_high / 2, [this] { ask(); });
  }

  Edge& edge_;
  service::Election& election_;
  ServerCallPtr call_;
  std::shared_ptr<service::LeaderObserver> observer_;
};

}  // namespace

void register_election(Edge& edge, service::Election& election, rpc::ServiceRegistry& registry) {
  using Handler = void (*)(Edge&, service::Election&, const ServerCallPtr&, std::string_view);
  const auto serve = [&](std::string_view path, Handler handler) {
    registry.unary(path, [&edge, &election, handler](const ServerCallPtr& call, std::string_view bytes) {
      handler(edge, election, call, bytes);
    });
  };
  serve("/v3electionpb.Election/Campaign", campaign);
  serve("/v3electionpb.Election/Proclaim", proclaim);
  serve("/v3electionpb.Election/Leader", leader);
  serve("/v3electionpb.Election/Resign", resign);
  registry.streaming("/v3electionpb.Election/Observe", [&edge, &election](ServerCallPtr call) {
    return std::make_unique<ObserveStream>(edge, election, std::move(call));
  });
}

}  // namespace lockstep::gateway
