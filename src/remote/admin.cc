#include "remote/admin.h"

#include <utility>

#include <google/protobuf/message_lite.h>

#include "proto/cluster.pb.h"

namespace lockstep::remote {

void Admin::call(std::string_view path, const google::protobuf::MessageLite& request,
                 google::protobuf::MessageLite* response, Effect effect, const Where& where,
                 std::move_only_function<void(Status)> done) {
  Call call;
  call.path = path;
  call.message = request.SerializeAsString();
  call.effect = effect;
  call.deadline = where.deadline;
  call.endpoint = where.endpoint;
  connections_.call(std::move(call), [response, done = std::move(done)](Result<std::string> bytes) mutable {
    if (!bytes.ok()) return done(bytes.status());
    if (!response->ParseFromString(*bytes))
      return done({Code::internal, "the server's answer cannot be read"});
    done({});
  });
}

class Admin::Snapshot : public std::enable_shared_from_this<Admin::Snapshot> {
 public:
  Snapshot(OnPiece on_piece, std::move_only_function<void(Status)> done)
      : on_piece_(std::move(on_piece)), done_(std::move(done)) {}
  ~Snapshot() {
    if (stream_ != nullptr) stream_->cancel();
  }

  void start(Result<Connections::Line> line) {
    if (!line.ok()) return finish(line.status());
    stream_ = line->endpoint->stream("/etcdserverpb.Maintenance/Snapshot", line->metadata,
                                     std::make_unique<Handler>(weak_from_this()));
    stream_->send(etcdserverpb::SnapshotRequest().SerializeAsString());
    stream_->half_close();
  }

 private:
  class Handler final : public rpc::ClientStreamHandler {
   public:
    explicit Handler(std::weak_ptr<Snapshot> snapshot) : snapshot_(std::move(snapshot)) {}
    void on_message(std::string_view message) override {
      if (const auto snapshot = snapshot_.lock()) snapshot->on_message(message);
    }
    void on_end(const rpc::CallResult& result) override {
      const auto snapshot = snapshot_.lock();
      if (snapshot == nullptr) return;
      snapshot->stream_ = nullptr;
      snapshot->finish(result.status.ok() ? Status()
                                          : to_status(result.status, Effect::none, !result.not_processed));
    }

   private:
    std::weak_ptr<Snapshot> snapshot_;
  };

  void on_message(std::string_view bytes) {
    etcdserverpb::SnapshotResponse piece;
    Status wrong;
    if (!piece.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
      wrong = {Code::internal, "the server's answer cannot be read"};
    else if (!on_piece_(piece.remaining_bytes(), piece.blob()))
      wrong = {Code::cancelled, "given up by the caller"};
    if (wrong.ok()) return;
    std::exchange(stream_, nullptr)->cancel();
    finish(wrong);
  }
  void finish(const Status& status) {
    if (auto done = std::exchange(done_, nullptr)) done(status);
  }

  OnPiece on_piece_;
  std::move_only_function<void(Status)> done_;
  std::shared_ptr<rpc::ClientStream> stream_;
};

std::shared_ptr<Admin::Snapshot> Admin::snapshot(const Where& where, OnPiece on_piece,
                                                 std::move_only_function<void(Status)> done) {
  auto snapshot = std::make_shared<Snapshot>(std::move(on_piece), std::move(done));
  connections_.line(where.deadline, where.endpoint,
                    [weak = std::weak_ptr<Snapshot>(snapshot)](Result<Connections::Line> line) {
                      if (const auto found = weak.lock()) found->start(std::move(line));
                    });
  return snapshot;
}

}  // namespace lockstep::remote
