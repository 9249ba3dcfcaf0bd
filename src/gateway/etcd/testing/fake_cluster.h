// A cluster of one or more members on paper, around a memory store: for tests of what is above ClusterFace.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gateway/etcd/cluster_face.h"

namespace lockstep::gateway::testing {

// Bytes already there, in pieces.
class FakeSnapshot final : public SnapshotReader {
 public:
  explicit FakeSnapshot(std::string bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] std::uint64_t total_bytes() const override { return bytes_.size(); }
  void read(std::size_t bytes_max, std::move_only_function<void(Result<std::string>)> done) override {
    std::string piece = bytes_.substr(offset_, bytes_max);
    offset_ += piece.size();
    done(std::move(piece));
  }

 private:
  std::string bytes_;
  std::size_t offset_ = 0;
};

class FakeCluster final : public ClusterFace {
 public:
  explicit FakeCluster(store::Store& store) : store_(store) {
    members_.push_back({NodeId(1), "n1", {"http://127.0.0.1:2380"}, {"http://127.0.0.1:2379"}, false});
  }

  [[nodiscard]] store::Header header() const override {
    return {ClusterId(100), NodeId(1), newest_revision(), Term(2)};
  }
  [[nodiscard]] bool has_leader() const override { return has_leader_; }
  [[nodiscard]] bool is_learner() const override { return is_learner_; }
  [[nodiscard]] ClusterStatus status() const override {
    ClusterStatus status;
    if (has_leader_) status.leader = NodeId(1);
    status.term = Term(2);
    status.commit = LogIndex(12);
    status.applied = LogIndex(11);
    status.learner = is_learner_;
    status.disk_bytes = 4096;
    status.used_bytes = 1024;
    status.quota_bytes = std::uint64_t{1} << 31;
    store_.alarm({}, {.principal = store::Principal::cluster()},
                 [&](const Result<store::AlarmResponse>& answer) { status.alarms = answer->alarms; });
    return status;
  }
  [[nodiscard]] std::vector<MemberInfo> members() const override { return members_; }

  void add_member(std::vector<std::string> peer_urls, bool learner, store::CallOptions /*options*/,
                  Done<MemberInfo> done) override {
    for (const MemberInfo& member : members_) {
      if (member.peer_urls == peer_urls) {
        return done(Status(Code::failed_precondition, "etcdserver: Peer URLs already exists"));
      }
    }
    members_.push_back({NodeId(members_.back().id.value() + 1), "", std::move(peer_urls), {}, learner});
    done(members_.back());
  }
  void remove_member(NodeId member, store::CallOptions /*options*/,
                     std::move_only_function<void(Status)> done) override {
    if (find(member) == members_.end()) return done(not_found());
    members_.erase(find(member));
    done({});
  }
  void update_member(NodeId member, std::vector<std::string> peer_urls, store::CallOptions /*options*/,
                     std::move_only_function<void(Status)> done) override {
    if (find(member) == members_.end()) return done(not_found());
    find(member)->peer_urls = std::move(peer_urls);
    done({});
  }
  void promote_member(NodeId member, store::CallOptions /*options*/,
                      std::move_only_function<void(Status)> done) override {
    if (find(member) == members_.end()) return done(not_found());
    if (!find(member)->learner) {
      return done(Status(Code::failed_precondition, "etcdserver: can only promote a learner member"));
    }
    find(member)->learner = false;
    done({});
  }
  void transfer_leadership(NodeId to, store::CallOptions /*options*/,
                           std::move_only_function<void(Status)> done) override {
    if (find(to) == members_.end()) {
      return done(Status(Code::failed_precondition, "etcdserver: bad leader transferee"));
    }
    done({});
  }
  void open_snapshot(Done<std::unique_ptr<SnapshotReader>> done) override {
    done(std::unique_ptr<SnapshotReader>(std::make_unique<FakeSnapshot>(snapshot_bytes_)));
  }

  void set_has_leader(bool has_leader) { has_leader_ = has_leader; }
  void set_is_learner(bool is_learner) { is_learner_ = is_learner; }
  void set_snapshot(std::string bytes) { snapshot_bytes_ = std::move(bytes); }

 private:
  static Status not_found() { return {Code::not_found, "etcdserver: member not found"}; }
  std::vector<MemberInfo>::iterator find(NodeId id) {
    return std::ranges::find(members_, id, &MemberInfo::id);
  }
  // A memory store answers before the call returns.
  [[nodiscard]] Revision newest_revision() const {
    Revision revision;
    store::RangeRequest request;
    request.key = "x";
    request.count_only = true;
    store_.range(std::move(request), {.principal = store::Principal::cluster()},
                 [&](const Result<store::RangeResponse>& answer) { revision = answer->header.revision; });
    return revision;
  }

  store::Store& store_;
  std::vector<MemberInfo> members_;
  std::string snapshot_bytes_ = "a snapshot";
  bool has_leader_ = true;
  bool is_learner_ = false;
};

}  // namespace lockstep::gateway::testing
