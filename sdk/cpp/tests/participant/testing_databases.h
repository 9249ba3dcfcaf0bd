// Real databases for tests, each in a temporary folder of its own, on a Unix socket in it: any number of test
// programs may run side by side. Started when first used; ended with the program, however that ends.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <lockstep/participant/sql.h>
#include <sys/types.h>

namespace lockstep::testing_databases {

// A server process. PostgreSQL and MariaDB refuse to run as root: then they run as nobody.
class Server {
 public:
  virtual ~Server();
  Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] virtual SqlDialect dialect() const = 0;
  // A place where tables of other tests are not: a schema, a database, a file.
  virtual void create_space(const std::string& name) = 0;
  virtual std::unique_ptr<SqlSession> open(const std::string& space) = 0;
  // SIGKILL, and a start on what is left.
  virtual void kill_and_restart() = 0;

 protected:
  void make_folder();
  // Its process id; output goes to a file in the folder.
  pid_t spawn(const std::vector<std::string>& command) const;
  void run(const std::vector<std::string>& command) const;
  void kill_hard();
  void end(int signal);
  [[nodiscard]] bool is_running() const;
  [[nodiscard]] std::string output() const;
  // Opens sessions until one works.
  void wait_until_it_serves();

  std::filesystem::path folder_;
  pid_t process_ = 0;
};

// Before the first server() is called: they sync what they commit, for measurements.
void make_durable();

// The one of this program; nullptr: this build has no client library or found no server for it.
Server* server(SqlDialect dialect);
std::vector<SqlDialect> dialects();
std::vector<SqlDialect> servers_only();  // without SQLite
std::string_view name_of(SqlDialect dialect);

}  // namespace lockstep::testing_databases
