// How one member is set up.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"
#include "base/time.h"
#include "engine/engine.h"
#include "log/log.h"
#include "raft/raft.h"
#include "replica/authenticator.h"
#include "store/persistence.h"
#include "store/state_machine.h"

namespace lockstep::replica {

struct Member {
  NodeId id;
  std::string address;       // "host:port" of its peer port; empty in process
  std::string name{};        // for people; empty until it announced itself
  std::string client_url{};  // where clients reach it; empty likewise
  bool promote = false;      // a learner that is to become a voter once it has caught up

  friend bool operator==(const Member&, const Member&) = default;
};

struct Options {
  ClusterId cluster;
  NodeId node;
  // Who forms a new cluster, this member included: the same list at each of them. Empty: this member joins a
  // cluster whose leader adds it. Not looked at again once the directory has a log.
  std::vector<Member> founders;
  // For a member that joins: whom it may hear from before it knows the configuration. It must be able to
  // answer.
  std::vector<Member> contacts;

  Duration election_timeout = 1s;
  Duration heartbeat_interval = 100ms;
  Duration commit_notice_delay = raft::Options{}.commit_notice_delay;
  // A call without an earlier deadline is given up after this time: a mutation's outcome is then unknown.
  Duration request_timeout = 7s;
  // Smallest lease: a renewal must survive one election.
  Duration lease_ttl_min = 100ms;
  // Logical size above which puts are refused (a no_space alarm is raised). Zero: no quota.
  std::uint64_t quota_bytes = 0;

  AuthenticatorOptions security;

  // Where the state is written, behind the log; outlives the replica and the worker's last job.
  engine::Engine* engine = nullptr;
  log::Options log;  // cluster and node are filled in from above
  // Instead of log.inline_bytes_max, if it is larger, while there is no other voter: then nothing can be done
  // while the disk writes, and handing the group to another thread costs two wake-ups. What such a group
  // holds is applied and answered while the disk makes it durable: not zero only if nothing leaves
  // this process but through the environment's network and streams, which keep it until then.
  std::size_t log_inline_bytes_max_alone = 0;
  store::StateMachineOptions machine;
  store::PersistenceOptions persistence;
  // Entries kept in memory for followers that lag; one that lags further gets a snapshot.
  std::size_t log_memory_bytes_max = limits::log_memory_bytes_max;
  // The same while nobody is known to lag; at most the former.
  std::size_t log_memory_settled_bytes_max = limits::log_memory_settled_bytes_max;
  // Applied and not yet written to the engine; above it applying waits.
  std::size_t backlog_bytes_max = 256 * limits::mebibyte;
  // Committed and not yet applied, or waiting for this member's disk; above it no more is taken (I11).
  std::size_t unapplied_bytes_max = limits::unapplied_bytes_max;
  // Proposed and not yet committed; above it no more is taken (I11).
  std::size_t uncommitted_bytes_max = limits::uncommitted_bytes_max;
  bool trace = false;  // raft's trace lines go to `on_trace`
  std::function<void(const std::string&)> on_trace;

  // Called once when this member must stop: its disk failed, or its state was found to be wrong. The owner
  // ends the process (or the simulated member); nothing is answered any more.
  std::function<void(const Status&)> on_fatal;
};

}  // namespace lockstep::replica
