#include <thread>

#include "base/assert.h"
#include "platform/executor.h"
#include "platform/processor_quota.h"
#include "platform/system.h"
#include "platform/tcp_streams.h"
#include "platform/tls_streams.h"
#include "remote/connections.h"
#include "remote/store.h"
#include "world.h"

namespace lockstep::v1::detail {
namespace {

class NetworkWorld final : public World {
 public:
  NetworkWorld() : executor_(clock_) {}
  ~NetworkWorld() override {
    executor_.stop();
    if (thread_.joinable()) thread_.join();
  }
  NetworkWorld(const NetworkWorld&) = delete;
  NetworkWorld& operator=(const NetworkWorld&) = delete;

  Status open(const ClientOptions& options);

  env::Executor& executor() override { return executor_; }
  env::Clock& clock() override { return clock_; }
  env::Random& random() override { return random_; }
  store::Store& store() override { return *store_; }
  void leave() override {
    connections_->close();
    executor_.at_turn_end([this] { executor_.stop(); });
  }
  void join() override { thread_.join(); }

 private:
  platform::RealClock clock_;
  platform::RealRandom random_;
  platform::AsioExecutor executor_;
  std::unique_ptr<env::Streams> streams_;
  std::unique_ptr<remote::Connections> connections_;
  std::unique_ptr<remote::Store> store_;
  std::thread thread_;
};

::lockstep::Result<std::vector<std::string>> split(const std::string& endpoints) {
  std::vector<std::string> found;
  std::size_t begin = 0;
  while (begin <= endpoints.size()) {
    const std::size_t end = std::min(endpoints.find(',', begin), endpoints.size());
    const std::string endpoint = endpoints.substr(begin, end - begin);
    const std::size_t colon = endpoint.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == endpoint.size()) {
      return Status(::lockstep::Code::invalid_argument,
                    "endpoints are \"host:port\", separated by commas; this is none: \"" + endpoint + "\"");
    }
    found.push_back(endpoint);
    begin = end + 1;
  }
  return found;
}

Status NetworkWorld::open(const ClientOptions& options) {
  executor_.set_look_time(options.look_time() ? *options.look_time()
                                              : platform::default_look_time(platform::processor_quota()));
  remote::ConnectionsOptions connections;
  LS_ASSIGN_OR_RETURN(connections.endpoints, split(options.endpoints()));
  connections.user = options.user();
  connections.password = options.password();
  connections.endpoint.channel.tls = options.tls();
  streams_ = std::make_unique<platform::TcpStreams>(executor_);
  if (options.tls()) {
    platform::TlsOptions tls;
    tls.ca_file = options.ca_file();
    tls.certificate_file = options.certificate_file();
    tls.key_file = options.key_file();
    LS_ASSIGN_OR_RETURN(streams_, platform::TlsStreams::create(executor_, clock_, std::move(streams_), tls));
  }
  connections_ =
      std::make_unique<remote::Connections>(executor_, clock_, random_, *streams_, std::move(connections));
  store_ = std::make_unique<remote::Store>(*connections_);
  thread_ = std::thread([this] {
    const ClientThread here;
    executor_.run();
  });
  return {};
}

}  // namespace

::lockstep::Result<std::shared_ptr<World>> network_world(const ClientOptions& options) {
  auto world = std::make_shared<NetworkWorld>();
  LS_RETURN_IF_ERROR(world->open(options));
  return std::shared_ptr<World>(std::move(world));
}

}  // namespace lockstep::v1::detail
