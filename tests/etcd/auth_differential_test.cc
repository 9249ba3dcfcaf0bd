// Users, roles and permissions against a real etcd: generated changes by root, and requests as whoever there
// is, every answer compared.
//
// Not sent, because we are stricter on purpose (docs/decisions/0019-authentication.md): operations in nested
// transactions, puts with lease or prev_kv in transactions, leases of nobody, permissions for no range,
// logins without a password. A key begins one range only: etcd 3.4 stores a second permission for it twice.
//
//   auth_differential_test [--seed N] [--operations N]
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "base/prng.h"
#include "base/testing_rounds.h"
#include "gateway.h"
#include "server_cluster.h"
#include "step.h"
#include "store/testing/machine.h"
#include "wire_json.h"

namespace lockstep::etcd_test {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;
using store::Principal;

std::uint64_t first_seed = 1;
std::size_t operations = rounds(1500);

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  std::uint32_t pending = 0;
  int bits = 0;
  for (const char byte : bytes) {
    pending = (pending << 8) | static_cast<std::uint8_t>(byte);
    for (bits += 8; bits >= 6; bits -= 6) text.push_back(digits[(pending >> (bits - 6)) & 63]);
  }
  if (bits > 0) text.push_back(digits[(pending << (6 - bits)) & 63]);
  while (text.size() % 4 != 0) text.push_back('=');
  return text;
}

// The etcd, and who is logged in there.
class Etcd {
 public:
  value ask(const std::string& path, value body, const std::string& token = {}) {
    gateway_.send({path, std::move(body)}, token);
    return gateway_.receive();
  }
  // Logs in once for each password.
  std::string token_of(const std::string& user) {
    std::string& token = tokens_[user];
    if (token.empty()) {
      const value answer = ask("auth/authenticate", object{{"name", user}, {"password", "p"}});
      if (const auto* given = answer.as_object().if_contains("token")) token = given->as_string();
    }
    return token;
  }
  void forget(const std::string& user) { tokens_.erase(user); }
  void forget_all() { tokens_.clear(); }

 private:
  ServerCluster process_ = ServerCluster::etcd();
  Gateway gateway_{process_.client_port()};
  std::map<std::string, std::string> tokens_;
};

const std::vector<std::string> user_names = {"root", "u", "v", "w"};
const std::vector<std::string> role_names = {"root", "r", "s", "t"};
const std::vector<std::pair<std::string, std::string>> permitted_ranges = {
    {"a", ""}, {"b", "c"}, {"c", "e"}, {"d", ""}, {"e", std::string(1, '\0')}, {"bb", "d"}};

// One change, as both get it.
struct Change {
  store::AuthChange ours;
  std::string path;
  object body;
};

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : prng_(seed) {}
  Prng& prng() { return prng_; }

  template <class T>
  const T& one_of(const std::vector<T>& all) {
    return all[prng_.below(all.size())];
  }
  std::string user() { return prng_.chance(1, 30) ? "nobody" : one_of(user_names); }
  std::string role() { return prng_.chance(1, 30) ? "none" : one_of(role_names); }
  std::string key() { return std::string(1, static_cast<char>('a' + prng_.below(6))); }
  std::string range_end(const std::string& key) {
    if (prng_.chance(1, 2)) return {};
    if (prng_.chance(1, 6)) return std::string(1, '\0');
    return std::string(1, static_cast<char>(key[0] + 1 + static_cast<char>(prng_.below(3))));
  }

  Change change() {
    const std::string name = user();
    const std::string other = role();
    switch (prng_.below(20)) {
      case 0:
        return {store::UserAdd{name, "hash"}, "auth/user/add", {{"name", name}, {"password", "p"}}};
      case 1:
        return {store::UserDelete{name}, "auth/user/delete", {{"name", name}}};
      case 2:
        return {store::UserChangePassword{name, "hash"},
                "auth/user/changepw",
                {{"name", name}, {"password", "p"}}};
      case 3:
      case 4:
      case 5:
        return {store::UserGrantRole{name, other}, "auth/user/grant", {{"user", name}, {"role", other}}};
      case 6:
      case 7:
        return {store::UserRevokeRole{name, other}, "auth/user/revoke", {{"name", name}, {"role", other}}};
      case 8:
      case 9:
      case 10:
        return {store::RoleAdd{other}, "auth/role/add", {{"name", other}}};
      case 11:
        return {store::RoleDelete{other}, "auth/role/delete", {{"role", other}}};
      case 12:
      case 13:
        return revoke_permission(other);
      case 14:
        if (prng_.chance(1, 2)) return {store::AuthDisable{}, "auth/disable", {}};
        [[fallthrough]];
      case 15:
        return {store::AuthEnable{std::string(limits::auth_token_key_bytes, 'k')}, "auth/enable", {}};
      default:
        return grant_permission(other);
    }
  }

 private:
  Change grant_permission(const std::string& role) {
    constexpr std::string_view kinds[] = {"READ", "WRITE", "READWRITE"};
    const auto& [key, end] = one_of(permitted_ranges);
    const std::uint64_t kind = prng_.below(3);
    return {store::RoleGrantPermission{role, {static_cast<store::PermissionKind>(kind), key, end}},
            "auth/role/grant",
            {{"name", role},
             {"perm", object{{"permType", kinds[kind]}, {"key", base64(key)}, {"range_end", base64(end)}}}}};
  }
  Change revoke_permission(const std::string& role) {
    const auto& [key, end] = one_of(permitted_ranges);
    return {store::RoleRevokePermission{role, key, end},
            "auth/role/revoke",
            {{"role", role}, {"key", base64(key)}, {"range_end", base64(end)}}};
  }

  Prng prng_;
};

