#include "rpc/server.h"

#include <utility>
#include <vector>

#include "base/assert.h"
#include "rpc/health.h"
#include "rpc/server_connection.h"

namespace lockstep::rpc {
namespace {

constexpr Duration tick_interval = 1s;

}  // namespace

class Server::Core final : public ConnectionOwner, public std::enable_shared_from_this<Core> {
 public:
  Core(env::Executor& executor, env::Clock& clock, const ServerOptions& options)
      : executor_(executor), clock_(clock) {
    shared_.options = options;
    shared_.clock = &clock;
  }

  ServerShared& shared() { return shared_; }
  [[nodiscard]] const ServerShared& shared() const { return shared_; }
  HealthService& health() { return *health_; }
  void serve_health(ServiceRegistry& registry) { HealthService::register_with(health_, registry); }

  void accept(std::unique_ptr<env::Stream> stream, std::string_view already_read) {
    LS_MUST(stream != nullptr);
    if (closed_ || draining_ || connections_.size() >= shared_.options.connections_max) {
      ++shared_.metrics.connections_refused;
      stream->close();
      return;
    }
    ++shared_.metrics.connections_accepted;
    shared_.metrics.connections_open = connections_.size() + 1;
    auto connection =
        std::make_shared<ServerConnection>(*this, shared_, executor_, clock_, std::move(stream));
    connection->slot = connections_.size();
    connections_.push_back(connection);
    connection->start(already_read);
    arm_tick();
  }

  void drain(TimePoint deadline, env::Closure done) {
    LS_MUST(!draining_, "drained once");
    draining_ = true;
    drained_ = std::move(done);
    health_->set_shutting_down();
    for (const auto& connection : std::vector(connections_)) connection->begin_drain();
    drain_timer_ = executor_.schedule(deadline, [weak = weak_from_this()] {
      const auto core = weak.lock();
      if (core == nullptr) return;
      core->drain_timer_ = {};
      core->close();
    });
    check_drained();
  }

  void close() {
    closed_ = true;
    for (const auto& connection : std::vector(connections_)) connection->close();
    LS_MUST(connections_.empty());
    executor_.cancel(std::exchange(tick_, {}));
    check_drained();
  }

  void on_output(ServerConnection& connection) override {
    unflushed_.push_back(connection.shared_from_this());
    if (std::exchange(flush_at_turn_end_, true)) return;
    executor_.at_turn_end([weak = weak_from_this()] {
      if (const auto core = weak.lock()) core->flush();
    });
  }

  void on_closed(ServerConnection& connection) override {
    const std::size_t slot = connection.slot;
    LS_MUST(connections_[slot].get() == &connection);
    leaving_.push_back(std::move(connections_[slot]));  // it may be on the stack
    if (leaving_.size() == 1)
      executor_.post([weak = weak_from_this()] {
        if (const auto core = weak.lock()) core->leaving_.clear();
      });
    if (slot + 1 != connections_.size()) {
      connections_[slot] = std::move(connections_.back());
      connections_[slot]->slot = slot;
    }
    connections_.pop_back();
    shared_.metrics.connections_open = connections_.size();
    check_drained();
  }

 private:
  void flush() {
    flush_at_turn_end_ = false;
    flushing_.swap(unflushed_);
    for (const auto& connection : flushing_) connection->flush();
    flushing_.clear();
  }

  void arm_tick() {
    if (tick_ != env::TimerId() || connections_.empty()) return;
    tick_ = executor_.schedule(clock_.now() + tick_interval, [weak = weak_from_this()] {
      if (const auto core = weak.lock()) core->on_tick();
    });
  }

  void on_tick() {
    tick_ = {};
    const TimePoint now = clock_.now();
    // From the back: one that closes is replaced by one that was looked at.
    for (std::size_t i = connections_.size(); i-- > 0;) {
      if (i < connections_.size()) connections_[i]->on_tick(now);
    }
    arm_tick();
  }

  void check_drained() {
    if (!draining_ || !connections_.empty() || !drained_) return;
    executor_.cancel(std::exchange(drain_timer_, {}));
    executor_.post(std::exchange(drained_, nullptr));
  }

  env::Executor& executor_;
  env::Clock& clock_;
  ServerShared shared_;
  std::shared_ptr<HealthService> health_ = std::make_shared<HealthService>();
  std::vector<std::shared_ptr<ServerConnection>> connections_;
  std::vector<std::shared_ptr<ServerConnection>> unflushed_;
  std::vector<std::shared_ptr<ServerConnection>> flushing_;  // swapped, to keep both capacities
  std::vector<std::shared_ptr<ServerConnection>> leaving_;
  env::TimerId tick_;
  env::TimerId drain_timer_;
  env::Closure drained_;
  bool flush_at_turn_end_ = false;
  bool draining_ = false;
  bool closed_ = false;
};

Server::Server(env::Executor& executor, env::Clock& clock, const ServerOptions& options)
    : core_(std::make_shared<Core>(executor, clock, options)) {
  core_->serve_health(*this);
}

Server::~Server() {
  core_->close();
}

void Server::unary(std::string_view path, UnaryHandler handler) {
  LS_MUST(handler != nullptr);
  core_->shared().table->add(path).unary = std::move(handler);
}

void Server::streaming(std::string_view path, StreamHandlerFactory factory) {
  LS_MUST(factory != nullptr);
  core_->shared().table->add(path).streaming = std::move(factory);
}

void Server::set_plain(PlainHandler handler, std::size_t body_bytes_max) {
  LS_MUST(handler != nullptr);
  core_->shared().plain = std::move(handler);
  core_->shared().plain_body_bytes_max = body_bytes_max;
}

void Server::accept(std::unique_ptr<env::Stream> stream, std::string_view already_read) {
  core_->accept(std::move(stream), already_read);
}

void Server::set_serving(std::string_view service, bool serving) {
  core_->health().set_serving(service, serving);
}

void Server::drain(TimePoint deadline, env::Closure done) {
  core_->drain(deadline, std::move(done));
}

void Server::close() {
  core_->close();
}

const ServerMetrics& Server::metrics() const {
  return core_->shared().metrics;
}

void Server::for_each_method(
    const std::function<void(std::string_view path, const MethodMetrics&)>& visit) const {
  for (const auto& [path, method] : core_->shared().table->methods()) visit(path, method->metrics);
}

}  // namespace lockstep::rpc
