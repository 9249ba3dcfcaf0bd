#include "lockstep/testing.h"

#include <mutex>
#include <vector>

#include "base/prng.h"
#include "faulty_store.h"
#include "replica/memory_store.h"
#include "runtime.h"
#include "virtual_strand.h"
#include "world.h"

namespace lockstep::v1::testing {
namespace detail {
namespace {

// The same numbers in every run: what a test sees does not depend on luck.
class FixedRandom final : public env::Random {
 public:
  std::uint64_t next() override { return prng_.next(); }

 private:
  Prng prng_{1};
};

}  // namespace

class EmbeddedCluster {
 public:
  VirtualStrand strand;
  FixedRandom random;
  std::unique_ptr<replica::MemoryStore> store;  // made and destroyed on the strand

  std::mutex mutex;
  std::vector<std::weak_ptr<v1::detail::Runtime>> clients;

  EmbeddedCluster() {
    strand.run([this] { store = std::make_unique<replica::MemoryStore>(strand, strand); });
  }
  ~EmbeddedCluster() {
    for (const auto& weak : clients) {
      if (const auto client = weak.lock()) client->close();
    }
    strand.run([this] { store.reset(); });
  }
  EmbeddedCluster(const EmbeddedCluster&) = delete;
  EmbeddedCluster& operator=(const EmbeddedCluster&) = delete;
};

namespace {

class EmbeddedWorld final : public v1::detail::World {
 public:
  // The cluster closes its clients before it goes; a handle that is left asks nothing more of this.
  explicit EmbeddedWorld(EmbeddedCluster& cluster)
      : cluster_(&cluster), store_(*cluster.store, cluster.strand) {}

  env::Executor& executor() override { return cluster_->strand; }
  env::Clock& clock() override { return cluster_->strand; }
  env::Random& random() override { return cluster_->random; }
  store::Store& store() override { return store_; }
  void leave() override { store_.close(); }
  void join() override {}
  Duration patience(Duration) override {
    cluster_->strand.run_until_quiet();
    return Duration::zero();
  }
  void calls_changed(int by) override { cluster_->strand.waiting_changed(by); }

  FaultyStore& faulty() { return store_; }

 private:
  EmbeddedCluster* cluster_;
  FaultyStore store_;
};

FaultyStore& store_of(const Client& client) {
  return dynamic_cast<EmbeddedWorld&>(v1::detail::runtime_of(client).world()).faulty();
}

}  // namespace
}  // namespace detail

Cluster::Cluster() : cluster_(std::make_unique<detail::EmbeddedCluster>()) {}
Cluster::~Cluster() = default;

Client Cluster::client(const ClientOptions& options) {
  auto runtime =
      std::make_shared<v1::detail::Runtime>(std::make_shared<detail::EmbeddedWorld>(*cluster_), options);
  const std::lock_guard lock(cluster_->mutex);
  std::erase_if(cluster_->clients, [](const auto& weak) { return weak.expired(); });
  cluster_->clients.push_back(runtime);
  return Client(std::move(runtime));
}

void Cluster::advance(std::chrono::nanoseconds by) {
  cluster_->strand.advance(by);
}

std::chrono::nanoseconds Cluster::now() const {
  return cluster_->strand.now().time_since_epoch();
}

void Cluster::set_wall_clock(std::chrono::nanoseconds since_epoch) {
  cluster_->strand.set_wall(since_epoch);
}

void Cluster::jump_while_waiting() {
  cluster_->strand.jump_while_waiting();
}

void Cluster::cut_off(const Client& client) {
  cluster_->strand.run([&] { detail::store_of(client).cut_off(); });
}

void Cluster::reconnect(const Client& client) {
  cluster_->strand.run([&] { detail::store_of(client).reconnect(); });
}

void Cluster::set_faults(const Client& client, std::function<Fault(const StoreCall&)> decide) {
  cluster_->strand.run([&] { detail::store_of(client).set_faults(std::move(decide)); });
}

std::uint64_t Cluster::store_calls(const Client& client) const {
  std::uint64_t calls = 0;
  cluster_->strand.run([&] { calls = detail::store_of(client).calls(); });
  return calls;
}

}  // namespace lockstep::v1::testing
