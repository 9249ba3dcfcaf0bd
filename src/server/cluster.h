// The members of the cluster as the protocol edges see them, on the replica of this process.
//
// Names and client addresses are part of raft's configuration, so every member knows them without asking,
// also of members that are down. Each member announces its own to the leader until they stand there. Changes
// that clients ask of a member that does not lead are passed on to the leader.
//
// A member added as a voter begins as a learner and is promoted by the leader once it has caught up, so that
// adding one never costs the cluster its quorum.
//
// Strand: the core's. The replica outlives it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "env/clock.h"
#include "env/executor.h"
#include "gateway/etcd/cluster_face.h"
#include "replica/replica.h"
#include "server/options.h"

namespace lockstep::server {

class ServerCluster final : public gateway::ClusterFace {
 public:
  ServerCluster(replica::Replica& replica, engine::Engine& engine, env::Executor& executor, env::Clock& clock,
                const ServerOptions& options);
  ~ServerCluster() override;
  ServerCluster(const ServerCluster&) = delete;
  ServerCluster& operator=(const ServerCluster&) = delete;

  [[nodiscard]] store::Header header() const override;
  [[nodiscard]] bool has_leader() const override;
  [[nodiscard]] bool is_learner() const override;
  [[nodiscard]] gateway::ClusterStatus status() const override;
  [[nodiscard]] std::vector<gateway::MemberInfo> members() const override;
  void add_member(std::vector<std::string> peer_urls, bool learner, store::CallOptions options,
                  Done<gateway::MemberInfo> done) override;
  void remove_member(NodeId member, store::CallOptions options,
                     std::move_only_function<void(Status)> done) override;
  void update_member(NodeId member, std::vector<std::string> peer_urls, store::CallOptions options,
                     std::move_only_function<void(Status)> done) override;
  void promote_member(NodeId member, store::CallOptions options,
                      std::move_only_function<void(Status)> done) override;
  void transfer_leadership(NodeId to, store::CallOptions options,
                           std::move_only_function<void(Status)> done) override;
  void open_snapshot(Done<std::unique_ptr<gateway::SnapshotReader>> done) override;

 private:
  enum class Ask : std::uint8_t { announce = 1, add, remove, update, promote };
  struct Question {
    Ask ask = Ask::announce;
    replica::Member member;
    bool learner = false;
  };
  using Answered = std::move_only_function<void(Status)>;

  static std::string encode(const Question& question);
  static Result<Question> decode(std::string_view bytes);

  [[nodiscard]] std::vector<replica::Member> known() const;
  [[nodiscard]] gateway::MemberInfo info_of(const replica::Member& member) const;
  [[nodiscard]] TimePoint deadline_of(const store::CallOptions& options) const;
  // Here if this member leads, else at the leader.
  void ask(const Question& question, const store::CallOptions& options, Answered done);
  void ask_leader(const Question& question, TimePoint deadline, TimePoint leader_by, Answered done);
  void answer(const Question& question, Answered done);
  void answer_add(const Question& question, Answered done);
  void answer_update(const Question& question, Answered done);
  void on_tick();
  void announce();
  void promote_wanted();
  void wait_for_leader(NodeId to, TimePoint deadline, Answered done);

  replica::Replica& replica_;
  engine::Engine& engine_;
  env::Executor& executor_;
  env::Clock& clock_;
  ServerOptions options_;
  replica::Member self_;
  std::string peer_scheme_;
  bool announcing_ = false;
  bool address_announced_ = false;
  env::TimerId timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace lockstep::server
