#include "store/testing/auth_matrix.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/limits.h"
#include "store/errors.h"
#include "store/testing/machine.h"

namespace lockstep::store::testing {
namespace {

using namespace std::string_literals;

// ---- the model: what every key of a range is allowed, key by key

struct Range {
  std::string key;
  std::string end;
};

// Between any two ends used here lies one of these.
const std::vector<std::string> sample_keys = {"a", "a5", "b", "b5", "c", "c5", "d", "d5", "x", "x5", "z"};

bool lies_in(const std::string& key, const Range& range) {
  if (range.end.empty()) return key == range.key;
  return key >= range.key && (range.end == "\0"s || key < range.end);
}

struct ModelUser {
  std::string name;
  std::vector<std::pair<char, Range>> permissions;  // 'r', 'w' or 'b'
  enum class Kind { user, root, cluster, nobody, outdated } kind = Kind::user;

  [[nodiscard]] bool may(char access, const Range& range) const {
    if (kind != Kind::user) return true;
    return std::ranges::all_of(sample_keys, [&](const std::string& key) {
      return !lies_in(key, range) || std::ranges::any_of(permissions, [&](const auto& permission) {
        return (permission.first == 'b' || permission.first == access) && lies_in(key, permission.second);
      });
    });
  }
};

const std::vector<ModelUser> users = {
    {"root", {}, ModelUser::Kind::root},
    {"cluster", {}, ModelUser::Kind::cluster},
    {"nobody", {}, ModelUser::Kind::nobody},
    {"outdated", {{'b', {"a", "\0"s}}}, ModelUser::Kind::outdated},
    {"roleless", {}},
    {"reader", {{'r', {"b", "d"}}}},
    {"writer", {{'w', {"b", "d"}}}},
    {"both", {{'b', {"b", "d"}}}},
    {"halves", {{'b', {"b", "c"}}, {'b', {"c", "d"}}}},  // in two roles
    {"gap", {{'b', {"b", "c"}}, {'b', {"c5", "d"}}}},
    {"mixed", {{'r', {"a", "\0"s}}, {'w', {"b", ""}}}},
    {"open", {{'b', {"c", "\0"s}}}},
};

const std::vector<Range> ranges = {
    {"b", ""},   {"c", ""},  {"a", ""},  {"x", ""},  {"b", "c"},   {"b", "d"},
    {"b", "c5"}, {"a", "c"}, {"c", "x"}, {"x", "z"}, {"c", "\0"s}, {"a", "\0"s},
};

// ---- what is asked

struct Wish {
  std::string what;
  bool needs_root = false;
  // Access to each of these.
  std::vector<std::pair<char, Range>> needs;
  Command command;  // its strings live in the matrix
};

constexpr LeaseId empty_lease{1};
constexpr LeaseId own_lease{2};      // with key "b5"
constexpr LeaseId foreign_lease{3};  // with keys "c5" and "x5"

std::vector<std::pair<char, Range>> needs_of(LeaseId lease, char access) {
  if (lease == own_lease) return {{access, {"b5", ""}}};
  if (lease == foreign_lease) return {{access, {"c5", ""}}, {access, {"x5", ""}}};
  return {};
}

std::string named(const Range& range) {
  return range.end.empty() ? range.key : range.key + ".." + (range.end == "\0"s ? "*" : range.end);
}

struct Operation {
  std::string what;
  std::vector<std::pair<char, Range>> needs;
  RequestOperation request;
};

std::vector<Operation> operations() {
  std::vector<Operation> all;
  for (const Range& range : ranges) {
    all.push_back(
        {"get " + named(range), {{'r', range}}, {RangeRequest{.key = range.key, .range_end = range.end}}});
    for (const bool prev_kv : {false, true}) {
      std::vector<std::pair<char, Range>> needs = {{'w', range}};
      if (prev_kv) needs.emplace_back('r', range);
      const std::string prev = prev_kv ? " prev" : "";
      all.push_back(
          {"del " + named(range) + prev, needs, {DeleteRangeRequest{range.key, range.end, prev_kv}}});
      if (!range.end.empty()) continue;
      for (const LeaseId lease : {LeaseId(), empty_lease, own_lease, foreign_lease}) {
        auto with_lease = needs;
        std::ranges::copy(needs_of(lease, 'w'), std::back_inserter(with_lease));
        all.push_back({"put " + range.key + " lease " + std::to_string(lease.value()) + prev,
                       with_lease,
                       {PutRequest{.key = range.key, .value = "v", .lease = lease, .prev_kv = prev_kv}}});
      }
    }
  }
  return all;
}

// The operation in a transaction; `place` says in which branch at which depth, and beside what.
TxnRequest wrapped(const RequestOperation& operation, int depth, bool success) {
  TxnRequest txn;
  auto& branch = success ? txn.success : txn.failure;
  if (depth > 1) {
    branch.push_back({wrapped(operation, depth - 1, !success)});
  } else {
    branch.push_back(operation);
  }
  return txn;
}

std::vector<Wish> wishes_of(const Operation& operation) {
  std::vector<Wish> wishes;
  Wish alone{operation.what, false, operation.needs, {}};
  if (const auto* put = std::get_if<PutRequest>(&operation.request.request)) {
    alone.command.body = PutCommand{put->key, put->value, put->lease, put->prev_kv};
    wishes.push_back(alone);
  } else if (const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request.request)) {
    alone.command.body = DeleteRangeCommand{removal->key, removal->range_end, removal->prev_kv};
    wishes.push_back(alone);
  } else {
    const auto& range = std::get<RangeRequest>(operation.request.request);
    for (const int depth : {0, 1, 2}) {
      TxnRequest txn;
      txn.compare.push_back({.key = range.key, .range_end = range.range_end});
      for (int i = 0; i < depth; ++i) txn = TxnRequest{{}, {}, {{txn}}};
      wishes.push_back(
          {"compare at " + std::to_string(depth) + " " + operation.what, false, operation.needs, {}});
      wishes.back().command.body = std::move(txn);
    }
  }
  for (const int depth : {1, 2, 3}) {
    for (const bool success : {true, false}) {
      const std::string place =
          " in " + std::string(success ? "then" : "else") + " at " + std::to_string(depth);
      wishes.push_back({operation.what + place, false, operation.needs, {}});
      wishes.back().command.body = wrapped(operation.request, depth, success);
    }
  }
  return wishes;
}

std::vector<Wish> other_wishes() {
  std::vector<Wish> wishes;
  const auto add = [&](std::string what, bool needs_root, auto body,
                       std::vector<std::pair<char, Range>> needs = {}) {
    wishes.push_back({std::move(what), needs_root, std::move(needs), {}});
    wishes.back().command.body = std::move(body);
  };
  add("compact", false, CompactCommand{Revision(2)});
  add("grant", false, LeaseGrantCommand{60'000, LeaseId(9)});
  for (const LeaseId lease : {empty_lease, own_lease, foreign_lease, LeaseId(77)}) {
    add("revoke " + std::to_string(lease.value()), false, LeaseRevokeCommand{lease}, needs_of(lease, 'w'));
    add("renew " + std::to_string(lease.value()), false, LeaseRenewCommand{{lease}});
  }
  add("alarm get", false, AlarmRequest{AlarmAction::get, {}});
  add("alarm on", true, AlarmRequest{AlarmAction::activate, {NodeId(1), AlarmKind::no_space}});
  add("alarm off", true, AlarmRequest{AlarmAction::deactivate, {NodeId(1), AlarmKind::no_space}});
  add("client", false, RegisterClientCommand{});
  add("empty txn", false, TxnRequest{});
  add("auth on", true, AuthChange(AuthEnable{std::string(limits::auth_token_key_bytes, 'k')}));
  add("auth off", true, AuthChange(AuthDisable{}));
  add("user add", true, AuthChange(UserAdd{"new", "hash", false}));
  add("user delete", true, AuthChange(UserDelete{"reader"}));
  add("user password", true, AuthChange(UserChangePassword{"reader", "hash"}));
  add("user grant", true, AuthChange(UserGrantRole{"reader", "root"}));
  add("user revoke", true, AuthChange(UserRevokeRole{"reader", "reader 0"}));
  add("role add", true, AuthChange(RoleAdd{"new"}));
  add("role delete", true, AuthChange(RoleDelete{"reader 0"}));
  add("role permit", true,
      AuthChange(RoleGrantPermission{"reader 0", {PermissionKind::read_write, "a", "\0"s}}));
  add("role forbid", true, AuthChange(RoleRevokePermission{"reader 0", "b", "d"}));
  return wishes;
}

// ---- the store

bool add(BatchBuilder& batch, const Command& command, Principal who) {
  if (const auto* put = std::get_if<PutCommand>(&command.body)) {
    return batch.put({std::string(put->key), std::string(put->value), put->lease, put->prev_kv}, {}, who);
  }
  if (const auto* removal = std::get_if<DeleteRangeCommand>(&command.body)) {
    return batch.delete_range({std::string(removal->key), std::string(removal->range_end), removal->prev_kv},
                              {}, who);
  }
  if (const auto* txn = std::get_if<TxnRequest>(&command.body)) return batch.txn(*txn, {}, who);
  if (const auto* compact = std::get_if<CompactCommand>(&command.body)) {
    return batch.compact({.revision = compact->revision}, {}, who);
  }
  if (const auto* grant = std::get_if<LeaseGrantCommand>(&command.body)) {
    return batch.lease_grant({std::chrono::milliseconds(grant->ttl_ms), grant->id}, {}, who);
  }
  if (const auto* revoke = std::get_if<LeaseRevokeCommand>(&command.body)) {
    return batch.lease_revoke({revoke->id}, {}, who);
  }
  if (const auto* renew = std::get_if<LeaseRenewCommand>(&command.body))
    return batch.lease_renew(renew->ids, who);
  if (const auto* alarm = std::get_if<AlarmRequest>(&command.body)) return batch.alarm(*alarm, {}, who);
  if (std::holds_alternative<RegisterClientCommand>(command.body)) return batch.register_client(who);
  return batch.auth(std::get<AuthChange>(command.body), {}, who);
}

void add_user(BatchBuilder& batch, const ModelUser& user) {
  const auto change = [&](const AuthChange& what) { LS_MUST(batch.auth(what)); };
  change(UserAdd{user.name, "hash", false});
  if (user.kind == ModelUser::Kind::root) change(UserGrantRole{user.name, "root"});
  for (std::size_t i = 0; i < user.permissions.size(); ++i) {
    const std::string role = user.name + " " + std::to_string(i);
    const auto& [access, range] = user.permissions[i];
    const auto kind = access == 'r'   ? PermissionKind::read
                      : access == 'w' ? PermissionKind::write
                                      : PermissionKind::read_write;
    change(RoleAdd{role});
    change(RoleGrantPermission{role, {kind, range.key, range.end}});
    change(UserGrantRole{user.name, role});
  }
}

struct Scene {
  Machine machine;
  std::vector<Principal> principals;  // of `users`

  Scene() {
    machine.entry([](BatchBuilder& batch) {
      for (const LeaseId lease : {empty_lease, own_lease, foreign_lease}) {
        LS_MUST(batch.lease_grant({std::chrono::hours(1), lease}));
      }
      LS_MUST(batch.put({.key = "b5", .value = "v", .lease = own_lease}));
      LS_MUST(batch.put({.key = "c5", .value = "v", .lease = foreign_lease}));
      LS_MUST(batch.put({.key = "x5", .value = "v", .lease = foreign_lease}));
      for (const ModelUser& user : users) add_user(batch, user);
    });
    for (const ModelUser& user : users) principals.push_back(principal_of(user));
    machine.entry([](BatchBuilder& batch) {
      LS_MUST(batch.auth(UserChangePassword{"outdated", "other hash"}));
      LS_MUST(batch.auth(AuthEnable{std::string(limits::auth_token_key_bytes, 'k')}));
    });
    LS_MUST(machine->auth().enabled());
  }
  [[nodiscard]] Principal principal_of(const ModelUser& user) {
    if (user.kind == ModelUser::Kind::nobody) return {};
    if (user.kind == ModelUser::Kind::cluster) return Principal::cluster();
    return Principal::of(machine->auth().find_user(user.name)->credential);
  }
  // What a denied command must leave as it was: every row but the state row, which counts entries.
  [[nodiscard]] std::size_t fingerprint() {
    Rows rows = dump(*machine);
    std::erase_if(rows.meta, [](const auto& row) { return row.first == state_row_key(); });
    std::string all;
    for (const auto& [key, row] : rows.meta) all += key + '\0' + row + '\0';
    for (const auto& [key, row] : rows.current) all += key + '\0' + row + '\0';
    for (const std::string& block : rows.history) all += block;
    return std::hash<std::string>()(all);
  }
};

Status expected(const ModelUser& user, const Wish& wish) {
  if (user.kind == ModelUser::Kind::nobody) return errors::user_name_empty();
  if (user.kind == ModelUser::Kind::outdated) return errors::auth_revision_old();
  if (user.kind != ModelUser::Kind::user) return {};
  const bool all =
      std::ranges::all_of(wish.needs, [&](const auto& need) { return user.may(need.first, need.second); });
  return wish.needs_root || !all ? errors::permission_denied() : Status();
}

class Matrix {
 public:
  explicit Matrix(MatrixTotals* totals) : totals_(totals) {}

  std::optional<std::string> run() {
    const std::vector<Operation> all = operations();
    for (const Operation& operation : all) {
      for (const Wish& wish : wishes_of(operation)) {
        if (auto difference = try_all(wish)) return difference;
      }
    }
    for (const Wish& wish : other_wishes()) {
      if (auto difference = try_all(wish)) return difference;
    }
    return std::nullopt;
  }

 private:
  std::optional<std::string> try_all(const Wish& wish) {
    for (std::size_t i = 0; i < users.size(); ++i) {
      const Status wanted = expected(users[i], wish);
      ++(wanted.ok() ? totals_->allowed : totals_->denied);
      if (auto difference = try_one(wish, i, wanted))
        return users[i].name + ": " + wish.what + ": " + *difference;
    }
    return std::nullopt;
  }

  std::optional<std::string> try_one(const Wish& wish, std::size_t user, const Status& wanted) {
    if (scene_ == nullptr) {
      scene_ = std::make_unique<Scene>();
      fingerprint_ = scene_->fingerprint();
    }
    Machine& machine = scene_->machine;
    const Principal who = scene_->principals[user];
    const Status judged = machine->authoriser(who).check(wish.command);
    if (judged != wanted) return "judged " + judged.to_string() + ", expected " + wanted.to_string();
    const CommandResult result =
        machine.one([&](BatchBuilder& batch) { return add(batch, wish.command, who); });
    if (wanted.ok()) {
      scene_.reset();  // it may have changed
      const bool refused = !result.ok() && (result.status() == errors::permission_denied() ||
                                            result.status() == errors::user_name_empty() ||
                                            result.status() == errors::auth_revision_old());
      return refused ? std::optional("applied: " + result.status().to_string()) : std::nullopt;
    }
    if (result.ok() || result.status() != wanted) {
      return "applied: " + (result.ok() ? "ok" : result.status().to_string()) + ", expected " +
             wanted.to_string();
    }
    return scene_->fingerprint() == fingerprint_ ? std::nullopt
                                                 : std::optional<std::string>("denied with an effect");
  }

  MatrixTotals* totals_;
  std::unique_ptr<Scene> scene_;
  std::size_t fingerprint_ = 0;
};

}  // namespace

std::optional<std::string> auth_matrix(MatrixTotals* totals) {
  return Matrix(totals).run();
}

}  // namespace lockstep::store::testing
