#include "server/node.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "base/version.h"
#include "engine/rocksdb_engine.h"
#include "gateway/etcd/etcd_services.h"
#include "gateway/http1/http_server.h"
#include "gateway/json/json_gateway.h"
#include "gateway/listener/listener.h"
#include "gateway/pages/status_pages.h"
#include "gateway/v1/coordination.h"
#include "gateway/v1/stored_answers.h"
#include "gateway/v1/v1.h"
#include "log/identity.h"
#include "platform/platform.h"
#include "platform/process.h"
#include "platform/signals.h"
#include "platform/tcp_streams.h"
#include "platform/tls_streams.h"
#include "replica/birth.h"
#include "replica/naming.h"
#include "replica/replica.h"
#include "rpc/server.h"
#include "server/callouts.h"
#include "server/cluster.h"
#include "server/metrics.h"
#include "server/root_account.h"
#include "server/transactions.h"
#include "service/compaction/auto_compaction.h"
#include "service/timer/http_callbacks.h"
#include "service/timer/timer_driver.h"

namespace lockstep::server {
namespace {

// A group of some hundred small commands: the disk takes little longer for it than for one.
constexpr std::size_t log_inline_bytes_max_alone = 32 * limits::kibibyte;

constexpr Duration hand_over_timeout = 2s;
constexpr Duration last_answers_timeout = 500ms;  // of the services' own calls, when nobody else is served
constexpr Duration idle_poll_interval = 5ms;
constexpr Duration refused_linger = 150ms;  // longer than anybody pauses who repeats a goodbye
constexpr Duration start_up_time = 2s;      // by then a member has found its leader, as a rule

// Who this directory is: what it says, if it has been used before, so that a member keeps its id when its
// address changes.
Result<NodeId> identify(const ServerOptions& options, platform::AsioExecutor& executor) {
  const ClusterId cluster = replica::cluster_id_of(options.cluster_token);
  LS_ASSIGN_OR_RETURN(const std::unique_ptr<platform::FileDisk> disk,
                      platform::FileDisk::open(options.data_directory, executor));
  const Result<log::Identity> identity = log::load_identity(*disk, replica::Options().log.directory);
  // One of several that is not told how it came to be: if others were added and this directory was lost, or
  // if it began to join and never got there, founding would make a second cluster.
  if (!options.peer_listen.empty() && options.initial_cluster.empty() && options.join.empty()) {
    LS_ASSIGN_OR_RETURN(const bool born, replica::Birth::is_recorded(*disk));
    if (!born)
      return Status(
          Code::failed_precondition,
          fmt::format(
              "{0} holds no member of a cluster yet, and --peer-listen says that this member is one of "
              "several. To join a cluster that exists (or to come back after this directory was lost), give "
              "--join with the peer address of a member. To found a new one, give --initial-cluster {1}={2} "
              "this first time, and take it out again when others have joined",
              options.data_directory, options.name, options.peer_advertise));
  }
  if (identity.status().code() == Code::not_found)
    return replica::node_id_of(options.cluster_token, options.peer_advertise);
  if (!identity.ok()) return identity.status();
  if (identity->cluster != cluster)
    return Status(
        Code::failed_precondition,
        fmt::format(
            "{} belongs to another cluster: --cluster-token '{}' is not the one it was made with. Give "
            "that token, or another --data-dir",
            options.data_directory, options.cluster_token));
  return identity->node;
}

std::vector<replica::Member> founders_of(const ServerOptions& options, NodeId self) {
  std::vector<replica::Member> founders;
  for (const NamedAddress& named : options.initial_cluster) {
    replica::Member& member = founders.emplace_back();
    member.id = replica::node_id_of(options.cluster_token, named.address);
    member.address = named.address;
    member.name = named.name;
  }
  if (founders.empty() && options.join.empty()) {
    replica::Member& member = founders.emplace_back();
    member.id = self;
    member.address = options.peer_advertise;
    member.name = options.name;
  }
  return founders;
}

std::vector<replica::Member> contacts_of(const ServerOptions& options) {
  std::vector<replica::Member> contacts;
  for (const std::string& address : options.join) {
    replica::Member& member = contacts.emplace_back();
    member.id = replica::node_id_of(options.cluster_token, address);
    member.address = address;
  }
  return contacts;
}

// The voter that has most of the log among those heard of since `heard_after`; none if this member does not
// lead or is the last one.
NodeId best_successor(const raft::Raft& raft, TimePoint heard_after) {
  NodeId best;
  LogIndex match;
  if (!raft.is_leader()) return best;
  for (const auto& [node, peer] : raft.peers()) {
    if (!raft.configuration().is_voter(node) || peer.last_heard < heard_after || peer.in_doubt) continue;
    if (best != NodeId{} && peer.match <= match) continue;
    best = node;
    match = peer.match;
  }
  return best;
}

}  // namespace

// In the order of construction; what comes later uses what comes earlier.
class Node::Parts {
 public:
  Parts(const ServerOptions& server_options, Logger& to) : options(server_options), logger(to) {}
  ~Parts();