// Both sides under one seed.
class Pair {
 public:
  explicit Pair(std::uint64_t seed) : generator_(seed) {
    // A beginning from which much is possible.
    for (const std::string& name : user_names) {
      change({store::UserAdd{name, "hash"}, "auth/user/add", {{"name", name}, {"password", "p"}}});
    }
    for (const std::string& role : role_names)
      change({store::RoleAdd{role}, "auth/role/add", {{"name", role}}});
    change({store::UserGrantRole{"root", "root"}, "auth/user/grant", {{"user", "root"}, {"role", "root"}}});
    change({store::AuthEnable{std::string(limits::auth_token_key_bytes, 'k')}, "auth/enable", {}});
  }

  void step() {
    if (generator_.prng().chance(1, 4)) {
      change(generator_.change());
    } else if (generator_.prng().chance(1, 12)) {
      show();
    } else {
      request();
    }
  }
  std::size_t denied = 0;
  std::size_t allowed = 0;

 private:
  bool enabled() { return machine_->auth().enabled(); }
  Principal principal_of(const std::string& name) {
    const store::User* user = machine_->auth().find_user(name);
    return user == nullptr ? Principal() : Principal::of(user->credential);
  }
  // Sometimes nobody, and when it is off nobody in particular.
  std::string anybody() {
    if (!enabled() || generator_.prng().chance(1, 15)) return {};
    const std::string name = generator_.one_of(user_names);
    return machine_->auth().find_user(name) == nullptr ? std::string() : name;
  }
  std::string token_of(const std::string& name) { return name.empty() ? name : etcd_.token_of(name); }

  void compare(const value& ours, const value& theirs, const std::string& what) {
    const bool refused = theirs.is_object() && theirs.as_object().contains("error");
    ++(refused ? denied : allowed);
    EXPECT_TRUE(ours == theirs) << what << "\nours   " << boost::json::serialize(ours) << "\ntheirs "
                                << boost::json::serialize(theirs);
  }

  void change(const Change& what) {
    const std::string who = enabled() ? generator_.prng().chance(1, 10) ? anybody() : "root" : "";
    const store::CommandResult result = machine_.one(
        [&](store::BatchBuilder& batch) { return batch.auth(what.ours, {}, principal_of(who)); });
    const value theirs = etcd_.ask(what.path, what.body, token_of(who));
    const value ours =
        result.ok() ? value(object{{"header", object{{"revision", revision()}}}}) : to_json(result.status());
    compare(ours, theirs, who + ": " + what.path + " " + boost::json::serialize(what.body));
    if (!result.ok()) return;
    if (what.path == "auth/disable") etcd_.forget_all();
    if (what.path == "auth/user/changepw" || what.path == "auth/user/delete") {
      etcd_.forget(std::string(what.body.at("name").as_string()));
    }
  }
  std::string revision() { return std::to_string(machine_->revision().value()); }

