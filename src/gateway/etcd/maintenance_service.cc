#include "gateway/etcd/maintenance_service.h"

#include <algorithm>

#include "base/crc32c.h"
#include "gateway/etcd/convert.h"
#include "gateway/etcd/snapshot_stream.h"
#include "proto/cluster.pb.h"
#include "store/errors.h"
#include "store/reader.h"

namespace lockstep::gateway {
namespace {

using rpc::ServerCallPtr;

// Read for a hash in one go: about so many bytes. Each read counts all keys that follow, so that small pages
// of small values would cost the square of the keys.
constexpr std::size_t hash_bytes_per_turn = 4 * limits::mebibyte;
constexpr std::int64_t hash_keys_min = 100;
constexpr std::int64_t hash_keys_max = 10'000;
static_assert(hash_keys_min *
                      (limits::key_bytes_max + limits::value_bytes_max + store::answer_row_overhead_bytes) <
                  store::answer_bytes_max,
              "the smallest page is never too large");

// etcd's storage has a version of its own: that of the release's minor version.
std::string storage_version(std::string_view etcd_version) {
  return std::string(etcd_version.substr(0, etcd_version.rfind('.'))) + ".0";
}

std::string describe(const store::Alarm& alarm) {
  return "memberID:" + std::to_string(alarm.member.value()) +
         " alarm:" + pb::AlarmType_Name(static_cast<pb::AlarmType>(alarm.kind)) + " ";
}

void status(Edge& edge, const ServerCallPtr& call, std::string_view bytes) {
  pb::StatusRequest request;
  if (!Edge::parse(*call, bytes, &request)) return;
  if (!edge.admit(*call, Learners::served, Needs::user).has_value()) return;
  const ClusterStatus status = edge.cluster().status();
  pb::StatusResponse message;
  to_wire(edge.cluster().header(), message.mutable_header());
  message.set_version(edge.options().etcd_version);
  message.set_dbsize(static_cast<std::int64_t>(status.disk_bytes));
  message.set_leader(status.leader.value());
  message.set_raftindex(status.commit.value());
  message.set_raftterm(status.term.value());
  message.set_raftappliedindex(status.applied.value());
  if (status.leader == NodeId()) message.add_errors(etcd_errors::no_leader().message);
  for (const store::Alarm& alarm : status.alarms) message.add_errors(describe(alarm));
  for (const std::string& error : status.errors) message.add_errors(error);
  message.set_dbsizeinuse(static_cast<std::int64_t>(status.used_bytes));
  message.set_islearner(status.learner);
  message.set_storageversion(storage_version(edge.options().etcd_version));
  message.set_dbsizequota(static_cast<std::int64_t>(status.quota_bytes));
  edge.respond(*call, message);
}

void defragment(Edge& edge, const ServerCallPtr& call, std::string_view bytes) {
  pb::DefragmentRequest request;
  if (!Edge::parse(*call, bytes, &request)) return;
  if (!edge.admit(*call, Learners::refused, Needs::root).has_value()) return;
  pb::DefragmentResponse message;
  to_wire(edge.cluster().header(), message.mutable_header());
  edge.respond(*call, message);
}

void add_number(std::int64_t number, std::string* bytes) {
  for (int shift = 0; shift < 64; shift += 8) {
    bytes->push_back(static_cast<char>(static_cast<std::uint64_t>(number) >> shift));
  }
}

// Lengths go in before what they measure, so that no two stores look alike.
std::uint32_t hash_of(const store::KeyValue& kv, std::uint32_t seed) {
  std::string numbers;
  for (const std::int64_t number :
       {kv.create_revision.value(), kv.mod_revision.value(), kv.version, kv.lease.value(),
        static_cast<std::int64_t>(kv.key.size()), static_cast<std::int64_t>(kv.value.size())}) {
    add_number(number, &numbers);
  }
  return crc32c_extend(crc32c_extend(crc32c_extend(seed, numbers), kv.key), kv.value);
}

// Walks the keys of one revision.
class HashWalk : public std::enable_shared_from_this<HashWalk> {
 public:
  using Done = std::function<void(Result<std::uint32_t>, Revision)>;
  HashWalk(Edge& edge, ServerCallPtr call, store::CallOptions options, Revision revision, Done done)
      : edge_(edge),
        call_(std::move(call)),
        options_(std::move(options)),
        revision_(revision),
        done_(std::move(done)) {}

  void go_on() {
    if (call_->ended()) return;
    store::RangeRequest request;
    request.key = next_key_;
    request.range_end = std::string(1, '\0');
    request.revision = revision_;
    request.limit = keys_per_turn_;
    request.serializable = true;
    edge_.store().range(
        std::move(request), options_,
        [self = shared_from_this()](const Result<store::RangeResponse>& read) { self->on_read(read); });
  }

