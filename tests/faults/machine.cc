#include "machine.h"

#include <utility>

#include "platform/tcp_streams.h"
#include "platform/tls_streams.h"

namespace lockstep::faults {

Result<std::unique_ptr<Machine>> Machine::make(Target target) {
  std::unique_ptr<Machine> machine(new Machine(std::move(target)));
  machine->streams_ = std::make_unique<platform::TcpStreams>(machine->executor_);
  if (machine->target_.ca_file.empty()) return machine;
  platform::TlsOptions options;
  options.ca_file = machine->target_.ca_file;
  LS_ASSIGN_OR_RETURN(machine->streams_, platform::TlsStreams::create(machine->executor_, machine->clock_,
                                                                      std::move(machine->streams_), options));
  return machine;
}

std::unique_ptr<remote::Connections> Machine::connect(const std::vector<std::string>& endpoints) {
  remote::ConnectionsOptions options;
  options.endpoints = endpoints;
  options.user = target_.user;
  options.password = target_.password;
  options.login_timeout = 3s;
  // Members come back within a second or so, and are to be met soon after.
  options.endpoint.backoff_max = 500ms;
  options.endpoint.channel.tls = !target_.ca_file.empty();
  options.endpoint.channel.connect_timeout = 1s;
  // A frozen member answers nothing and closes nothing: this is how one notices.
  options.endpoint.channel.keepalive_interval = 5s;
  options.endpoint.channel.keepalive_timeout = 1s;
  return std::make_unique<remote::Connections>(executor_, clock_, random_, *streams_, options);
}

}  // namespace lockstep::faults
