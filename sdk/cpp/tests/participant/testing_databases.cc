#include "testing_databases.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <pwd.h>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <unistd.h>

#include <lockstep/participant/sqlite.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#ifdef LOCKSTEP_TEST_POSTGRES
#include <lockstep/participant/postgres.h>
#endif
#ifdef LOCKSTEP_TEST_MARIADB
#include <lockstep/participant/mariadb.h>
#endif

namespace lockstep::testing_databases {
namespace {

using namespace std::chrono_literals;

bool is_durable = false;

constexpr auto start_time_max = 120s;  // a loaded machine

// In the child between fork and exec: nothing that allocates.
void become_the_server(const char* const* arguments, const char* folder, int output, const passwd* user) {
  if (user != nullptr && (setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) _exit(126);
  // After the change of user, which clears it: no server outlives its test.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (chdir(folder) != 0) _exit(126);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  execv(arguments[0], const_cast<char* const*>(arguments));
  _exit(127);
}

class Sqlite final : public Server {
 public:
  Sqlite() { make_folder(); }
  [[nodiscard]] SqlDialect dialect() const override { return SqlDialect::sqlite; }
  void create_space(const std::string& name) override { open(name); }
  std::unique_ptr<SqlSession> open(const std::string& space) override {
    return SqliteSession::open((folder_ / (space + ".db")).string());
  }
  void kill_and_restart() override {}
};

#ifdef LOCKSTEP_TEST_POSTGRES
std::string postgres_program(const std::string& name) {
  return std::string(LOCKSTEP_TEST_POSTGRES) + "/" + name;
}

class Postgres final : public Server {
 public:
  Postgres() {
    make_folder();
    run({postgres_program("initdb"), "-D", folder_ / "data", "-U", "test", "-A", "trust", "-E", "UTF8",
         "--locale=C", "--no-sync"});
    start();
  }
  [[nodiscard]] SqlDialect dialect() const override { return SqlDialect::postgres; }
  void create_space(const std::string& name) override { open("")->execute("CREATE SCHEMA " + name); }
  std::unique_ptr<SqlSession> open(const std::string& space) override {
    std::string address = "host=" + folder_.string() + " user=test dbname=postgres";
    if (!space.empty()) address += " options='-c search_path=" + space + "'";
    return PostgresSession::open(address);
  }
  void kill_and_restart() override {
    kill_hard();
    start();
  }

 private:
  // A killed one's children hold its memory a moment longer: the next one refuses to start until they are
  // gone.
  void start() {
    const auto deadline = std::chrono::steady_clock::now() + start_time_max;
    do {
      process_ =
          spawn({postgres_program("postgres"), "-D", folder_ / "data", "-k", folder_, "-c",
                 "listen_addresses=", "-c", is_durable ? "fsync=on" : "fsync=off", "-c",
                 "max_prepared_transactions=100", "-c", "max_connections=200", "-c", "shared_buffers=32MB"});
      while (is_running() && std::chrono::steady_clock::now() < deadline) {
        try {
          open("");
          return;
        } catch (const SqlError&) {
          std::this_thread::sleep_for(20ms);
        }
      }
    } while (std::chrono::steady_clock::now() < deadline);
    throw std::runtime_error("PostgreSQL does not start:\n" + output());
  }
};
#endif

#ifdef LOCKSTEP_TEST_MARIADB
// Without its system tables, which would take seconds to make: nobody has to log in.
class Mariadb final : public Server {
 public:
  // What it makes at its first start survives no SIGKILL before its first clean end.
  Mariadb() {
    make_folder();
    start();
    end(SIGTERM);
    start();
  }
  [[nodiscard]] SqlDialect dialect() const override { return SqlDialect::mariadb; }
  void create_space(const std::string& name) override { open("")->execute("CREATE DATABASE " + name); }
  std::unique_ptr<SqlSession> open(const std::string& space) override {
    return MariadbSession::open(
        {.unix_socket = (folder_ / "socket").string(), .user = "test", .database = space});
  }
  void kill_and_restart() override {
    kill_hard();
    start();
  }

 private:
  void start() {
    process_ =
        spawn({LOCKSTEP_TEST_MARIADB, "--no-defaults", "--datadir=" + (folder_ / "data").string(),
               "--socket=" + (folder_ / "socket").string(), "--skip-networking", "--skip-grant-tables",
               "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M", "--max-connections=200",
               is_durable ? "--innodb-flush-log-at-trx-commit=1" : "--innodb-flush-log-at-trx-commit=2",
               "--tmpdir=" + folder_.string()});
    wait_until_it_serves();
  }
};
#endif

std::array<std::unique_ptr<Server>, 3>& servers() {
  static std::array<std::unique_ptr<Server>, 3> all;
  return all;
}

}  // namespace

Server::~Server() {
  kill_hard();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void Server::make_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "lockstep-database-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder_ = name;
  std::filesystem::create_directory(folder_ / "data");
  const passwd* nobody = geteuid() == 0 ? getpwnam("nobody") : nullptr;
  std::filesystem::permissions(folder_ / "data", std::filesystem::perms::owner_all);
  if (nobody == nullptr) return;
  if (chown(folder_.c_str(), nobody->pw_uid, nobody->pw_gid) != 0 ||
      chown((folder_ / "data").c_str(), nobody->pw_uid, nobody->pw_gid) != 0) {
    throw std::runtime_error("a folder cannot be given to nobody");
  }
}

pid_t Server::spawn(const std::vector<std::string>& command) const {
  std::vector<const char*> arguments;
  for (const std::string& argument : command) arguments.push_back(argument.c_str());
  arguments.push_back(nullptr);
  const passwd* nobody = geteuid() == 0 ? getpwnam("nobody") : nullptr;
  const int file = ::open((folder_ / "output").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
  const pid_t child = fork();
  if (child == 0) become_the_server(arguments.data(), folder_.c_str(), file, nobody);
  ::close(file);
  if (child < 0) throw std::runtime_error("fork failed");
  return child;
}

void Server::run(const std::vector<std::string>& command) const {
  int status = 0;
  if (waitpid(spawn(command), &status, 0) < 0 || status != 0)
    throw std::runtime_error(command[0] + ":\n" + output());
}

void Server::kill_hard() {
  end(SIGKILL);
}

void Server::end(int signal) {
  if (process_ == 0) return;
  ::kill(process_, signal);
  waitpid(process_, nullptr, 0);
  process_ = 0;
}

bool Server::is_running() const {
  return waitpid(process_, nullptr, WNOHANG) == 0;
}

std::string Server::output() const {
  std::ifstream file(folder_ / "output");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void Server::wait_until_it_serves() {
  const auto deadline = std::chrono::steady_clock::now() + start_time_max;
  while (is_running() && std::chrono::steady_clock::now() < deadline) {
    try {
      open("");
      return;
    } catch (const SqlError&) {
      std::this_thread::sleep_for(20ms);
    }
  }
  throw std::runtime_error("the database does not start:\n" + output());
}

void make_durable() {
  is_durable = true;
}

Server* server(SqlDialect dialect) {
  std::unique_ptr<Server>& one = servers().at(static_cast<std::size_t>(dialect));
  if (one != nullptr) return one.get();
  if (dialect == SqlDialect::sqlite) one = std::make_unique<Sqlite>();
#ifdef LOCKSTEP_TEST_POSTGRES
  if (dialect == SqlDialect::postgres) one = std::make_unique<Postgres>();
#endif
#ifdef LOCKSTEP_TEST_MARIADB
  if (dialect == SqlDialect::mariadb) one = std::make_unique<Mariadb>();
#endif
  return one.get();
}

std::vector<SqlDialect> dialects() {
  std::vector<SqlDialect> all{SqlDialect::sqlite};
#ifdef LOCKSTEP_TEST_POSTGRES
  all.push_back(SqlDialect::postgres);
#endif
#ifdef LOCKSTEP_TEST_MARIADB
  all.push_back(SqlDialect::mariadb);
#endif
  return all;
}

std::vector<SqlDialect> servers_only() {
  std::vector<SqlDialect> all = dialects();
  std::erase(all, SqlDialect::sqlite);
  return all;
}

std::string_view name_of(SqlDialect dialect) {
  return dialect == SqlDialect::postgres ? "postgres" : dialect == SqlDialect::mariadb ? "mariadb" : "sqlite";
}

}  // namespace lockstep::testing_databases