  Status open();
  void run();

  ServerOptions options;
  Logger& logger;
  NodeId self;
  std::unique_ptr<engine::Engine> engine;  // outlives the platform's worker
  std::unique_ptr<platform::Platform> platform;
  std::unique_ptr<replica::Replica> replica;
  std::unique_ptr<ServerCluster> cluster;
  std::unique_ptr<gateway::EtcdServices> services;
  std::unique_ptr<rpc::Server> rpc_server;
  std::unique_ptr<gateway::JsonGateway> json_gateway;
  std::unique_ptr<gateway::StatusPages> status_pages;
  std::unique_ptr<gateway::v1::Coordination> coordination;
  std::unique_ptr<gateway::v1::V1> v1;
  std::unique_ptr<service::TimerDriver> timer_driver;
  std::unique_ptr<platform::CurlHttpClient> callouts;
  std::unique_ptr<service::TimerCallbacks> timer_callbacks;
  std::unique_ptr<service::AutoCompaction> auto_compaction;
  std::unique_ptr<TransactionRunner> transactions;
  std::optional<platform::Signals> signals;
  std::unique_ptr<gateway::HttpServer> http_server;
  std::shared_ptr<env::Streams> streams;
  std::shared_ptr<platform::TlsStreams> tls;  // of clients; null: plain
  std::unique_ptr<gateway::Listener> listener;
  std::unique_ptr<RootAccount> root_account;
  std::uint16_t client_port = 0;

 private:
  Status open_platform();
  Status open_replica();
  Status open_front();
  void serve_http(env::Executor& executor, env::Clock& clock);
  void serve_v1(env::Executor& executor, env::Clock& clock);
  [[nodiscard]] MemberSample sample() const;
  Status open_streams();
  Status listen();
  void reload();
  void on_signal(int signal);
  void stop();
  void hand_over_then_drain(TimePoint deadline);
  void take_signals();
  void drain();
  void end_when_idle(TimePoint deadline);
  void beat();
  void start_services();

