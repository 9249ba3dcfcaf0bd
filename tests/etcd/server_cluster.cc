#include "server_cluster.h"

#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <signal.h>
#include <string_view>
#include <thread>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/assert.h"

namespace lockstep::etcd_test {
namespace {

constexpr const char* etcd_program = "/usr/bin/etcd";

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// A port that was free a moment ago, and was not given before.
std::uint16_t free_port() {
  static std::set<std::uint16_t> given;
  while (true) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    LS_MUST(listener >= 0);
    sockaddr_in address = loopback(0);
    LS_MUST(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    socklen_t length = sizeof address;
    LS_MUST(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    close(listener);
    if (given.insert(ntohs(address.sin_port)).second) return ntohs(address.sin_port);
  }
}

// What both servers say on /health once a leader is there.
bool healthy(std::uint16_t port) {
  constexpr std::string_view request = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  LS_MUST(connection >= 0);
  const timeval timeout{.tv_sec = 5, .tv_usec = 0};
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  sockaddr_in address = loopback(port);
  std::string answer;
  if (connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      write(connection, request.data(), request.size()) == static_cast<ssize_t>(request.size())) {
    char buffer[1024];
    for (ssize_t count = 0; (count = read(connection, buffer, sizeof buffer)) > 0;) {
      answer.append(buffer, static_cast<std::size_t>(count));
    }
  }
  close(connection);
  return answer.contains("\"true\"");
}

std::string address_of(std::uint16_t port) {
  return "127.0.0.1:" + std::to_string(port);
}

}  // namespace

bool ServerCluster::etcd_installed() {
  return access(etcd_program, X_OK) == 0;
}

ServerCluster::ServerCluster(std::size_t size) {
  LS_MUST(size >= 1);
  std::string pattern = std::filesystem::temp_directory_path() / "lockstep-servers-XXXXXX";
  LS_MUST(mkdtemp(pattern.data()) != nullptr);
  directory_ = pattern;
  for (std::size_t i = 0; i < size; ++i) {
    members_.push_back({size == 1 ? "default" : "n" + std::to_string(i + 1), free_port(), free_port(), 0});
  }
}

std::string ServerCluster::list(const std::string& scheme) const {
  std::string list;
  for (const Member& member : members_) {
    list += (list.empty() ? "" : ",") + member.name + "=" + scheme + address_of(member.peer_port);
  }
  return list;
}

std::string ServerCluster::endpoint(std::size_t member) const {
  return address_of(client_port(member));
}

ServerCluster ServerCluster::etcd(std::size_t size) {
  ServerCluster cluster(size);
  for (Member& member : cluster.members_) {
    const std::string client = "http://" + address_of(member.client_port);
    const std::string peer = "http://" + address_of(member.peer_port);
    cluster.start(member,
                  {etcd_program, "--name", member.name, "--data-dir", cluster.directory_ + "/" + member.name,
                   "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls",
                   peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster.list("http://"),
                   "--unsafe-no-fsync"});
  }
  cluster.wait_until_healthy();
  return cluster;
}

ServerCluster ServerCluster::lockstepd(const std::string& program, std::size_t size) {
  ServerCluster cluster(size);
  for (Member& member : cluster.members_) {
    const std::vector<std::string> command{program,
                                           "--name",
                                           member.name,
                                           "--data-dir",
                                           cluster.directory_ + "/" + member.name,
                                           "--listen",
                                           address_of(member.client_port),
                                           "--initial-cluster",
                                           cluster.list("")};
    cluster.start(member, command);
  }
  cluster.wait_until_healthy();
  return cluster;
}

void ServerCluster::start(Member& member, const std::vector<std::string>& command) const {
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const std::string log = directory_ + "/" + member.name + ".log";
  member.process = fork();
  LS_MUST(member.process >= 0);
  if (member.process == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // it never outlives a test that died
    const int output = open(log.c_str(), O_CREAT | O_WRONLY, 0600);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
}

void ServerCluster::wait_until_healthy() const {
  for (const Member& member : members_) {
    for (int attempt = 0; !healthy(member.client_port); ++attempt) {
      LS_MUST(waitpid(member.process, nullptr, WNOHANG) == 0,
              "a server ended; its log is in the temporary directory");
      LS_MUST(attempt < 1200, "a server is not healthy; its log is in the temporary directory");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
}

ServerCluster::~ServerCluster() {
  if (members_.empty()) return;  // moved from
  for (const Member& member : members_) kill(member.process, SIGKILL);
  for (const Member& member : members_) waitpid(member.process, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

}  // namespace lockstep::etcd_test
