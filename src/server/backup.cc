#include "server/backup.h"

#include <utility>

#include "server/cluster.h"

namespace lockstep::server {
namespace {

class Reader final : public gateway::SnapshotReader {
 public:
  Reader(replica::Replica& replica, std::shared_ptr<store::SnapshotSource> source)
      : replica_(replica), source_(std::move(source)) {}
  ~Reader() override { *alive_ = false; }

  [[nodiscard]] std::uint64_t total_bytes() const override { return source_->total_bytes(); }

  void read(std::size_t bytes_max, std::move_only_function<void(Result<std::string>)> done) override {
    if (offset_ >= source_->total_bytes()) return done(std::string());
    replica_.read_snapshot(
        source_, offset_, bytes_max,
        [this, alive = alive_, done = std::move(done)](const Result<SharedBytes>& bytes) mutable {
          if (!*alive) return;
          if (!bytes.ok()) return done(bytes.status());
          offset_ += bytes->size();
          done(std::string(bytes->view()));
        });
  }

 private:
  replica::Replica& replica_;
  std::shared_ptr<store::SnapshotSource> source_;
  std::uint64_t offset_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<gateway::SnapshotReader> make_snapshot_reader(replica::Replica& replica,
                                                              std::shared_ptr<store::SnapshotSource> source) {
  return std::make_unique<Reader>(replica, std::move(source));
}

void ServerCluster::open_snapshot(Done<std::unique_ptr<gateway::SnapshotReader>> done) {
  replica_.open_snapshot([this, alive = alive_, done = std::move(done)](
                             Result<std::shared_ptr<store::SnapshotSource>> source) mutable {
    if (!*alive) return;
    if (!source.ok()) return done(source.status());
    done(make_snapshot_reader(replica_, *std::move(source)));
  });
}

}  // namespace lockstep::server