 private:
  void on_read(const Result<store::RangeResponse>& read) {
    // The values behind were larger than those before.
    if (read.status() == store::errors::answer_too_large() && keys_per_turn_ > hash_keys_min) {
      keys_per_turn_ = hash_keys_min;
      return edge_.executor().post([self = shared_from_this()] { self->go_on(); });
    }
    if (!read.ok()) return done_(read.status(), revision_);
    std::size_t bytes = 1;
    for (const store::KeyValue& kv : read->kvs) {
      hash_ = hash_of(kv, hash_);
      bytes += kv.key.size() + kv.value.size();
    }
    if (!read->more) return done_(hash_, revision_);
    const std::size_t keys = hash_bytes_per_turn * read->kvs.size() / bytes;
    keys_per_turn_ = std::clamp(static_cast<std::int64_t>(keys), hash_keys_min, hash_keys_max);
    next_key_ = read->kvs.back().key + '\0';
    edge_.executor().post([self = shared_from_this()] { self->go_on(); });
  }

  Edge& edge_;
  ServerCallPtr call_;
  store::CallOptions options_;
  Revision revision_;
  Done done_;
  std::string next_key_ = std::string(1, '\0');
  std::int64_t keys_per_turn_ = hash_keys_min;
  std::uint32_t hash_ = ~std::uint32_t{0};  // zeros at the begin count, too
};

template <class Request, class Response>
void hash(Edge& edge, const ServerCallPtr& call, std::string_view bytes) {
  Request request;
  if (!Edge::parse(*call, bytes, &request)) return;
  std::optional<store::CallOptions> options = edge.admit(*call, Learners::refused, Needs::root);
  if (!options.has_value()) return;
  Revision revision;
  if constexpr (std::is_same_v<Request, pb::HashKVRequest>) revision = Revision(request.revision());
  if (revision == Revision()) revision = edge.cluster().header().revision;
  auto done = [&edge, call](const Result<std::uint32_t>& hash, Revision at) {
    if (!hash.ok()) return Edge::fail(*call, hash.status());
    Response message;
    to_wire(edge.cluster().header(), message.mutable_header());
    message.set_hash(*hash);
    if constexpr (std::is_same_v<Response, pb::HashKVResponse>) {
      message.set_compact_revision(edge.cluster().status().compacted.value());
      message.set_hash_revision(at.value());
    }
    edge.respond(*call, message);
  };
  std::make_shared<HashWalk>(edge, call, *std::move(options), revision, std::move(done))->go_on();
}

void move_leader(Edge& edge, const ServerCallPtr& call, std::string_view bytes) {
  pb::MoveLeaderRequest request;
  if (!Edge::parse(*call, bytes, &request)) return;
  std::optional<store::CallOptions> options = edge.admit(*call, Learners::refused, Needs::root);
  if (!options.has_value()) return;
  const NodeId target(request.targetid());
  const auto is_target = [&](const MemberInfo& member) { return member.id == target && !member.learner; };
  if (edge.cluster().status().leader != edge.cluster().header().member) {
    return call->finish(etcd_errors::not_leader());
  }
  if (std::ranges::none_of(edge.cluster().members(), is_target)) {
    return call->finish(etcd_errors::bad_transferee());
  }
  edge.cluster().transfer_leadership(target, *std::move(options), [&edge, call](const Status& status) {
    if (!status.ok()) return Edge::fail(*call, status);
    pb::MoveLeaderResponse message;
    to_wire(edge.cluster().header(), message.mutable_header());
    edge.respond(*call, message);
  });
}

void downgrade(Edge& /*edge*/, const ServerCallPtr& call, std::string_view /*bytes*/) {
  call->finish(
      {rpc::GrpcCode::unimplemented,
       "lockstep: there is no older storage version to go back to; install an older release instead"});
}

}  // namespace

void register_maintenance(Edge& edge, rpc::ServiceRegistry& registry) {
  using Handler = void (*)(Edge&, const ServerCallPtr&, std::string_view);
  const auto serve = [&](std::string_view path, Handler handler) {
    registry.unary(path, [&edge, handler](const ServerCallPtr& call, std::string_view bytes) {
      handler(edge, call, bytes);
    });
  };
  serve("/etcdserverpb.Maintenance/Status", status);
  serve("/etcdserverpb.Maintenance/Defragment", defragment);
  serve("/etcdserverpb.Maintenance/Hash", hash<pb::HashRequest, pb::HashResponse>);
  serve("/etcdserverpb.Maintenance/HashKV", hash<pb::HashKVRequest, pb::HashKVResponse>);
  serve("/etcdserverpb.Maintenance/MoveLeader", move_leader);
  serve("/etcdserverpb.Maintenance/Downgrade", downgrade);
  register_snapshot(edge, registry);
}

}  // namespace lockstep::gateway
