#include "server/root_account.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include <fmt/format.h>

namespace lockstep::server {
namespace {

constexpr Duration look_interval = 50ms;
constexpr std::size_t password_bytes_max = 1024;
constexpr const char* root = "root";

}  // namespace

Result<std::string> read_password_file(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    return Status(Code::not_found, fmt::format("--root-password-file {}: {}", path, std::strerror(errno)));
  std::string password;
  std::getline(file, password);
  if (password.empty() || password.size() > password_bytes_max)
    return Status(Code::invalid_argument,
                  fmt::format("--root-password-file {}: its first line must be a password of 1 to {} bytes",
                              path, password_bytes_max));
  return password;
}

RootAccount::RootAccount(replica::Replica& replica, env::Executor& executor, env::Clock& clock,
                         std::string password, env::Closure done)
    : replica_(replica),
      executor_(executor),
      clock_(clock),
      password_(std::move(password)),
      done_(std::move(done)) {
  look();
}

RootAccount::~RootAccount() {
  *alive_ = false;
  executor_.cancel(timer_);
}

void RootAccount::look() {
  // Made when authentication is switched on for the first time, and kept ever after.
  if (!replica_.machine().auth().token_key().empty()) {
    password_.clear();
    return std::exchange(done_, nullptr)();
  }
  if (replica_.raft().is_leader() && !stepping_) take_next_step();
  timer_ = executor_.schedule(clock_.now() + look_interval, [this] { look(); });
}

void RootAccount::take_next_step() {
  store::CallOptions call;
  call.principal = store::Principal::cluster();
  stepping_ = true;
  auto stepped = [this, alive = alive_](const Result<store::AuthResponse>&) {
    if (*alive) stepping_ = false;  // an error shows in the state that the next look finds
  };
  const store::AuthState& auth = replica_.machine().auth();
  store::Security& security = replica_.security();
  const store::User* user = auth.find_user(root);
  if (!auth.roles().contains(root)) return security.change(store::RoleAdd{root}, call, stepped);
  if (user == nullptr) return security.add_user(root, password_, call, stepped);
  if (!user->has_role(root)) return security.change(store::UserGrantRole{root, root}, call, stepped);
  security.enable(call, stepped);
}

}  // namespace lockstep::server
