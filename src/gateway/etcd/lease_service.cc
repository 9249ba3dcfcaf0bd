#include "gateway/etcd/lease_service.h"

#include <algorithm>
#include <deque>

#include "base/assert.h"
#include "gateway/etcd/convert.h"
#include "gateway/etcd/refused_stream.h"

namespace lockstep::gateway {
namespace {

// Of one stream: a client that renews more leases at once than this opens a second stream.
constexpr std::size_t renewals_under_way_max = 65'536;
constexpr std::size_t unread_bytes_max = 4 * limits::mebibyte;

void grant(Edge& edge, const rpc::ServerCallPtr& call, std::string_view bytes) {
  pb::LeaseGrantRequest message;
  if (!Edge::parse(*call, bytes, &message)) return;
  std::optional<store::CallOptions> options = edge.admit(*call);
  if (!options.has_value()) return;
  store::LeaseGrantRequest request;
  request.id = LeaseId(message.id());
  // Far above what is allowed is refused by the store; it only must not overflow before.
  const std::int64_t seconds = std::clamp<std::int64_t>(message.ttl(), 0, limits::lease_ttl_s_max + 1);
  const Duration smallest = std::chrono::ceil<std::chrono::seconds>(
      std::max(edge.options().lease_ttl_min, edge.store().capabilities().lease_ttl_min));
  request.ttl = std::max<Duration>(std::chrono::seconds(seconds), smallest);
  edge.store().lease_grant(request, *std::move(options),
                           [&edge, call](Result<store::LeaseGrantResponse> result) {
                             if (!result.ok()) return Edge::fail(*call, result.status());
                             result->header = edge.filled(result->header);
                             pb::LeaseGrantResponse answer;
                             to_wire(*std::move(result), &answer);
                             edge.respond(*call, answer);
                           });
}

void list(Edge& edge, const rpc::ServerCallPtr& call, std::string_view bytes) {
  pb::LeaseLeasesRequest message;
  if (!Edge::parse(*call, bytes, &message)) return;
  std::optional<store::CallOptions> options = edge.admit(*call);
  if (!options.has_value()) return;
  edge.store().lease_leases(*std::move(options), [&edge, call](Result<store::LeaseLeasesResponse> result) {
    if (!result.ok()) return Edge::fail(*call, result.status());
    result->header = edge.filled(result->header);
    pb::LeaseLeasesResponse answer;
    to_wire(*std::move(result), &answer);
    edge.respond(*call, answer);
  });
}

// Shared with the callbacks of the renewals under way, which may come after the stream has gone.
class Renewals : public std::enable_shared_from_this<Renewals> {
 public:
  Renewals(Edge& edge, rpc::ServerCallPtr call, store::CallOptions options)
      : edge_(edge), call_(std::move(call)), options_(std::move(options)) {}

  void renew(std::string_view bytes) {
    if (call_->ended()) return;
    pb::LeaseKeepAliveRequest message;
    if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return call_->finish(etcd_errors::malformed_message());
    }
    if (answers_.size() >= renewals_under_way_max || call_->unsent_bytes() > unread_bytes_max) {
      return call_->finish(etcd_errors::too_many_requests());
    }
    const std::uint64_t number = first_number_ + answers_.size();
    answers_.push_back({LeaseId(message.id()), edge_.cluster().header(), std::nullopt});
    edge_.store().lease_keep_alive(
        {LeaseId(message.id())}, options_,
        [self = shared_from_this(), number](Result<store::LeaseKeepAliveResponse> result) {
          self->on_renewed(number, std::move(result));
        });
  }

  void half_close() {
    half_closed_ = true;
    send_ready();
  }

 private:
  struct Answer {
    LeaseId lease;
    store::Header header;
    std::optional<Duration> ttl;  // once renewed
  };

  void on_renewed(std::uint64_t number, Result<store::LeaseKeepAliveResponse> result) {
    if (call_->ended()) return;
    if (!result.ok()) return Edge::fail(*call_, result.status());
    LS_MUST(number >= first_number_);
    answers_[number - first_number_].ttl = result->ttl;
    send_ready();
  }

  void send_ready() {
    while (!answers_.empty() && answers_.front().ttl.has_value()) {
      const Answer& answer = answers_.front();
      pb::LeaseKeepAliveResponse message;
      to_wire(answer.header, message.mutable_header());
      message.set_id(answer.lease.value());
      message.set_ttl(ttl_seconds(*answer.ttl));
      call_->send(edge_.serialised(message));
      answers_.pop_front();
      ++first_number_;
    }
    if (half_closed_ && answers_.empty()) call_->finish({});
  }

  Edge& edge_;
  rpc::ServerCallPtr call_;
  store::CallOptions options_;
  std::deque<Answer> answers_;      // in the order of the requests
  std::uint64_t first_number_ = 0;  // of answers_.front()
  bool half_closed_ = false;
};

class KeepAliveStream final : public rpc::ServerStreamHandler {
 public:
  KeepAliveStream(Edge& edge, LeaderMonitor& monitor, const rpc::ServerCallPtr& call,
                  store::CallOptions options)
      : renewals_(std::make_shared<Renewals>(edge, call, std::move(options))),
        leader_(monitor.watch(*call, [call] { call->finish(etcd_errors::no_leader()); })) {}

  void on_message(std::string_view message) override { renewals_->renew(message); }
  void on_half_close() override { renewals_->half_close(); }
  void on_cancelled() override { leader_.reset(); }

 private:
  std::shared_ptr<Renewals> renewals_;
  LeaderMonitor::Registration leader_;
};

}  // namespace

void register_lease_calls(Edge& edge, LeaderMonitor& monitor, rpc::ServiceRegistry& registry) {
  registry.unary(
      "/etcdserverpb.Lease/LeaseGrant",
      [&edge](const rpc::ServerCallPtr& call, std::string_view bytes) { grant(edge, call, bytes); });
  registry.unary(
      "/etcdserverpb.Lease/LeaseLeases",
      [&edge](const rpc::ServerCallPtr& call, std::string_view bytes) { list(edge, call, bytes); });
  registry.streaming(
      "/etcdserverpb.Lease/LeaseKeepAlive",
      [&edge, &monitor](const rpc::ServerCallPtr& call) -> std::unique_ptr<rpc::ServerStreamHandler> {
        std::optional<store::CallOptions> options = edge.admit(*call);
        if (!options.has_value()) return std::make_unique<RefusedStream>();
        options->request_id = {};  // names one mutation, not a stream of them
        return std::make_unique<KeepAliveStream>(edge, monitor, call, *std::move(options));
      });
}

}  // namespace lockstep::gateway
