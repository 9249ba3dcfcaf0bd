#include "processes.h"

#include <charconv>
#include <cstdlib>
#include <signal.h>
#include <sstream>
#include <unistd.h>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

namespace lockstep::demo {
namespace {

[[noreturn]] void give_up(const std::string& what) {
  fmt::print(stderr, "demo: {}\n", what);
  std::exit(1);
}

// Ports that were free a moment ago. All are held until the last is found, so that they differ.
std::vector<int> free_ports(std::size_t count) {
  std::vector<int> sockets;
  std::vector<int> ports;
  for (std::size_t i = 0; i < count; ++i) {
    const int socket_number = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (socket_number < 0 || bind(socket_number, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        getsockname(socket_number, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      give_up("no free port on 127.0.0.1");
    }
    sockets.push_back(socket_number);
    ports.push_back(ntohs(address.sin_port));
  }
  for (const int socket_number : sockets) close(socket_number);
  return ports;
}

}  // namespace

Cluster plan_cluster(const std::string& directory) {
  const std::vector<int> ports = free_ports(4);
  Cluster cluster;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    cluster.members.push_back({NodeId(id), fmt::format("127.0.0.1:{}", ports[id - 1])});
  }
  cluster.client = {client_node, fmt::format("127.0.0.1:{}", ports[3])};
  cluster.directory = directory;
  return cluster;
}

std::string to_text(const std::vector<replica::Member>& members) {
  std::string text;
  for (const replica::Member& member : members) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ",", member.id.value(), member.address);
  }
  return text;
}

std::vector<replica::Member> from_text(const std::string& text) {
  std::vector<replica::Member> members;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const std::size_t equals = part.find('=');
    std::uint64_t id = 0;
    if (equals == std::string::npos ||
        std::from_chars(part.data(), part.data() + equals, id).ec != std::errc()) {
      give_up(fmt::format("'{}' is not id=host:port", part));
    }
    members.push_back({NodeId(id), part.substr(equals + 1)});
  }
  return members;
}

Processes::Processes(Cluster cluster)
    : cluster_(std::move(cluster)), processes_(cluster_.members.size(), 0) {}

Processes::~Processes() {
  for (const replica::Member& member : cluster_.members) kill(member.id);
}

void Processes::start(NodeId node) {
  const std::string data = fmt::format("{}/member-{}", cluster_.directory, node.value());
  const std::string node_text = std::to_string(node.value());
  const std::string members = to_text(cluster_.members);
  const std::string client = to_text({cluster_.client});
  const pid_t process = fork();
  if (process < 0) give_up("cannot start a process");
  if (process == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl("/proc/self/exe", "lockstep-demo", "member", "--data", data.c_str(), "--node", node_text.c_str(),
          "--members", members.c_str(), "--client", client.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  processes_[node.value() - 1] = process;
}

void Processes::kill(NodeId node) {
  pid_t& process = processes_[node.value() - 1];
  if (process == 0) return;
  ::kill(process, SIGKILL);
  waitpid(process, nullptr, 0);
  process = 0;
}

bool Processes::any_died() {
  for (pid_t& process : processes_) {
    if (process != 0 && waitpid(process, nullptr, WNOHANG) == process) {
      process = 0;
      return true;
    }
  }
  return false;
}

}  // namespace lockstep::demo