  bool stopping_ = false;
  const Duration started_ = platform::RealClock().wall_now();
};

// Callbacks that the replica still holds lead into the services: they die with it, uncalled.
Node::Parts::~Parts() {
  root_account.reset();
  auto_compaction.reset();
  timer_callbacks.reset();
  transactions.reset();
  callouts.reset();
  timer_driver.reset();
  listener.reset();
  http_server.reset();
  rpc_server.reset();
  json_gateway.reset();
  cluster.reset();
  replica.reset();
  v1.reset();
  coordination.reset();
  status_pages.reset();
  services.reset();
}

Status Node::Parts::open() {
  LS_RETURN_IF_ERROR(open_platform());
  LS_RETURN_IF_ERROR(open_replica());
  return open_front();
}

Status Node::Parts::open_platform() {
  platform::RealClock clock;
  platform::AsioExecutor scratch(clock);  // the identity is read before anything runs
  LS_ASSIGN_OR_RETURN(self, identify(options, scratch));
  platform::PlatformOptions platform_options;
  platform_options.data_directory = options.data_directory;
  platform_options.listen_address = options.peer_listen;
  platform_options.cluster = replica::cluster_id_of(options.cluster_token);
  platform_options.node = self;
  if (!options.peer_tls_ca.empty()) {
    platform::TlsOptions& peer_tls = platform_options.peer_tls.emplace();
    peer_tls.certificate_file = options.peer_tls_certificate;
    peer_tls.key_file = options.peer_tls_key;
    peer_tls.ca_file = options.peer_tls_ca;
    peer_tls.members = true;
  }
  platform_options.log = [this](std::string_view line) { logger.info(line); };
  LS_ASSIGN_OR_RETURN(platform, platform::Platform::open(platform_options));
  return {};
}

Status Node::Parts::open_replica() {
  LS_ASSIGN_OR_RETURN(engine, engine::open_rocksdb_engine(options.data_directory + "/engine", {}));
  replica::Options replica_options;
  replica_options.cluster = replica::cluster_id_of(options.cluster_token);
  replica_options.node = self;
  replica_options.founders = founders_of(options, self);
  replica_options.contacts = contacts_of(options);
  replica_options.election_timeout = options.election_timeout;
  replica_options.heartbeat_interval = options.heartbeat_interval;
  replica_options.request_timeout = options.request_timeout;
  replica_options.lease_ttl_min = options.lease_ttl_min;
  replica_options.quota_bytes = options.quota_bytes;
  replica_options.security.token_lifetime = options.token_ttl;
  replica_options.engine = engine.get();
  replica_options.log_inline_bytes_max_alone = log_inline_bytes_max_alone;
  replica_options.on_fatal = [this](const Status& why) {
    logger.error("halts", {{"why", why.to_string()}});
    std::_Exit(1);
  };
  LS_ASSIGN_OR_RETURN(replica, replica::Replica::open(platform->environment(), std::move(replica_options)));
  return {};
}

Status Node::Parts::open_front() {
  cluster = std::make_unique<ServerCluster>(*replica, *engine, platform->executor(),
                                            platform->executor().clock(), options);
  gateway::EtcdOptions etcd_options;
  etcd_options.election_timeout = options.election_timeout;
  etcd_options.lease_ttl_min = options.lease_ttl_min;
  env::Executor& executor = platform->executor();
  env::Clock& clock = platform->executor().clock();
  services = std::make_unique<gateway::EtcdServices>(*replica, replica->security(), *cluster, executor, clock,
                                                     platform->environment().random, etcd_options);
  rpc::ServerOptions rpc_options;
  rpc_options.connections_max = options.connections_max;
  rpc_server = std::make_unique<rpc::Server>(executor, clock, rpc_options);
  services->register_with(*rpc_server);
  gateway::HttpServerOptions http_options;
  http_options.connections_max = options.connections_max;
  http_options.host_names = options.http_hosts;
  http_server = std::make_unique<gateway::HttpServer>(executor, clock, http_options);
  rpc_server->set_plain(http_server->plain_handler(), http_options.limits.body_bytes_max);
  LS_RETURN_IF_ERROR(open_streams());
  LS_ASSIGN_OR_RETURN(callouts, open_callouts(options, platform->executor()));
  serve_http(executor, clock);
  listener = std::make_unique<gateway::Listener>(executor, clock, *rpc_server, *http_server);
  if (options.root_password_file.empty()) return listen();
  LS_ASSIGN_OR_RETURN(std::string password, read_password_file(options.root_password_file));
  root_account = std::make_unique<RootAccount>(*replica, executor, clock, std::move(password), [this] {
    if (const Status listening = listen(); !listening.ok()) {
      logger.error("does not serve", {{"why", listening.to_string()}});
      std::_Exit(1);
    }
  });
  return {};
}

Status Node::Parts::open_streams() {
  streams = std::make_shared<platform::TcpStreams>(platform->executor());
  if (options.tls_certificate.empty()) return {};
  platform::TlsOptions tls_options;
  tls_options.certificate_file = options.tls_certificate;
  tls_options.key_file = options.tls_key;
  tls_options.ca_file = options.tls_client_ca;
  LS_ASSIGN_OR_RETURN(tls, platform::TlsStreams::create(platform->executor(), platform->executor().clock(),
                                                        streams, tls_options));
  streams = tls;
  return {};
}

Status Node::Parts::listen() {
  LS_ASSIGN_OR_RETURN(client_port, listener->listen(*streams, options.listen));
  take_signals();  // before anybody is told that it serves, and may tell it to stop
  logger.info("serves", {{"name", options.name},
                         {"member", fmt::format("{:x}", self.value())},
                         {"clients", options.listen},
                         {"peers", options.peer_listen},
                         {"data", options.data_directory},
                         {"version", std::string(version)}});
  platform::notify_service_manager(fmt::format("READY=1\nSTATUS=serves clients on {}", options.listen));
  return {};
}

// Coordination for any language. The store is this member.
void Node::Parts::serve_v1(env::Executor& executor, env::Clock& clock) {
  env::Random& random = platform->environment().random;
  coordination =
      std::make_unique<gateway::v1::Coordination>(service::Context{*replica, executor, clock, random});
  coordination->callouts = callouts.get();
  coordination->services = options.services;
  gateway::v1::Options v1_options;
  v1_options.request_timeout = options.request_timeout;
  v1_options.admits = [this] {
    if (!cluster->is_learner()) return Status();
    return Status(Code::unavailable, "this member does not vote yet: ask another one");
  };
  v1 = std::make_unique<gateway::v1::V1>(replica->security(), executor, clock, random, v1_options);
  v1->add(coordination->routes());
  v1->set_idempotency(std::make_unique<gateway::v1::StoredAnswers>(coordination->context));
  v1->register_with(http_server->router());
}

// What HTTP serves: the same services as JSON, the pages for operators, and coordination.
void Node::Parts::serve_http(env::Executor& executor, env::Clock& clock) {
  json_gateway = std::make_unique<gateway::JsonGateway>(executor);
  services->register_with(*json_gateway);
  json_gateway->register_with(http_server->router());
  status_pages = std::make_unique<gateway::StatusPages>(*replica, *cluster, clock);
  status_pages->add_metrics([this](gateway::MetricsText& text) {
    write_metrics(sample(), &text);
    write_metrics(figures_of(transactions.get(), *callouts), &text);
    gateway::write_metrics(*rpc_server, &text);
    gateway::write_metrics(http_server->metrics(), &text);
  });
  status_pages->register_with(http_server->router());
  serve_v1(executor, clock);
}

MemberSample Node::Parts::sample() const {
  store::StateMachine& machine = replica->machine();
  MemberSample sample;
  sample.status = replica->status();
  sample.replica = replica->metrics();
  sample.log = replica->log_stats();
  sample.disk = platform->disk().metrics();
  sample.engine = engine->stats();
  sample.network = platform->network().metrics();
  sample.strand = platform->executor().metrics();
  sample.process = platform::read_process_metrics();
  sample.keys = machine.key_count();
  sample.leases = machine.lease_count();
  sample.history_memory_bytes = machine.history().memory_bytes();
  sample.compacted = machine.compacted_revision();
  sample.used_bytes = machine.bytes_in_use();
  sample.process_started = started_;
  return sample;
}

// What goes on by itself, in the cluster's own name; only now, for what it asks of a store that nobody runs
// would never be answered.
void Node::Parts::start_services() {
  timer_driver = std::make_unique<service::TimerDriver>(coordination->context, store::Principal::cluster());
  service::CallbackOptions sending;
  sending.principal = store::Principal::cluster();
  timer_callbacks = std::make_unique<service::TimerCallbacks>(coordination->context, *callouts, sending);
  const auto leads = [this] { return replica->raft().is_leader(); };
  transactions = std::make_unique<TransactionRunner>(
      coordination->context, *callouts, logger,
      TransactionRunner::Options{options.name, store::Principal::cluster(), leads});
  const Result<service::CompactionRule> rule =
      service::parse_compaction_rule(options.auto_compaction_mode, options.auto_compaction_retention);
  LS_MUST(rule.ok(), "the settings were checked");
  auto_compaction = std::make_unique<service::AutoCompaction>(coordination->context, *rule, leads,
                                                              store::Principal::cluster());
}

void Node::Parts::take_signals() {
  if (signals) return;
  signals.emplace(platform->executor(), std::array{SIGTERM, SIGINT, SIGHUP},
                  [this](int signal) { on_signal(signal); });
}

void Node::Parts::run() {
  take_signals();  // it may be long until it listens
  beat();
  start_services();
  platform->executor().schedule(platform->executor().clock().now() + start_up_time,
                                [] { platform::release_start_up_pages(); });
  platform->run();
}

void Node::Parts::beat() {
  const Duration interval = platform::watchdog_interval();
  if (interval == Duration::zero()) return;
  platform::notify_service_manager("WATCHDOG=1");
  platform->executor().schedule(platform->executor().clock().now() + interval, [this] { beat(); });
}

// Certificates, keys and CAs of both ports; connections from now on use them.
void Node::Parts::reload() {
  bool all_read = true;
  for (const Status& status : {platform->reload_peer_tls(), tls == nullptr ? Status() : tls->reload()}) {
    if (status.ok()) continue;
    all_read = false;
    logger.error("keeps the certificates it has", {{"why", status.to_string()}});
  }
  if (all_read) logger.info("certificates were read again");
}

void Node::Parts::on_signal(int signal) {
  if (signal == SIGHUP) return reload();
  if (std::exchange(stopping_, true)) {
    logger.warning("ends at once: second signal", {{"signal", std::to_string(signal)}});
    std::_Exit(1);
  }
  logger.info("stops", {{"signal", std::to_string(signal)}});
  platform::notify_service_manager("STOPPING=1");
  rpc_server->set_serving("", false);
  status_pages->set_serving(false);
  hand_over_then_drain(platform->executor().clock().now() + hand_over_timeout);
}

// Somebody else leads before this member goes: then nobody waits for an election.
void Node::Parts::hand_over_then_drain(TimePoint deadline) {
  const NodeId successor =
      best_successor(replica->raft(), platform->executor().clock().now() - options.election_timeout);
  if (successor == NodeId{}) return drain();
  store::CallOptions call;
  call.deadline = deadline;
  cluster->transfer_leadership(successor, call, [this](const Status& status) {
    if (!status.ok()) logger.warning("leadership was not handed over", {{"why", status.to_string()}});
    drain();
  });
}

void Node::Parts::drain() {
  listener->stop();
  services->stop_waiting();
  const TimePoint deadline = platform->executor().clock().now() + options.shutdown_timeout;
  const auto drained = [this, left = std::make_shared<int>(3)] {
    if (--*left == 0) end_when_idle(platform->executor().clock().now() + last_answers_timeout);
  };
  auto_compaction.reset();
  timer_callbacks.reset();
  timer_driver.reset();
  transactions.reset();
  v1->drain(deadline, drained);
  rpc_server->drain(deadline, drained);
  http_server->drain(deadline, drained);
}

// What the services said last, goodbyes of their sessions, is written first, if it can be. Who is refused
// gets the time to try once more, and to hear that there is nobody any more.
void Node::Parts::end_when_idle(TimePoint deadline) {
  const auto later = [this](Duration pause, auto closure) {
    platform->executor().schedule(platform->executor().clock().now() + pause, closure);
  };
  // Not at once: what was just answered may ask for more.
  later(idle_poll_interval, [this, deadline, later] {
    if (!replica->has_waiting()) return platform->stop();
    if (platform->executor().clock().now() < deadline) return end_when_idle(deadline);
    replica->refuse_waiting();
    later(refused_linger, [this] { platform->stop(); });
  });
}

Node::Node(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Node::~Node() = default;

Result<std::unique_ptr<Node>> Node::open(const ServerOptions& options, Logger& logger) {
  auto parts = std::make_unique<Parts>(options, logger);
  LS_RETURN_IF_ERROR(parts->open());
  return std::unique_ptr<Node>(new Node(std::move(parts)));
}

void Node::run() {
  parts_->run();
}

std::uint16_t Node::client_port() const {
  return parts_->client_port;
}

}  // namespace lockstep::server
