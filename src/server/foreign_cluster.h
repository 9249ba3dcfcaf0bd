// The faces that protocol edges ask for beside the store, where the store is somebody else's cluster.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/etcd/cluster_face.h"
#include "store/security.h"

namespace lockstep::server {

inline Status not_ours() {
  return {Code::unimplemented, "this server has no members and no users: ask the cluster that it stands on"};
}

// Whether the cluster has a leader only a read tells.
class ForeignCluster final : public gateway::ClusterFace {
 public:
  [[nodiscard]] store::Header header() const override { return {}; }
  [[nodiscard]] bool has_leader() const override { return true; }
  [[nodiscard]] bool is_learner() const override { return false; }
  [[nodiscard]] gateway::ClusterStatus status() const override { return {}; }
  [[nodiscard]] std::vector<gateway::MemberInfo> members() const override { return {}; }
  void add_member(std::vector<std::string> /*peer_urls*/, bool /*learner*/, store::CallOptions /*options*/,
                  Done<gateway::MemberInfo> done) override {
    done(not_ours());
  }
  void remove_member(NodeId /*member*/, store::CallOptions /*options*/,
                     std::move_only_function<void(Status)> done) override {
    done(not_ours());
  }
  void update_member(NodeId /*member*/, std::vector<std::string> /*peer_urls*/,
                     store::CallOptions /*options*/, std::move_only_function<void(Status)> done) override {
    done(not_ours());
  }
  void promote_member(NodeId /*member*/, store::CallOptions /*options*/,
                      std::move_only_function<void(Status)> done) override {
    done(not_ours());
  }
  void transfer_leadership(NodeId /*to*/, store::CallOptions /*options*/,
                           std::move_only_function<void(Status)> done) override {
    done(not_ours());
  }
  void open_snapshot(Done<std::unique_ptr<gateway::SnapshotReader>> done) override { done(not_ours()); }
};

// To the cluster everybody is the same user; whoever shows a token means to be somebody else, and is refused.
class ForeignSecurity final : public store::Security {
 public:
  void authenticate(std::string /*name*/, std::string /*password*/, store::CallOptions /*options*/,
                    store::Callback<store::AuthenticateResponse> done) override {
    done(not_ours());
  }
  Result<store::Principal> check_token(std::string_view /*token*/) override {
    return Status(Code::unauthenticated,
                  "this server takes no tokens: to its cluster all clients are one user");
  }
  [[nodiscard]] Result<store::Principal> check_name(std::string_view /*name*/) const override {
    return store::Principal();
  }
  [[nodiscard]] Status check_known(store::Principal /*principal*/) const override { return {}; }
  [[nodiscard]] Status check_root(store::Principal /*principal*/) const override { return not_ours(); }
  [[nodiscard]] std::string name_of(store::Principal /*principal*/) const override { return {}; }

  void enable(store::CallOptions /*options*/, store::Callback<store::AuthResponse> done) override {
    done(not_ours());
  }
  void add_user(std::string /*name*/, std::optional<std::string> /*password*/, store::CallOptions /*options*/,
                store::Callback<store::AuthResponse> done) override {
    done(not_ours());
  }
  void change_password(std::string /*name*/, std::string /*password*/, store::CallOptions /*options*/,
                       store::Callback<store::AuthResponse> done) override {
    done(not_ours());
  }
  void change(store::AuthChange /*change*/, store::CallOptions /*options*/,
              store::Callback<store::AuthResponse> done) override {
    done(not_ours());
  }
  void auth_status(store::CallOptions /*options*/, store::Callback<store::AuthStatusResponse> done) override {
    done(not_ours());
  }
  void users(store::CallOptions /*options*/, store::Callback<store::NamesResponse> done) override {
    done(not_ours());
  }
  void roles(store::CallOptions /*options*/, store::Callback<store::NamesResponse> done) override {
    done(not_ours());
  }
  void roles_of_user(std::string /*user*/, store::CallOptions /*options*/,
                     store::Callback<store::NamesResponse> done) override {
    done(not_ours());
  }
  void permissions_of_role(std::string /*role*/, store::CallOptions /*options*/,
                           store::Callback<store::PermissionsResponse> done) override {
    done(not_ours());
  }
};

}  // namespace lockstep::server
