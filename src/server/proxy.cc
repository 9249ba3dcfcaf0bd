#include "server/proxy.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "base/version.h"
#include "gateway/etcd/etcd_services.h"
#include "gateway/http1/http_server.h"
#include "gateway/json/json_gateway.h"
#include "gateway/listener/listener.h"
#include "gateway/pages/status_pages.h"
#include "gateway/v1/coordination.h"
#include "gateway/v1/stored_answers.h"
#include "gateway/v1/v1.h"
#include "platform/executor.h"
#include "platform/process.h"
#include "platform/processor_quota.h"
#include "platform/signals.h"
#include "platform/system.h"
#include "platform/tcp_streams.h"
#include "platform/tls_streams.h"
#include "remote/connections.h"
#include "remote/store.h"
#include "rpc/server.h"
#include "server/callouts.h"
#include "server/foreign_cluster.h"
#include "server/metrics.h"
#include "server/root_account.h"
#include "server/transactions.h"
#include "service/timer/http_callbacks.h"
#include "service/timer/timer_driver.h"

namespace lockstep::server {

// In the order of construction; what comes later uses what comes earlier.
class Proxy::Parts {
 public:
  Parts(const ServerOptions& server_options, Logger& to) : options(server_options), logger(to) {}
  ~Parts();

  Status open();
  void run();

  ServerOptions options;
  Logger& logger;
  platform::RealClock clock;
  platform::RealRandom random;
  platform::AsioExecutor executor{clock};
  ForeignCluster cluster;
  ForeignSecurity security;
  std::shared_ptr<env::Streams> store_streams;
  std::unique_ptr<remote::Connections> connections;
  std::unique_ptr<remote::Store> store;
  std::unique_ptr<gateway::EtcdServices> services;
  std::unique_ptr<gateway::v1::Coordination> coordination;
  std::unique_ptr<gateway::v1::V1> v1;
  std::unique_ptr<service::TimerDriver> timer_driver;
  std::unique_ptr<platform::CurlHttpClient> callouts;
  std::unique_ptr<service::TimerCallbacks> timer_callbacks;
  std::unique_ptr<TransactionRunner> transactions;
  std::optional<platform::Signals> signals;
  std::unique_ptr<gateway::StatusPages> status_pages;
  std::unique_ptr<gateway::JsonGateway> json_gateway;
  std::unique_ptr<rpc::Server> rpc_server;
  std::unique_ptr<gateway::HttpServer> http_server;
  std::shared_ptr<env::Streams> streams;
  std::shared_ptr<platform::TlsStreams> tls;  // of clients; null: plain
  std::unique_ptr<gateway::Listener> listener;
  std::uint16_t client_port = 0;

 private:
  Status open_store();
  Status open_streams();
  void serve();
  void on_signal(int signal);
  void drain();