  // The roles of a user or the permissions of a role, as root.
  void show() {
    const std::string token = enabled() ? etcd_.token_of("root") : "";
    object ours{{"header", object{{"revision", revision()}}}};
    if (generator_.prng().chance(1, 2)) {
      const std::string name = generator_.one_of(user_names);
      const store::User* user = machine_->auth().find_user(name);
      if (user == nullptr) return;
      array roles;
      for (const std::string& role : user->roles) roles.emplace_back(role);
      if (!roles.empty()) ours["roles"] = roles;
      return compare(ours, etcd_.ask("auth/user/get", object{{"name", name}}, token), "roles of " + name);
    }
    const std::string name = generator_.one_of(role_names);
    const auto role = machine_->auth().roles().find(name);
    if (role == machine_->auth().roles().end() || name == "root") return;
    array permissions;
    constexpr std::string_view kinds[] = {"READ", "WRITE", "READWRITE"};
    for (const store::Permission& permission : role->second.permissions) {
      object one;
      if (permission.kind != store::PermissionKind::read)
        one["permType"] = kinds[static_cast<int>(permission.kind)];
      one["key"] = base64(permission.key);
      if (!permission.range_end.empty()) one["range_end"] = base64(permission.range_end);
      permissions.push_back(one);
    }
    if (!permissions.empty()) ours["perm"] = permissions;
    compare(ours, etcd_.ask("auth/role/get", object{{"role", name}}, token), "permissions of " + name);
  }

  void request() {
    const std::string who = anybody();
    const std::string key = generator_.key();
    const std::string end = generator_.range_end(key);
    Step step;
    switch (generator_.prng().below(4)) {
      case 0:
        step = store::RangeRequest{.key = key, .range_end = end};
        break;
      case 1:
        step = store::PutRequest{.key = key, .value = "v", .prev_kv = generator_.prng().chance(1, 2)};
        break;
      case 2:
        step = store::DeleteRangeRequest{key, end, generator_.prng().chance(1, 2)};
        break;
      default:
        step = txn();
    }
    const HttpRequest http = to_http(step);
    const value theirs = etcd_.ask(http.path, http.body, token_of(who));
    compare(answer(step, principal_of(who)), theirs, who + ": " + describe(step));
  }
  store::TxnRequest txn() {
    store::TxnRequest txn;
    const std::string compared = generator_.key();
    txn.compare.push_back({.key = compared, .range_end = generator_.range_end(compared)});
    for (auto* branch : {&txn.success, &txn.failure}) {
      const std::string key = generator_.key();
      const std::string end = generator_.range_end(key);
      if (generator_.prng().chance(1, 3))
        branch->push_back({store::PutRequest{.key = key, .value = "t"}});
      else if (generator_.prng().chance(1, 2))
        branch->push_back({store::RangeRequest{.key = key, .range_end = end}});
      else
        branch->push_back({store::DeleteRangeRequest{key, end, generator_.prng().chance(1, 2)}});
    }
    return txn;
  }
  value answer(const Step& step, Principal who) {
    if (const auto* range = std::get_if<store::RangeRequest>(&step)) {
      const Status denied_here = machine_->authoriser(who).check(*range);
      return denied_here.ok() ? to_json(*machine_->range(*range)) : to_json(denied_here);
    }
    const store::CommandResult result = machine_.one([&](store::BatchBuilder& batch) {
      if (const auto* put = std::get_if<store::PutRequest>(&step)) return batch.put(*put, {}, who);
      if (const auto* removal = std::get_if<store::DeleteRangeRequest>(&step)) {
        return batch.delete_range(*removal, {}, who);
      }
      return batch.txn(std::get<store::TxnRequest>(step), {}, who);
    });
    return result.ok() ? to_json(*result) : to_json(result.status());
  }

  Generator generator_;
  Etcd etcd_;
  store::testing::Machine machine_;
};

TEST(AuthDifferential, EveryAnswerIsEtcds) {
  if (!ServerCluster::etcd_installed()) GTEST_SKIP() << "no etcd installed (Debian: etcd-server)";
  std::cout << "seed " << first_seed << std::endl;
  Pair pair(first_seed);
  for (std::size_t i = 0; i < operations && !HasFailure(); ++i) pair.step();
  std::cout << pair.allowed << " allowed, " << pair.denied << " refused\n";
  if (HasFailure()) return;
  EXPECT_GT(pair.allowed, operations / 5);
  EXPECT_GT(pair.denied, operations / 10);
}

}  // namespace

void parse_auth_arguments(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--seed") first_seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (argument == "--operations") operations = std::strtoull(argv[i + 1], nullptr, 10);
  }
}

}  // namespace lockstep::etcd_test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  lockstep::etcd_test::parse_auth_arguments(argc, argv);
  return RUN_ALL_TESTS();
}
