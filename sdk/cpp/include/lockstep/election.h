// Election: who leads, and what the leader says.
//
//   auto leadership = client.election("shard/7").campaign("10.0.0.7:80").wait();   // when it is our turn
//   leadership->proclaim("10.0.0.7:81").wait();
//   leadership->commit(Txn().put("shard/7/state", "…")).wait();                    // only while we lead
//
// Guarantee: at most one session leads, and tokens only grow from leader to leader. Keys are etcd's: `etcdctl
// elect` campaigns against it.
//
// What can go wrong: a leader that is stopped for longer than its session lasts goes on believing that it
// leads: only the token protects.
//
// Cost: as a lock's; proclaim() is one write, and one notice to each observer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/guard.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class LeaderState;
class Runtime;
}  // namespace detail

// Destroying it resigns.
class Leadership : public Guard {
 public:
  Leadership(std::shared_ptr<detail::Runtime> runtime, Guard guard)
      : Guard(std::move(guard)), runtime_(std::move(runtime)) {}
  // Says something else; failed_precondition once somebody else leads.
  Operation<void> proclaim(std::string value, CallOptions options = {});
  Operation<void> resign(CallOptions options = {}) { return release(std::move(options)); }

 private:
  std::shared_ptr<detail::Runtime> runtime_;
};

struct Leader {
  std::string value;
  std::int64_t token = 0;
  SessionId session = 0;
};

// Every leader and every value, as they come, from the one that leads now.
class LeaderWatch {
 public:
  explicit LeaderWatch(std::shared_ptr<detail::LeaderState> state);
  LeaderWatch(LeaderWatch&&) noexcept;
  LeaderWatch& operator=(LeaderWatch&&) noexcept;
  ~LeaderWatch();
  // One at a time. An error of the store is the end of it; deadline_exceeded is not.
  Operation<Leader> next(CallOptions options = {});

 private:
  std::shared_ptr<detail::LeaderState> state_;
};

class Election {
 public:
  Election(std::shared_ptr<detail::Runtime> runtime, std::string name)
      : runtime_(std::move(runtime)), name_(std::move(name)) {}

  // As this session instead of one of the client's own.
  Election& in(const Session& session) {
    session_ = session.holder();
    return *this;
  }
  // Waits its turn. An error: no candidate any more.
  Operation<Leadership> campaign(std::string value, CallOptions options = {}) const;
  // At once, or failed_precondition.
  Operation<Leadership> try_campaign(std::string value, CallOptions options = {}) const;
  // not_found: nobody leads.
  Operation<Leader> leader(CallOptions options = {}) const;
  Operation<LeaderWatch> observe(CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string name_;
  std::shared_ptr<detail::SessionHolder> session_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
