#include "gateway/etcd/lease_service.h"

#include <algorithm>
#include <array>
#include <deque>

#include <google/protobuf/io/coded_stream.h>

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

// Of a field whose value is a varint.
constexpr std::uint32_t varint_tag(int field) {
  return static_cast<std::uint32_t>(field) << 3;
}

// Of a LeaseKeepAliveRequest: its one field, as clients write it, without a message object.
std::optional<LeaseId> lease_of(std::string_view bytes) {
  const auto size = static_cast<int>(bytes.size());
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const std::uint8_t*>(bytes.data()), size);
  std::uint64_t number = 0;
  if (input.ReadTag() == varint_tag(pb::LeaseKeepAliveRequest::kIDFieldNumber) &&
      input.ReadVarint64(&number) && input.CurrentPosition() == size) {
    return LeaseId(static_cast<std::int64_t>(number));
  }
  pb::LeaseKeepAliveRequest message;
  if (!message.ParseFromArray(bytes.data(), size)) return std::nullopt;
  return LeaseId(message.id());
}

// Writes LeaseKeepAliveResponses. Renewals come in thousands, most of them answered under the header of the
// one before: it is encoded once.
class AnswerWriter {
 public:
  // Valid until the next call.
  std::string_view write(const store::Header& header, LeaseId lease, std::int64_t ttl_s) {
    if (header_bytes_ == 0 || header != header_) begin_with(header);
    std::uint8_t* end = bytes_.data() + header_bytes_;
    // A zero is not written, as everywhere in this format.
    if (lease != LeaseId()) end = number(pb::LeaseKeepAliveResponse::kIDFieldNumber, lease.value(), end);
    if (ttl_s != 0) end = number(pb::LeaseKeepAliveResponse::kTTLFieldNumber, ttl_s, end);
    return {reinterpret_cast<const char*>(bytes_.data()), static_cast<std::size_t>(end - bytes_.data())};
  }

 private:
  static constexpr std::size_t number_bytes_max = 11;  // with the field's tag
  static constexpr std::size_t header_bytes_max = 2 + 4 * number_bytes_max;

  static std::uint8_t* number(int field, std::int64_t value, std::uint8_t* to) {
    using google::protobuf::io::CodedOutputStream;
    to = CodedOutputStream::WriteTagToArray(varint_tag(field), to);
    return CodedOutputStream::WriteVarint64ToArray(static_cast<std::uint64_t>(value), to);
  }
  void begin_with(const store::Header& header) {
    pb::LeaseKeepAliveResponse message;
    to_wire(header, message.mutable_header());
    const std::size_t bytes = message.ByteSizeLong();
    LS_MUST(bytes > 0 && bytes <= header_bytes_max);
    message.SerializeWithCachedSizesToArray(bytes_.data());
    header_ = header;
    header_bytes_ = bytes;
  }

  store::Header header_;
  std::size_t header_bytes_ = 0;  // zero: none is encoded yet
  std::array<std::uint8_t, header_bytes_max + 2 * number_bytes_max> bytes_{};
};

// Shared with the callbacks of the renewals under way, which may come after the stream has gone.
class Renewals : public std::enable_shared_from_this<Renewals> {
 public:
  Renewals(Edge& edge, rpc::ServerCallPtr call, store::CallOptions options)
      : edge_(edge), call_(std::move(call)), options_(std::move(options)) {}

  void renew(std::string_view bytes) {
    if (call_->ended()) return;
    const std::optional<LeaseId> lease = lease_of(bytes);
    if (!lease.has_value()) return call_->finish(etcd_errors::malformed_message());
    if (answers_.size() >= renewals_under_way_max || call_->unsent_bytes() > unread_bytes_max) {
      return call_->finish(etcd_errors::too_many_requests());
    }
    const std::uint64_t number = first_number_ + answers_.size();
    answers_.push_back({*lease, edge_.cluster().header(), std::nullopt});
    edge_.store().lease_keep_alive(
        {*lease}, options_,
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
      call_->send(writer_.write(answer.header, answer.lease, ttl_seconds(*answer.ttl)));
      answers_.pop_front();
      ++first_number_;
    }
    if (half_closed_ && answers_.empty()) call_->finish({});
  }

  Edge& edge_;
  rpc::ServerCallPtr call_;
  store::CallOptions options_;
  AnswerWriter writer_;
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
