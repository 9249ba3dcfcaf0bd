#include "gateway/http1/http_server.h"

#include <utility>

#include "base/assert.h"
#include "gateway/http1/http1_session.h"
#include "rpc/pipe.h"

namespace lockstep::gateway {
namespace {

constexpr Duration tick_interval = 1s;
// For the other side to read our last answer and close; closing at once could take it back.
constexpr Duration linger = 2s;

class Connection;

class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  virtual void on_output(Connection& connection) = 0;
  virtual void on_closed(Connection& connection) = 0;
};

class Connection final : public Http1Host,
                         public rpc::PipeUser,
                         public std::enable_shared_from_this<Connection> {
 public:
  Connection(ConnectionOwner& owner, HttpShared& shared, env::Executor& executor, env::Clock& clock,
             std::unique_ptr<env::Stream> stream)
      : owner_(&owner),
        shared_(shared),
        executor_(executor),
        clock_(clock),
        pipe_(std::make_shared<rpc::Pipe>(*this, std::move(stream))),
        session_(shared, *this, clock.now(), pipe_->stream().remote_address(),
                 pipe_->stream().peer_common_name()),
        last_progress_(clock.now()) {}

  void start(std::string_view already_read) {
    if (!already_read.empty()) session_.receive(already_read, clock_.now());
    if (!closed_) pipe_->start();
  }
  void flush() {
    unflushed = false;
    if (!lingering_) pipe_->flush();
  }
  void drain() { session_.drain(); }
  void close() {
    if (std::exchange(closed_, true)) return;
    session_.close();
    pipe_->close();
    std::exchange(owner_, nullptr)->on_closed(*this);
  }
  void on_tick(TimePoint now) {
    if (lingering_) {
      if (now - last_progress_ >= linger) close();
      return;
    }
    session_.on_tick(now);
    if (session_.deaf_too_long()) return close();
    pipe_->trim();
    if (pipe_->written_bytes() != progress_ || (!pipe_->writing() && session_.unsent_bytes() == 0)) {
      progress_ = pipe_->written_bytes();
      last_progress_ = now;
    } else if (now - last_progress_ >= shared_.options.stall_timeout) {
      ++shared_.metrics.stalled_readers;
      close();
    }
  }

  std::size_t slot = 0;
  bool unflushed = false;

 private:
  void on_output() override {
    if (closed_ || std::exchange(unflushed, true)) return;
    owner_->on_output(*this);
  }
  void advance_soon() override {
    executor_.post([weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self == nullptr || self->closed_) return;
      self->advance();
    });
  }
  void advance() {
    session_.advance();
    if (!closed_) pipe_->set_reading(session_.wants_read());
  }
  env::Executor& executor() override { return executor_; }

  void on_bytes(std::string_view bytes) override {
    shared_.metrics.bytes_received += bytes.size();
    if (lingering_) return;
    session_.receive(bytes, clock_.now());
    if (!closed_) pipe_->set_reading(session_.wants_read());
  }
  void produce(std::string& out, std::size_t bytes) override { session_.produce(out, bytes); }
  void on_held() override { on_output(); }
  void on_written() override {
    shared_.metrics.bytes_sent += pipe_->written_bytes() - counted_bytes_;
    counted_bytes_ = pipe_->written_bytes();
    if (!session_.advance_posted()) advance();
    if (closed_) return;
    if (session_.wants_write() || session_.finished()) on_output();
  }
  void on_nothing_to_write() override {
    if (!session_.finished()) return;
    lingering_ = true;
    last_progress_ = clock_.now();
    pipe_->end_writes();
    pipe_->set_reading(true);
  }
  void on_lost(std::error_code /*error*/) override { close(); }

  ConnectionOwner* owner_;
  HttpShared& shared_;
  env::Executor& executor_;
  env::Clock& clock_;
  std::shared_ptr<rpc::Pipe> pipe_;
  Http1Session session_;
  TimePoint last_progress_;
  std::uint64_t progress_ = 0;
  std::uint64_t counted_bytes_ = 0;
  bool lingering_ = false;
  bool closed_ = false;
};

}  // namespace