  bool stopping_ = false;
};

// Closing the connections answers what they still hold: its owners are there until then.
Proxy::Parts::~Parts() {
  timer_callbacks.reset();
  transactions.reset();
  callouts.reset();
  timer_driver.reset();
  listener.reset();
  http_server.reset();
  rpc_server.reset();
  json_gateway.reset();
  if (connections != nullptr) connections->close();
  status_pages.reset();
  v1.reset();
  coordination.reset();
  services.reset();
  store.reset();
  connections.reset();
}

Status Proxy::Parts::open_store() {
  store_streams = std::make_shared<platform::TcpStreams>(executor);
  remote::ConnectionsOptions to;
  to.endpoints = options.store;
  to.user = options.store_user;
  if (!options.store_user.empty()) {
    LS_ASSIGN_OR_RETURN(to.password, read_password_file(options.store_password_file));
  }
  if (!options.store_tls_ca.empty()) {
    platform::TlsOptions tls_options;
    tls_options.ca_file = options.store_tls_ca;
    tls_options.certificate_file = options.store_tls_certificate;
    tls_options.key_file = options.store_tls_key;
    LS_ASSIGN_OR_RETURN(store_streams,
                        platform::TlsStreams::create(executor, clock, std::move(store_streams), tls_options));
    to.endpoint.channel.tls = true;
  }
  connections = std::make_unique<remote::Connections>(executor, clock, random, *store_streams, std::move(to));
  store = std::make_unique<remote::Store>(*connections);
  return {};
}

Status Proxy::Parts::open_streams() {
  streams = std::make_shared<platform::TcpStreams>(executor);
  if (options.tls_certificate.empty()) return {};
  platform::TlsOptions tls_options;
  tls_options.certificate_file = options.tls_certificate;
  tls_options.key_file = options.tls_key;
  tls_options.ca_file = options.tls_client_ca;
  LS_ASSIGN_OR_RETURN(tls, platform::TlsStreams::create(executor, clock, streams, tls_options));
  streams = tls;
  return {};
}

void Proxy::Parts::serve() {
  services = std::make_unique<gateway::EtcdServices>(*store, security, cluster, executor, clock, random);
  rpc::ServerOptions rpc_options;
  rpc_options.connections_max = options.connections_max;
  rpc_server = std::make_unique<rpc::Server>(executor, clock, rpc_options);
  services->register_store_with(*rpc_server);
  gateway::HttpServerOptions http_options;
  http_options.connections_max = options.connections_max;
  http_options.host_names = options.http_hosts;
  http_server = std::make_unique<gateway::HttpServer>(executor, clock, http_options);
  rpc_server->set_plain(http_server->plain_handler(), http_options.limits.body_bytes_max);
  json_gateway = std::make_unique<gateway::JsonGateway>(executor);
  services->register_store_with(*json_gateway);
  json_gateway->register_with(http_server->router());
  status_pages = std::make_unique<gateway::StatusPages>(*store, cluster, clock);
  status_pages->add_metrics([this](gateway::MetricsText& text) {
    write_metrics(executor.metrics(), &text);
    write_metrics(figures_of(transactions.get(), *callouts), &text);
    gateway::write_metrics(*rpc_server, &text);
    gateway::write_metrics(http_server->metrics(), &text);
  });
  status_pages->register_with(http_server->router());
  coordination =
      std::make_unique<gateway::v1::Coordination>(service::Context{*store, executor, clock, random});
  coordination->callouts = callouts.get();
  coordination->services = options.services;
  gateway::v1::Options v1_options;
  v1_options.request_timeout = options.request_timeout;
  v1 = std::make_unique<gateway::v1::V1>(security, executor, clock, random, v1_options);
  v1->add(coordination->routes());
  v1->set_idempotency(std::make_unique<gateway::v1::StoredAnswers>(coordination->context));
  v1->register_with(http_server->router());
  timer_driver = std::make_unique<service::TimerDriver>(coordination->context);
  timer_callbacks = std::make_unique<service::TimerCallbacks>(coordination->context, *callouts);
  transactions = std::make_unique<TransactionRunner>(coordination->context, *callouts, logger,
                                                     TransactionRunner::Options{options.name, {}, {}});
  listener = std::make_unique<gateway::Listener>(executor, clock, *rpc_server, *http_server);
}

Status Proxy::Parts::open() {
  executor.set_look_time(platform::default_look_time(platform::processor_quota()));
  LS_RETURN_IF_ERROR(open_store());
  LS_RETURN_IF_ERROR(open_streams());
  LS_ASSIGN_OR_RETURN(callouts, open_callouts(options, executor));
  serve();
  LS_ASSIGN_OR_RETURN(client_port, listener->listen(*streams, options.listen));
  std::string endpoints;
  for (const std::string& endpoint : options.store) endpoints += (endpoints.empty() ? "" : ",") + endpoint;
  // Before anybody is told that it serves, and may tell it to stop.
  signals.emplace(executor, std::array{SIGTERM, SIGINT, SIGHUP}, [this](int signal) { on_signal(signal); });
  logger.info("serves", {{"name", options.name},
                         {"clients", options.listen},
                         {"store", "etcd://" + endpoints},
                         {"version", std::string(version)}});
  platform::notify_service_manager(fmt::format("READY=1\nSTATUS=serves clients on {}", options.listen));
  return {};
}

void Proxy::Parts::run() {
  executor.run();
}

void Proxy::Parts::on_signal(int signal) {
  if (signal == SIGHUP) {
    const Status read = tls == nullptr ? Status() : tls->reload();
    if (!read.ok()) return logger.error("keeps the certificates it has", {{"why", read.to_string()}});
    return logger.info("certificates were read again");
  }
  if (std::exchange(stopping_, true)) {
    logger.warning("ends at once: second signal", {{"signal", std::to_string(signal)}});
    std::_Exit(1);
  }
  logger.info("stops", {{"signal", std::to_string(signal)}});
  platform::notify_service_manager("STOPPING=1");
  rpc_server->set_serving("", false);
  status_pages->set_serving(false);
  drain();
}

void Proxy::Parts::drain() {
  listener->stop();
  services->stop_waiting();
  const TimePoint deadline = clock.now() + options.shutdown_timeout;
  const auto drained = [this, left = std::make_shared<int>(3)] {
    if (--*left == 0) executor.stop();
  };
  timer_callbacks.reset();
  timer_driver.reset();
  transactions.reset();
  v1->drain(deadline, drained);
  rpc_server->drain(deadline, drained);
  http_server->drain(deadline, drained);
}

Proxy::Proxy(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Proxy::~Proxy() = default;

Result<std::unique_ptr<Proxy>> Proxy::open(const ServerOptions& options, Logger& logger) {
  auto parts = std::make_unique<Parts>(options, logger);
  LS_RETURN_IF_ERROR(parts->open());
  return std::unique_ptr<Proxy>(new Proxy(std::move(parts)));
}

void Proxy::run() {
  parts_->run();
}

std::uint16_t Proxy::client_port() const {
  return parts_->client_port;
}

}  // namespace lockstep::server
