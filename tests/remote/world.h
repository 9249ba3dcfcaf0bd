// A cluster in memory and a client of it: a memory store behind the etcd gateway, served at several
// addresses, and the remote store on connections that the test can hold, cut and refuse. Virtual time, one
// thread.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gateway/etcd/etcd_services.h"
#include "gateway/etcd/testing/world.h"
#include "remote/connections.h"
#include "remote/store.h"
#include "replica/memory_store.h"
#include "rpc/server.h"
#include "rpc/testing_world.h"
#include "sim/secrets.h"

namespace lockstep::remote_test {

// Members at addresses; who connects to one gets a connection of memory.
class Network final : public env::Streams {
 public:
  explicit Network(rpc::TestStrand& strand) : strand_(strand) {}
  void serve(const std::string& address, rpc::Server& server) { servers_[address] = &server; }

  std::unique_ptr<env::Connecting> connect(const std::string& address, env::Connecting::Done done) override {
    ++attempts_[address];
    auto attempt = std::make_unique<Attempt>();
    strand_.post(
        [this, address, alive = std::weak_ptr<int>(attempt->alive), done = std::move(done)]() mutable {
          if (alive.expired()) return;
          if (refusing_.contains(address) || !servers_.contains(address))
            return done(std::make_error_code(std::errc::connection_refused), nullptr);
          auto to_server = std::make_shared<rpc::TestFlow>();
          auto to_client = std::make_shared<rpc::TestFlow>();
          if (holding_.contains(address)) to_client->room = 0;
          auto client_end = std::make_unique<rpc::TestStream>(strand_, to_client, to_server);
          auto server_end = std::make_unique<rpc::TestStream>(strand_, to_server, to_client);
          rpc::TestStream::join(*client_end, *server_end);
          links_.push_back({address, client_end.get(), client_end->alive(), server_end.get(),
                            server_end->alive(), to_client});
          servers_.at(address)->accept(std::move(server_end));
          done({}, std::move(client_end));
        });
    return attempt;
  }
  Result<std::unique_ptr<env::Listener>> listen(const std::string&, env::Listener::Accepted) override {
    return Status(Code::unimplemented, "nobody listens here");
  }

  // Nothing that the server says arrives, until it is released or cut.
  void hold(const std::string& address) {
    holding_.insert(address);
    for (Link& link : links_) {
      if (link.address == address) link.to_client->room = 0;
    }
  }
  void release(const std::string& address) {
    holding_.erase(address);
    for (Link& link : links_) {
      if (link.address != address || link.server_alive.expired()) continue;
      link.to_client->room = SIZE_MAX;
      link.server_end->poll();
    }
  }
  // Connections break. What the client sent arrives, what the server said is lost.
  void cut(const std::string& address) {
    for (const Link& link : std::exchange(links_, {})) {
      if (link.address != address) {
        links_.push_back(link);
      } else if (!link.client_alive.expired()) {
        link.client_end->close();
      }
    }
  }
  void refuse(const std::string& address, bool refusing) {
    if (refusing)
      refusing_.insert(address);
    else
      refusing_.erase(address);
  }
  [[nodiscard]] int attempts(const std::string& address) { return attempts_[address]; }

 private:
  struct Attempt final : env::Connecting {
    std::shared_ptr<int> alive = std::make_shared<int>(0);
  };
  struct Link {
    std::string address;
    rpc::TestStream* client_end;
    std::weak_ptr<int> client_alive;
    rpc::TestStream* server_end;
    std::weak_ptr<int> server_alive;
    std::shared_ptr<rpc::TestFlow> to_client;
  };
  rpc::TestStrand& strand_;
  std::map<std::string, rpc::Server*> servers_;
  std::set<std::string> refusing_;
  std::set<std::string> holding_;
  std::map<std::string, int> attempts_;
  std::list<Link> links_;
};

struct Cluster {
  explicit Cluster(rpc::TestStrand& test_strand) : strand(test_strand) {
    for (const char* address : {"m1:1", "m2:1", "m3:1"}) {
      servers.push_back(std::make_unique<rpc::Server>(strand, strand));
      services.register_with(*servers.back());
      network.serve(address, *servers.back());
    }
  }
  ~Cluster() {
    for (const auto& server : servers) server->close();
    strand.settle();
  }
  rpc::TestStrand& strand;
  replica::MemoryStore store{strand, strand};
  gateway::testing::FakeCluster face{store};
  sim::SimSecrets secrets;
  gateway::testing::TestRandom random;
  gateway::testing::TestWorker worker{strand};
  store::Security& security{store.enable_security(secrets, worker, random)};
  gateway::EtcdServices services{store, security, face, strand, strand, random};
  Network network{strand};
  std::vector<std::unique_ptr<rpc::Server>> servers;
};

inline remote::ConnectionsOptions three_members() {
  remote::ConnectionsOptions options;
  options.endpoints = {"m1:1", "m2:1", "m3:1"};
  return options;
}

class World {
 public:
  explicit World(remote::ConnectionsOptions options = three_members(), std::uint64_t seed = 1)
      : seed_{seed}, connections_(strand, strand, seed_, cluster.network, std::move(options)) {}
  ~World() {
    store_.reset();
    connections_.close();
  }

  remote::Connections& connections() { return connections_; }
  remote::Store& store() { return *store_; }
  Network& network() { return cluster.network; }

  rpc::TestStrand strand;
  Cluster cluster{strand};

 private:
  struct Seed final : env::Random {
    explicit Seed(std::uint64_t first) : next_number(first) {}
    std::uint64_t next() override { return next_number++; }
    std::uint64_t next_number;
  };
  Seed seed_;
  remote::Connections connections_;
  std::unique_ptr<remote::Store> store_ =
      std::make_unique<remote::Store>(connections_, remote::StoreOptions{.lease_ttl_min = 1s, .watches = {}});
};

}  // namespace lockstep::remote_test
