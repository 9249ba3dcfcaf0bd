#include "gateway/etcd/cluster_service.h"

#include <algorithm>
#include <charconv>

#include "gateway/etcd/convert.h"
#include "proto/cluster.pb.h"

namespace lockstep::gateway {
namespace {

using rpc::ServerCallPtr;

constexpr std::size_t url_bytes_max = 1024;

void describe(const MemberInfo& member, pb::Member* message) {
  message->set_id(member.id.value());
  message->set_name(member.name);
  for (const std::string& url : member.peer_urls) message->add_peerurls(url);
  for (const std::string& url : member.client_urls) message->add_clienturls(url);
  message->set_islearner(member.learner);
}

// Every answer of this service ends with the members as they are now.
template <class Response>
void answer(Edge& edge, rpc::ServerCall& call, Response& message) {
  to_wire(edge.filled(edge.cluster().header()), message.mutable_header());
  for (const MemberInfo& member : edge.cluster().members()) describe(member, message.add_members());
  edge.respond(call, message);
}

template <class Response>
std::move_only_function<void(Status)> answer_when_done(Edge& edge, const ServerCallPtr& call) {
  return [&edge, call](const Status& status) {
    if (!status.ok()) return Edge::fail(*call, status);
    Response message;
    answer(edge, *call, message);
  };
}

std::vector<std::string> urls_of(const google::protobuf::RepeatedPtrField<std::string>& urls) {
  return {urls.begin(), urls.end()};
}

void list(Edge& edge, const ServerCallPtr& call, std::string_view bytes) {
  pb::MemberListRequest request;
  if (!Edge::parse(*call, bytes, &request)) return;
  std::optional<store::CallOptions> options = edge.admit(*call, Learners::refused, Needs::user);
  if (!options.has_value()) return;
  if (!request.linearizable()) {
    pb::MemberListResponse message;
    return answer(edge, *call, message);
  }
  // A linearizable read of anything waits until this member has applied what was committed before.
  store::RangeRequest barrier;
  barrier.key = "lockstep";
  barrier.count_only = true;
  options->principal = store::Principal::cluster();  // the keys are nobody's concern here
  edge.store().range(std::move(barrier), *std::move(options),
                     [&edge, call](const Result<store::RangeResponse>& read) {
                       if (!read.ok()) return Edge::fail(*call, read.status());
                       pb::MemberListResponse message;
                       answer(edge, *call, message);
                     });
}

void add(Edge& edge, const ServerCallPtr& call, std::string_view bytes) {
  pb::MemberAddRequest request;
  if (!Edge::parse(*call, bytes, &request)) return;
  std::optional<store::CallOptions> options = edge.admit(*call, Learners::refused, Needs::root);
  if (!options.has_value()) return;
  std::vector<std::string> urls = urls_of(request.peerurls());
  if (!are_member_urls(urls)) return call->finish(etcd_errors::bad_member_urls());
  edge.cluster().add_member(std::move(urls), request.islearner(), *std::move(options),
                            [&edge, call](const Result<MemberInfo>& added) {
                              if (!added.ok()) return Edge::fail(*call, added.status());
                              pb::MemberAddResponse message;
                              describe(*added, message.mutable_member());
                              answer(edge, *call, message);
                            });
}

void remove(Edge& edge, const ServerCallPtr& call, std::string_view bytes) {
  pb::MemberRemoveRequest request;
  if (!Edge::parse(*call, bytes, &request)) return;
  std::optional<store::CallOptions> options = edge.admit(*call, Learners::refused, Needs::root);
  if (!options.has_value()) return;
  edge.cluster().remove_member(NodeId(request.id()), *std::move(options),
                               answer_when_done<pb::MemberRemoveResponse>(edge, call));
}

void update(Edge& edge, const ServerCallPtr& call, std::string_view bytes) {
  pb::MemberUpdateRequest request;
  if (!Edge::parse(*call, bytes, &request)) return;
  std::optional<store::CallOptions> options = edge.admit(*call, Learners::refused, Needs::root);
  if (!options.has_value()) return;
  std::vector<std::string> urls = urls_of(request.peerurls());
  if (!are_member_urls(urls)) return call->finish(etcd_errors::bad_member_urls());
  edge.cluster().update_member(NodeId(request.id()), std::move(urls), *std::move(options),
                               answer_when_done<pb::MemberUpdateResponse>(edge, call));
}

void promote(Edge& edge, const ServerCallPtr& call, std::string_view bytes) {
  pb::MemberPromoteRequest request;
  if (!Edge::parse(*call, bytes, &request)) return;
  std::optional<store::CallOptions> options = edge.admit(*call, Learners::refused, Needs::root);
  if (!options.has_value()) return;
  edge.cluster().promote_member(NodeId(request.id()), *std::move(options),
                                answer_when_done<pb::MemberPromoteResponse>(edge, call));
}

bool is_member_url(std::string_view url) {
  if (url.size() > url_bytes_max) return false;
  if (url.starts_with("http://")) {
    url.remove_prefix(7);
  } else if (url.starts_with("https://")) {
    url.remove_prefix(8);
  } else {
    return false;
  }
  const std::size_t colon = url.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view host = url.substr(0, colon);
  if (host.find_first_of("/?#@ ") != std::string_view::npos) return false;
  const std::string_view port = url.substr(colon + 1);
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return error == std::errc() && end == port.data() + port.size() && number > 0;
}

}  // namespace

bool are_member_urls(const std::vector<std::string>& urls) {
  std::vector<std::string> sorted = urls;
  std::ranges::sort(sorted);
  const bool each_once = std::ranges::adjacent_find(sorted) == sorted.end();
  return !urls.empty() && each_once && std::ranges::all_of(urls, is_member_url);
}

void register_cluster(Edge& edge, rpc::ServiceRegistry& registry) {
  using Handler = void (*)(Edge&, const ServerCallPtr&, std::string_view);
  const auto serve = [&](std::string_view path, Handler handler) {
    registry.unary(path, [&edge, handler](const ServerCallPtr& call, std::string_view bytes) {
      handler(edge, call, bytes);
    });
  };
  serve("/etcdserverpb.Cluster/MemberList", list);
  serve("/etcdserverpb.Cluster/MemberAdd", add);
  serve("/etcdserverpb.Cluster/MemberRemove", remove);
  serve("/etcdserverpb.Cluster/MemberUpdate", update);
  serve("/etcdserverpb.Cluster/MemberPromote", promote);
}

}  // namespace lockstep::gateway
