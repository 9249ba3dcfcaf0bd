#include "service.h"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <thread>

#include <lockstep/participant/mariadb.h>
#include <lockstep/participant/postgres.h>
#include <lockstep/participant/sqlite.h>
#include <sys/socket.h>

namespace shop {

namespace {

// Requests of buyers wait in them for transactions, whose participants are called in others.
constexpr std::size_t threads = 160;
constexpr time_t idle_connection_s = 30;

bool begins_with(const std::string& text, std::string_view prefix) {
  return text.rfind(prefix, 0) == 0;
}

// mariadb://user:password@host:port/database; all but the host may be missing.
lockstep::MariadbAddress mariadb_address(const std::string& url) {
  static const std::regex form(
      R"(mariadb://(?:([^:@/]*)(?::([^@/]*))?@)?([^:/]+)(?::(\d{1,5}))?(?:/(\w+))?)");
  std::smatch part;
  if (!std::regex_match(url, part, form))
    throw std::invalid_argument("not mariadb://user:password@host:port/database");
  lockstep::MariadbAddress address;
  address.user = part[1];
  address.password = part[2];
  address.host = part[3];
  if (part[4].matched) address.port = static_cast<unsigned>(std::stoul(part[4]));
  address.database = part[5];
  return address;
}

}  // namespace

Settings::Settings(int count, char** arguments, const std::map<std::string, std::string>& known)
    : program_(arguments[0]) {
  const auto usage = [&] {
    std::cerr << "usage: " << program_ << '\n';
    for (const auto& [name, purpose] : known) std::cerr << "  --" << name << "  " << purpose << '\n';
    std::exit(2);
  };
  for (int index = 1; index < count; index += 2) {
    const std::string name = arguments[index];
    if (!begins_with(name, "--") || !known.contains(name.substr(2)) || index + 1 == count) usage();
    values_[name.substr(2)] = arguments[index + 1];
  }
}

std::string Settings::get(const std::string& name, const std::string& otherwise) const {
  const auto found = values_.find(name);
  if (found != values_.end()) return found->second;
  if (otherwise.empty()) {
    std::cerr << program_ << ": --" << name << " is missing\n";
    std::exit(2);
  }
  return otherwise;
}

std::int64_t Settings::number(const std::string& name, std::int64_t otherwise) const {
  const std::string text = get(name, std::to_string(otherwise));
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    std::cerr << program_ << ": --" << name << " is no number: " << text << '\n';
    std::exit(2);
  }
  return value;
}

lockstep::SqlSessions::Open open_database(const std::string& database) {
  if (begins_with(database, "postgres://"))
    return [database] { return lockstep::PostgresSession::open(database); };
  if (begins_with(database, "mariadb://")) {
    return [address = mariadb_address(database)] { return lockstep::MariadbSession::open(address); };
  }
  return [database] { return lockstep::SqliteSession::open(database); };
}

void create_tables(lockstep::SqlSessions& sessions, const std::vector<std::string>& definitions) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (true) {
    try {
      const auto session = sessions.take();
      for (const std::string& definition : definitions) {
        session->execute("CREATE TABLE IF NOT EXISTS " + definition);
      }
      lockstep::BranchBarrier::create_table(*session);
      return;
    } catch (const lockstep::SqlError& error) {
      if (std::chrono::steady_clock::now() > deadline) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
}

std::vector<std::vector<std::string>> read_csv(const std::string& file) {
  std::ifstream in(file);
  if (!in) {
    std::cerr << "cannot read " << file << '\n';
    std::exit(2);
  }
  std::vector<std::vector<std::string>> rows;
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    std::vector<std::string>& row = rows.emplace_back();
    for (std::string field; std::getline(fields, field, ',');) row.push_back(field);
  }
  return rows;
}

Service::Service() {
  server_.new_task_queue = [] { return new httplib::ThreadPool(threads); };
  server_.set_tcp_nodelay(true);
  server_.set_keep_alive_max_count(1'000'000);
  server_.set_keep_alive_timeout(idle_connection_s);
  // Not the library's own SO_REUSEPORT: two processes on one port would each get half of the requests.
  server_.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server_.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
    answer(response, 200, {{"ok", true}});
  });
}

void Service::serve(const std::string& path, lockstep::Participant& participant) {
  server_.Post(path, [&participant](const httplib::Request& request, httplib::Response& response) {
    const auto header = [&request](std::string_view name) -> std::optional<std::string> {
      const std::string key(name);
      if (!request.has_header(key.c_str())) return std::nullopt;
      return request.get_header_value(key.c_str());
    };
    const lockstep::BranchAnswer outcome = participant.handle(header, request.body);
    response.status = outcome.status();
    response.set_content(outcome.body(), "application/json");
    if (outcome.retry_after().count() > 0) {
      response.set_header("Retry-After", std::to_string(outcome.retry_after().count()));
    }
  });
}

int Service::run(const std::string& listen) {
  const std::size_t colon = listen.rfind(':');
  if (colon == std::string::npos ||
      !server_.listen(listen.substr(0, colon).c_str(), std::atoi(listen.c_str() + colon + 1))) {
    std::cerr << "cannot listen on " << listen << '\n';
    return 1;
  }
  return 0;
}

Json to_json(const Order& order) {
  return {{"order", order.id},
          {"buyer", order.buyer},
          {"item", order.item},
          {"quantity", order.quantity},
          {"cents", order.cents}};
}

Order order_of(const lockstep::BranchCall& call) {
  const Json body = Json::parse(call.body());
  return {body.at("order"), body.at("buyer"), body.at("item"), body.at("quantity"), body.at("cents"), ""};
}

int run_program(const char* name, int (*serve)(int, char**), int count, char** arguments) {
  try {
    return serve(count, arguments);
  } catch (const std::exception& error) {
    std::cerr << name << ": " << error.what() << '\n';
    return 1;
  }
}

void answer(httplib::Response& response, int status, const Json& body) {
  response.status = status;
  response.set_content(body.dump(), "application/json");
}

}  // namespace shop
