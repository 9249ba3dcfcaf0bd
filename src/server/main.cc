// lockstepd: the server.
#include <cstdlib>

#include <fmt/format.h>

#include "server/command_line.h"
#include "server/node.h"
#include "server/proxy.h"

// Read by jemalloc when the process starts. A thread of its own gives unused memory back, also when nothing
// is going on; otherwise a burst of work leaves the process large.
extern const char* malloc_conf;
const char* malloc_conf = "background_thread:true,dirty_decay_ms:2000,muzzy_decay_ms:0";

namespace lockstep::server {
namespace {

int show_config(const CommandLine& line) {
  for (const Setting& setting : settings()) {
    const auto origin = line.resolved.origins.find(setting.name);
    fmt::print("{} = \"{}\"", key_of(setting), setting.show(line.resolved.options));
    if (line.show_origin)
      fmt::print("  # {}", origin == line.resolved.origins.end() ? "default" : origin->second);
    fmt::print("\n");
  }
  return EXIT_SUCCESS;
}

int init(const CommandLine& line) {
  const Result<std::vector<std::string>> written = make_certificates(line.init);
  if (!written.ok()) {
    fmt::print(stderr, "lockstepd init: {}\n", written.status().message());
    return EXIT_FAILURE;
  }
  const Result<std::string> password = make_password_file(line.init.directory);
  if (!password.ok()) {
    fmt::print(stderr, "lockstepd init: {}\n", password.status().message());
    return EXIT_FAILURE;
  }
  for (const std::string& path : *written) fmt::print("{}\n", path);
  fmt::print("{}\n", *password);
  const std::string& directory = line.init.directory;
  const std::string& name = line.init.names.front();
  fmt::print(stderr,
             "\nGive each member its own pair, the CA and the password file:\n"
             "  lockstepd --name {1} --tls-certificate {0}/{1}.crt --tls-key {0}/{1}.key "
             "--peer-tls-certificate {0}/{1}.crt \\\n"
             "            --peer-tls-key {0}/{1}.key --peer-tls-ca {0}/ca.crt --root-password-file "
             "{0}/root.password ...\n"
             "Keep {0}/ca.key away from the members: whoever has it can be anybody.\n",
             directory, name);
  return EXIT_SUCCESS;
}

int run_proxy(const ServerOptions& options, Logger& logger) {
  const Result<std::unique_ptr<Proxy>> proxy = Proxy::open(options, logger);
  if (!proxy.ok()) {
    logger.error("does not start", {{"why", std::string(proxy.status().message())}});
    return EXIT_FAILURE;
  }
  (*proxy)->run();
  return EXIT_SUCCESS;
}

int run(const ServerOptions& options) {
  Logger logger(options.log_level, options.log_format);
  if (!options.store.empty()) return run_proxy(options, logger);
  const Result<std::unique_ptr<Node>> node = Node::open(options, logger);
  if (!node.ok()) {
    logger.error("does not start", {{"why", std::string(node.status().message())}});
    return EXIT_FAILURE;
  }
  if (options.dev)
    fmt::print(stderr,
               "\n  Lockstep serves etcd v3 on {0}. Try it:\n"
               "    lockstep kv put greeting hello && lockstep kv get greeting\n"
               "    etcdctl --endpoints {0} get greeting\n\n",
               options.listen);
  (*node)->run();
  return EXIT_SUCCESS;
}

int main(int argc, char** argv) {
  const CommandLine line = parse_command_line(argc, argv);
  switch (line.command) {
    case CommandLine::Command::finished:
      return line.exit_status;
    case CommandLine::Command::config_check:
      fmt::print("ok\n");
      return EXIT_SUCCESS;
    case CommandLine::Command::config_show:
      return show_config(line);
    case CommandLine::Command::init:
      return init(line);
    case CommandLine::Command::run:
      return run(line.resolved.options);
  }
  return EXIT_FAILURE;
}

}  // namespace
}  // namespace lockstep::server

int main(int argc, char** argv) {
  return lockstep::server::main(argc, argv);
}
