// A cluster of etcd and a cluster of lockstepd, both fresh, that get the same operations and must answer the
// same.
//
// Left out of the comparison, because it cannot be equal: cluster_id, member_id and raft_term of headers; the
// remaining time of a lease (only that it lies within the granted one); identities that a server draws.
// Compared as sets, because etcd walks a map: keys of a lease, leases, alarms. etcd 3.4 sends no header with
// alarms, and with a compacted watch neither a reason nor a revision. With several members a follower may
// lag, so the revisions in the headers of lease renewals, times to live, lists of leases and of created
// watches say nothing.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/message.h>

#include "operation.h"
#include "server_cluster.h"
#include "wire_client.h"

namespace lockstep::wire_test {

struct Mismatch {
  std::string report;
  // A leader was lost or a server did not answer: nothing follows about the answers.
  bool outage = false;
};

class Pair {
 public:
  explicit Pair(std::size_t members);

  std::optional<Mismatch> run(const Operation& operation);
  // Every event since the beginning, as one watcher of each side saw it.
  std::optional<Mismatch> catch_up();

  [[nodiscard]] const store::testing::Known& known() const { return known_; }
  [[nodiscard]] std::size_t errors() const { return errors_; }
  [[nodiscard]] std::size_t events() const { return record_.size(); }

 private:
  struct Side {
    std::string name;
    etcd_test::ServerCluster cluster;
    std::vector<rpc::Channel*> channels;
    std::unique_ptr<WireStream> everything;  // the watcher of all keys
  };
  // What happened, as far as it decides which events a watcher must see.
  struct Happened {
    std::int64_t revision = 0;
    bool deleted = false;
    std::string key;
  };

  std::optional<Mismatch> run_unary(const Operation& operation);
  std::optional<Mismatch> run_grant_any(const Operation& operation);
  std::optional<Mismatch> run_keep_alive(const Operation& operation);
  std::optional<Mismatch> run_watch(const Operation& operation);
  std::optional<Mismatch> compare(const Operation& operation, const Answer& etcd, const Answer& lockstepd);
  // The text that is compared.
  std::string normalised(const Operation& operation, const Answer& answer) const;
  void learn(const Operation& operation, const Answer& answer);
  [[nodiscard]] std::size_t due(const google::protobuf::Message& create) const;
  // One after the other from both; empty once `count` events of both were the same.
  std::optional<Mismatch> compare_events(WireStream& etcd, WireStream& lockstepd, std::size_t count,
                                         const std::string& what);

  WireClient client_;
  std::vector<Side> sides_;
  store::testing::Known known_;
  std::set<std::pair<std::uint64_t, int>> alarms_;
  std::vector<Happened> record_;
  std::int64_t recorded_revision_ = 1;
  std::size_t errors_ = 0;
};

}  // namespace lockstep::wire_test
