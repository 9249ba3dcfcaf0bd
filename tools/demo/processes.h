// The three member processes: started, killed and started again.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "base/ids.h"
#include "replica/options.h"

namespace lockstep::demo {

inline constexpr NodeId client_node{100};

struct Cluster {
  std::vector<replica::Member> members;
  replica::Member client;  // where the demo itself listens for answers
  std::string directory;
};

// Three members and a client on free ports of 127.0.0.1.
Cluster plan_cluster(const std::string& directory);
std::string to_text(const std::vector<replica::Member>& members);
// Exits with a message if `text` is not "1=host:port,…".
std::vector<replica::Member> from_text(const std::string& text);

class Processes {
 public:
  explicit Processes(Cluster cluster);
  ~Processes();  // kills what runs
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  void start(NodeId node);
  // SIGKILL, and waits until it is gone.
  void kill(NodeId node);
  // True if a member ended by itself: something is wrong.
  [[nodiscard]] bool any_died();
  [[nodiscard]] const Cluster& cluster() const { return cluster_; }

 private:
  Cluster cluster_;
  std::vector<pid_t> processes_;  // by member, 0: not running
};

// The process of one member. Serves until it is killed.
int run_member(const std::string& directory, NodeId node, const std::string& members,
               const std::string& client);

}  // namespace lockstep::demo
