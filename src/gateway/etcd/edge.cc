#include "gateway/etcd/edge.h"

#include <charconv>

#include "base/assert.h"
#include "gateway/principal.h"

namespace lockstep::gateway {
namespace {

constexpr std::size_t buffer_kept_bytes_max = 256 * limits::kibibyte;

bool parse_number(std::optional<std::string_view> text, std::uint64_t* number) {
  if (!text.has_value() || text->empty()) return false;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number);
  return error == std::errc() && end == text->data() + text->size();
}

bool asks_for_leader(const rpc::ServerCall& call) {
  return call.metadata(metadata_names::has_leader) == "true";
}

}  // namespace

Result<RequestId> request_id_of(const rpc::ServerCall& call) {
  const auto client = call.metadata(metadata_names::client_id);
  const auto sequence = call.metadata(metadata_names::sequence);
  const auto unanswered_first = call.metadata(metadata_names::unanswered_first);
  if (!client && !sequence && !unanswered_first) return RequestId();
  std::uint64_t client_number = 0;
  std::uint64_t sequence_number = 0;
  std::uint64_t first_number = 0;
  if (!parse_number(client, &client_number) || !parse_number(sequence, &sequence_number) ||
      !parse_number(unanswered_first, &first_number) || client_number == 0 || first_number == 0 ||
      first_number > sequence_number) {
    return Status(
        Code::invalid_argument,
        "lockstep: a request id is lockstep-client-id, lockstep-sequence and lockstep-unanswered-first, "
        "decimal numbers with 1 <= unanswered-first <= sequence");
  }
  return RequestId{ClientId(client_number), Sequence(sequence_number), Sequence(first_number)};
}

Edge::Edge(store::Store& store, store::Security& security, ClusterFace& cluster, env::Executor& executor,
           env::Clock& clock, EtcdOptions options)
    : store_(store),
      security_(security),
      cluster_(cluster),
      executor_(executor),
      clock_(clock),
      options_(std::move(options)) {}

Result<store::Principal> Edge::principal_of(const rpc::ServerCall& call) {
  std::optional<std::string_view> token = call.metadata(metadata_names::token);
  if (!token.has_value()) token = call.metadata(metadata_names::authorization);
  return gateway::principal_of(security_, token, call.peer_common_name());
}

std::optional<store::CallOptions> Edge::admit(rpc::ServerCall& call, Learners learners, Needs needs) {
  if (learners == Learners::refused && cluster_.is_learner()) {
    call.finish(etcd_errors::not_for_learner());
    return std::nullopt;
  }
  if (asks_for_leader(call) && !cluster_.has_leader()) {
    call.finish(etcd_errors::no_leader());
    return std::nullopt;
  }
  const Result<RequestId> request_id = request_id_of(call);
  if (!request_id.ok()) {
    fail(call, request_id.status());
    return std::nullopt;
  }
  store::CallOptions options;
  options.deadline = call.deadline();
  options.request_id = *request_id;
  if (needs == Needs::no_login) return options;
  const Result<store::Principal> principal = principal_of(call);
  Status refused = principal.status();
  if (principal.ok()) {
    options.principal = *principal;
    if (needs == Needs::user) refused = security_.check_known(*principal);
    if (needs == Needs::root) refused = security_.check_root(*principal);
  }
  if (!refused.ok()) {
    fail(call, refused);
    return std::nullopt;
  }
  return options;
}

bool Edge::parse(rpc::ServerCall& call, std::string_view bytes, google::protobuf::MessageLite* message) {
  // Nesting is bounded by protobuf's own limit of 100 levels.
  if (message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return true;
  call.finish(etcd_errors::malformed_request());
  return false;
}

store::Header Edge::filled(store::Header header) const {
  if (header.cluster != ClusterId()) return header;
  store::Header own = cluster_.header();
  if (header.revision != Revision()) own.revision = header.revision;
  return own;
}

void Edge::respond(rpc::ServerCall& call, const google::protobuf::MessageLite& message) {
  if (message.ByteSizeLong() <= wire_bytes_max) return call.respond(serialised(message));
  // Not our prefix: a request that writes has had its effect.
  call.finish({rpc::GrpcCode::resource_exhausted, "the answer is too large to be sent", {}});
}

std::string_view Edge::serialised(const google::protobuf::MessageLite& message) {
  const std::size_t bytes = message.ByteSizeLong();
  LS_MUST(bytes <= wire_bytes_max, "streams cut what they send");
  if (buffer_.size() > buffer_kept_bytes_max) buffer_ = {};
  if (buffer_.size() < bytes) buffer_.resize(bytes);
  auto* begin = reinterpret_cast<std::uint8_t*>(buffer_.data());
  const std::uint8_t* end = message.SerializeWithCachedSizesToArray(begin);
  LS_MUST(end == begin + bytes);
  return std::string_view(buffer_).substr(0, bytes);
}

}  // namespace lockstep::gateway
