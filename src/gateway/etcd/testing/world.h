// All that etcd's services need, on a strand and a clock moved by hand: for tests of protocol edges.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "env/random.h"
#include "gateway/etcd/etcd_services.h"
#include "gateway/etcd/testing/fake_cluster.h"
#include "replica/memory_store.h"
#include "sim/secrets.h"
#include "watch/test_store.h"

namespace lockstep::gateway::testing {

// Numbers in a row.
class TestRandom final : public env::Random {
 public:
  std::uint64_t next() override { return ++last_; }

 private:
  std::uint64_t last_ = 0;
};

// Works at once, and says so a turn later.
class TestWorker final : public env::Worker {
 public:
  explicit TestWorker(env::Executor& executor) : executor_(executor) {}
  void submit(env::Closure work, env::Closure done) override {
    work();
    executor_.post(std::move(done));
  }

 private:
  env::Executor& executor_;
};

struct World {
  watch::testing::ManualStrand strand;
  replica::MemoryStore store{strand, strand};
  FakeCluster cluster{store};
  sim::SimSecrets secrets;
  TestRandom random;
  TestWorker worker{strand};
  store::Security& security{store.enable_security(secrets, worker, random)};
  std::unique_ptr<EtcdServices> owned_services =
      std::make_unique<EtcdServices>(store, security, cluster, strand, strand, random);
  EtcdServices& services = *owned_services;

  World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    owned_services.reset();
    strand.run();  // whoever still waits in line ends
  }
};

}  // namespace lockstep::gateway::testing
