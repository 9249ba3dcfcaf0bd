// What the shop's services have in common: their settings, their database, and their HTTP server.
#pragma once

#include <chrono>
#include <cstdint>
#include <httplib.h>
#include <map>
#include <string>
#include <vector>

#include <lockstep/participant/participant.h>
#include <lockstep/participant/sql.h>
#include <nlohmann/json.hpp>

#include "order.h"

namespace shop {

using Json = nlohmann::json;

// "--name value" from the command line; anything else ends the program with a usage line.
class Settings {
 public:
  // `known`: names and what they are for.
  Settings(int count, char** arguments, const std::map<std::string, std::string>& known);
  // Ends the program if it was not given and `otherwise` is empty.
  [[nodiscard]] std::string get(const std::string& name, const std::string& otherwise = {}) const;
  [[nodiscard]] std::int64_t number(const std::string& name, std::int64_t otherwise) const;

 private:
  std::string program_;
  std::map<std::string, std::string> values_;
};

// "shop.db" is a file of SQLite; "postgres://user@host:port/database" and "mariadb://…" are servers.
lockstep::SqlSessions::Open open_database(const std::string& database);
// Waits for a server that is not there yet; creates the tables that are missing.
void create_tables(lockstep::SqlSessions& sessions, const std::vector<std::string>& definitions);

// The rows of a CSV file without its head. Fields have neither quotes nor commas in them.
std::vector<std::vector<std::string>> read_csv(const std::string& file);

class Service {
 public:
  Service();
  [[nodiscard]] httplib::Server& http() { return server_; }
  // Lockstep calls this participant at POST `path`.
  void serve(const std::string& path, lockstep::Participant& participant);
  // Serves until the process ends.
  int run(const std::string& listen);

 private:
  httplib::Server server_;
};

void answer(httplib::Response& response, int status, const Json& body);

// What a program's main() does: `serve`, and what it throws is told.
int run_program(const char* name, int (*serve)(int, char**), int count, char** arguments);

}  // namespace shop
