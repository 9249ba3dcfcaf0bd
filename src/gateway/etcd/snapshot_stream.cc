#include "gateway/etcd/snapshot_stream.h"

#include <algorithm>
#include <array>

#include <openssl/evp.h>

#include "base/assert.h"
#include "gateway/etcd/refused_stream.h"
#include "proto/cluster.pb.h"

namespace lockstep::gateway {
namespace {

constexpr std::size_t piece_bytes = 64 * limits::kibibyte;
constexpr std::size_t unsent_bytes_high = 4 * piece_bytes;
constexpr std::size_t digest_bytes = 32;
constexpr std::size_t padding_unit_bytes = 512;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    LS_MUST(context_ != nullptr);
    LS_MUST(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void add(std::string_view bytes) {
    LS_MUST(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }
  std::string finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    LS_MUST(EVP_DigestFinal_ex(context_.get(), digest.data(), &length) == 1);
    LS_MUST(length == digest_bytes);
    return {reinterpret_cast<const char*>(digest.data()), length};
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

class SnapshotStream final : public rpc::ServerStreamHandler {
 public:
  SnapshotStream(Edge& edge, rpc::ServerCallPtr call) : edge_(edge), call_(std::move(call)) {}

  void on_message(std::string_view bytes) override {
    etcdserverpb::SnapshotRequest request;
    ++requests_;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      call_->finish(etcd_errors::malformed_message());
    }
  }
  void on_half_close() override {
    if (call_->ended()) return;
    if (requests_ != 1) return call_->finish({rpc::GrpcCode::internal, "lockstep: one request was expected"});
    edge_.cluster().open_snapshot(
        [this, alive = std::weak_ptr(alive_)](Result<std::unique_ptr<SnapshotReader>> reader) {
          if (!alive.expired()) begin(std::move(reader));
        });
  }
  void on_cancelled() override {
    alive_.reset();
    reader_.reset();
  }

 private:
  void begin(Result<std::unique_ptr<SnapshotReader>> reader) {
    if (!reader.ok()) return Edge::fail(*call_, reader.status());
    reader_ = *std::move(reader);
    const std::uint64_t bytes = reader_->total_bytes();
    padding_bytes_ = (padding_unit_bytes - bytes % padding_unit_bytes) % padding_unit_bytes;
    remaining_bytes_ = bytes + padding_bytes_ + digest_bytes;
    go_on();
  }

  void go_on() {
    if (call_->ended()) return;
    if (call_->unsent_bytes() >= unsent_bytes_high) {
      return call_->notify_when_unsent_below(unsent_bytes_high / 2, [this, alive = std::weak_ptr(alive_)] {
        if (!alive.expired()) go_on();
      });
    }
    reader_->read(piece_bytes, [this](Result<std::string> piece) { on_piece(std::move(piece)); });
  }

  void on_piece(Result<std::string> piece) {
    if (call_->ended()) return;
    if (!piece.ok()) return Edge::fail(*call_, piece.status());
    if (piece->empty()) return finish();
    send(*std::move(piece));
    // Not from here: a reader that has the next piece at once would nest without end.
    edge_.executor().post([this, alive = std::weak_ptr(alive_)] {
      if (!alive.expired()) go_on();
    });
  }

  void send(std::string blob) {
    sha256_.add(blob);
    LS_MUST(blob.size() <= remaining_bytes_ - digest_bytes, "a snapshot is as long as it said");
    send_unhashed(std::move(blob));
  }

  void send_unhashed(std::string blob) {
    remaining_bytes_ -= blob.size();
    etcdserverpb::SnapshotResponse message;
    message.set_remaining_bytes(remaining_bytes_);
    message.set_blob(std::move(blob));
    message.set_version(edge_.options().etcd_version);
    call_->send(edge_.serialised(message));
  }

  void finish() {
    if (padding_bytes_ > 0) send(std::string(padding_bytes_, '\0'));
    LS_MUST(remaining_bytes_ == digest_bytes, "a snapshot is as long as it said");
    send_unhashed(sha256_.finish());
    call_->finish({});
  }

  Edge& edge_;
  rpc::ServerCallPtr call_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<SnapshotReader> reader_;
  Sha256 sha256_;
  std::size_t requests_ = 0;
  std::size_t padding_bytes_ = 0;
  std::uint64_t remaining_bytes_ = 0;
};

}  // namespace

void register_snapshot(Edge& edge, rpc::ServiceRegistry& registry) {
  registry.streaming("/etcdserverpb.Maintenance/Snapshot",
                     [&edge](rpc::ServerCallPtr call) -> std::unique_ptr<rpc::ServerStreamHandler> {
                       if (!edge.admit(*call, Learners::served, Needs::root).has_value())
                         return std::make_unique<RefusedStream>();
                       return std::make_unique<SnapshotStream>(edge, std::move(call));
                     });
}

}  // namespace lockstep::gateway
