#include <cstdlib>

#include <fmt/format.h>

#include "engine/rocksdb_engine.h"
#include "platform/platform.h"
#include "processes.h"
#include "replica/replica.h"

namespace lockstep::demo {

int run_member(const std::string& directory, NodeId node, const std::string& members,
               const std::string& client) {
  const std::vector<replica::Member> founders = from_text(members);
  std::unique_ptr<engine::Engine> engine;  // outlives the platform's worker
  platform::PlatformOptions options;
  options.data_directory = directory;
  options.cluster = ClusterId(1);
  options.node = node;
  options.log = [](std::string_view) {};  // connections come and go here: that is the demonstration
  for (const replica::Member& founder : founders) {
    if (founder.id == node) options.listen_address = founder.address;
  }
  auto platform = platform::Platform::open(options);
  if (!platform.ok()) {
    fmt::print(stderr, "member {}: {}\n", node.value(), platform.status().to_string());
    return 1;
  }
  for (const replica::Member& peer : from_text(client))
    (*platform)->network().set_peer(peer.id, peer.address);

  auto opened = engine::open_rocksdb_engine(directory + "/engine", {});
  if (!opened.ok()) {
    fmt::print(stderr, "member {}: {}\n", node.value(), opened.status().to_string());
    return 1;
  }
  engine = *std::move(opened);

  replica::Options replica_options;
  replica_options.engine = engine.get();
  replica_options.cluster = options.cluster;
  replica_options.node = node;
  replica_options.founders = founders;
  replica_options.election_timeout = 300ms;
  replica_options.heartbeat_interval = 50ms;
  replica_options.on_fatal = [node](const Status& why) {
    fmt::print(stderr, "member {} halts: {}\n", node.value(), why.to_string());
    std::_Exit(1);
  };
  auto replica = replica::Replica::open((*platform)->environment(), std::move(replica_options));
  if (!replica.ok()) {
    fmt::print(stderr, "member {}: {}\n", node.value(), replica.status().to_string());
    return 1;
  }
  (*platform)->run();
  return 0;
}

}  // namespace lockstep::demo