class HttpServer::Core final : public ConnectionOwner, public std::enable_shared_from_this<Core> {
 public:
  Core(env::Executor& executor, env::Clock& clock, const HttpServerOptions& options)
      : executor_(executor), clock_(clock) {
    shared_.options = options;
  }
  HttpShared& shared() { return shared_; }

  void accept(std::unique_ptr<env::Stream> stream, std::string_view already_read) {
    LS_MUST(stream != nullptr);
    if (closed_ || draining_ || connections_.size() >= shared_.options.connections_max) {
      ++shared_.metrics.connections_refused;
      stream->close();
      return;
    }
    ++shared_.metrics.connections_accepted;
    auto connection = std::make_shared<Connection>(*this, shared_, executor_, clock_, std::move(stream));
    connection->slot = connections_.size();
    connections_.push_back(connection);
    shared_.metrics.connections_open = connections_.size();
    connection->start(already_read);
    arm_tick();
  }

  void drain(TimePoint deadline, env::Closure done) {
    LS_MUST(!draining_, "drained once");
    draining_ = true;
    drained_ = std::move(done);
    for (const auto& connection : std::vector(connections_)) connection->drain();
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

  void on_output(Connection& connection) override {
    unflushed_.push_back(connection.shared_from_this());
    if (std::exchange(flush_at_turn_end_, true)) return;
    executor_.at_turn_end([weak = weak_from_this()] {
      const auto core = weak.lock();
      if (core == nullptr) return;
      core->flush_at_turn_end_ = false;
      for (const auto& unflushed : std::exchange(core->unflushed_, {})) unflushed->flush();
    });
  }

  void on_closed(Connection& connection) override {
    const std::size_t slot = connection.slot;
    LS_MUST(connections_[slot].get() == &connection);
    // It may be on the stack.
    executor_.post([kept = std::move(connections_[slot])]() mutable { kept.reset(); });
    if (slot + 1 != connections_.size()) {
      connections_[slot] = std::move(connections_.back());
      connections_[slot]->slot = slot;
    }
    connections_.pop_back();
    shared_.metrics.connections_open = connections_.size();
    check_drained();
  }

 private:
  void arm_tick() {
    if (tick_ != env::TimerId() || connections_.empty()) return;
    tick_ = executor_.schedule(clock_.now() + tick_interval, [weak = weak_from_this()] {
      const auto core = weak.lock();
      if (core == nullptr) return;
      core->tick_ = {};
      const TimePoint now = core->clock_.now();
      for (std::size_t i = core->connections_.size(); i-- > 0;) {
        if (i < core->connections_.size()) core->connections_[i]->on_tick(now);
      }
      core->arm_tick();
    });
  }
  void check_drained() {
    if (!draining_ || !connections_.empty() || !drained_) return;
    executor_.cancel(std::exchange(drain_timer_, {}));
    executor_.post(std::exchange(drained_, nullptr));
  }

  env::Executor& executor_;
  env::Clock& clock_;
  HttpShared shared_;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> unflushed_;
  env::TimerId tick_;
  env::TimerId drain_timer_;
  env::Closure drained_;
  bool flush_at_turn_end_ = false;
  bool draining_ = false;
  bool closed_ = false;
};

HttpServer::HttpServer(env::Executor& executor, env::Clock& clock, const HttpServerOptions& options)
    : core_(std::make_shared<Core>(executor, clock, options)) {}

HttpServer::~HttpServer() {
  core_->close();
}

HttpRouter& HttpServer::router() {
  return core_->shared().router;
}

rpc::PlainHandler HttpServer::plain_handler() const {
  return [weak = std::weak_ptr(core_)](const std::shared_ptr<rpc::PlainAnswer>& answer,
                                       rpc::PlainRequest& request) {
    const std::shared_ptr<Core> core = weak.lock();
    if (core == nullptr) return answer->begin(503, {}, false);
    serve_http2(core->shared(), answer, request);
  };
}

void HttpServer::accept(std::unique_ptr<env::Stream> stream, std::string_view already_read) {
  core_->accept(std::move(stream), already_read);
}

void HttpServer::drain(TimePoint deadline, env::Closure done) {
  core_->drain(deadline, std::move(done));
}

void HttpServer::close() {
  core_->close();
}

const HttpMetrics& HttpServer::metrics() const {
  return core_->shared().metrics;
}

}  // namespace lockstep::gateway
