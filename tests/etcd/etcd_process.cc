#include "etcd_process.h"

#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <signal.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/assert.h"

namespace lockstep::etcd_test {
namespace {

constexpr const char* program = "/usr/bin/etcd";

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// A port that was free a moment ago.
std::uint16_t free_port() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  LS_MUST(listener >= 0);
  sockaddr_in address = loopback(0);
  LS_MUST(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  socklen_t length = sizeof address;
  LS_MUST(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  close(listener);
  return ntohs(address.sin_port);
}

bool accepts(std::uint16_t port) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(port);
  const bool connected = connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(connection);
  return connected;
}

std::string url(std::uint16_t port) {
  return "http://127.0.0.1:" + std::to_string(port);
}

}  // namespace

bool EtcdProcess::available() {
  return access(program, X_OK) == 0;
}

EtcdProcess::EtcdProcess() {
  std::string pattern = std::filesystem::temp_directory_path() / "lockstep-etcd-XXXXXX";
  LS_MUST(mkdtemp(pattern.data()) != nullptr);
  directory_ = pattern;
  client_port_ = free_port();
  const std::uint16_t peer_port = free_port();
  const std::vector<std::string> arguments{program,
                                           "--data-dir",
                                           directory_ + "/data",
                                           "--listen-client-urls",
                                           url(client_port_),
                                           "--advertise-client-urls",
                                           url(client_port_),
                                           "--listen-peer-urls",
                                           url(peer_port),
                                           "--initial-advertise-peer-urls",
                                           url(peer_port),
                                           "--initial-cluster",
                                           "default=" + url(peer_port),
                                           "--unsafe-no-fsync"};
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const std::string log = directory_ + "/log";
  process_ = fork();
  LS_MUST(process_ >= 0);
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // it never outlives a test that died
    const int output = open(log.c_str(), O_CREAT | O_WRONLY, 0600);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execv(program, argv.data());
    _exit(127);
  }
  for (int attempt = 0; !accepts(client_port_); ++attempt) {
    LS_MUST(attempt < 600, "etcd does not answer; see its log in the temporary directory");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

EtcdProcess::~EtcdProcess() {
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

}  // namespace lockstep::etcd_test
