#include "cli/client.h"

#include "platform/tcp_streams.h"
#include "platform/tls_streams.h"

namespace lockstep::cli {
namespace {

// Commands are short, and `bench` waits for answers: whom it measures beside lockstepd is waited for as long.
constexpr Duration look_time = std::chrono::microseconds(300);

}  // namespace

Client::Client(ClientSettings settings, std::string password, bool fail_fast)
    : settings_(std::move(settings)),
      password_(std::move(password)),
      executor_(clock_),
      fail_fast_(fail_fast) {
  executor_.set_look_time(look_time);
}

Client::~Client() {
  store_.reset();
  connections_.reset();
}

Result<std::unique_ptr<Client>> Client::make(const ClientSettings& settings, std::string password,
                                             bool fail_fast) {
  std::unique_ptr<Client> client(new Client(settings, std::move(password), fail_fast));
  client->streams_ = std::make_unique<platform::TcpStreams>(client->executor_);
  if (settings.tls()) {
    platform::TlsOptions options;
    options.ca_file = settings.ca_certificate;
    options.certificate_file = settings.certificate;
    options.key_file = settings.key;
    LS_ASSIGN_OR_RETURN(client->streams_, platform::TlsStreams::create(client->executor_, client->clock_,
                                                                       std::move(client->streams_), options));
  }
  client->connections_ = std::make_unique<remote::Connections>(
      client->executor_, client->clock_, client->random_, *client->streams_,
      client->connection_options(settings.endpoints));
  client->store_ = std::make_unique<remote::Store>(*client->connections_);
  client->admin_ = std::make_unique<remote::Admin>(*client->connections_);
  return client;
}

remote::ConnectionsOptions Client::connection_options(const std::vector<std::string>& endpoints) const {
  remote::ConnectionsOptions options;
  options.endpoints = endpoints;
  options.user = settings_.user;
  options.password = password_;
  options.fail_fast = fail_fast_;
  options.endpoint.channel.tls = settings_.tls();
  options.endpoint.channel.connect_timeout = std::min<Duration>(settings_.timeout, 5s);
  return options;
}

std::unique_ptr<remote::Connections> Client::connections_to(const std::string& endpoint, bool one_of_many) {
  remote::ConnectionsOptions options = connection_options({endpoint});
  options.endpoint.channel.one_of_many = one_of_many;
  return std::make_unique<remote::Connections>(executor_, clock_, random_, *streams_, options);
}

}  // namespace lockstep::cli
