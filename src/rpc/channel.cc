#include "rpc/channel.h"

#include <utility>

#include "base/assert.h"
#include "rpc/client_session.h"
#include "rpc/pipe.h"

namespace lockstep::rpc {

class Channel::Core final : public SessionHost,
                            public PipeUser,
                            public std::enable_shared_from_this<Channel::Core> {
 public:
  Core(env::Executor& executor, env::Clock& clock, const ChannelOptions& options,
       const std::string& authority, OnState on_state)
      : executor_(executor),
        clock_(clock),
        options_(options),
        on_state_(std::move(on_state)),
        session_(*this, options_, options.authority.empty() ? authority : options.authority) {}
  ~Core() override { LS_MUST(state_ == ChannelState::closed); }

  void connect(env::Streams& streams, const std::string& address) {
    connect_timer_ = executor_.schedule(clock_.now() + options_.connect_timeout, guarded([](Core& core) {
                                          core.connect_timer_ = {};
                                          core.lose("no connection in time");
                                        }));
    connecting_ = streams.connect(
        address, [weak = weak_from_this()](std::error_code error, std::unique_ptr<env::Stream> stream) {
          const auto core = weak.lock();
          if (core == nullptr || core->state_ != ChannelState::connecting) return;
          core->on_connected(error, std::move(stream));
        });
  }
  void start(std::unique_ptr<env::Stream> stream) {
    last_read_ = clock_.now();
    pipe_ = std::make_shared<Pipe>(*this, std::move(stream));
    executor_.post(guarded([](Core& core) {
      if (core.state_ != ChannelState::connecting) return;
      core.pipe_->start();
      core.on_output(Output::control);
      core.set_state(ChannelState::ready, "connected");
    }));
  }

  CallId begin(std::string_view path, std::span<const MetadataField> metadata, TimePoint deadline,
               std::string_view message, bool half_close, CallDone done,
               std::unique_ptr<ClientStreamHandler> handler) {
    if (state_ == ChannelState::closed) {
      fail_later(std::move(done), std::move(handler));
      return {};
    }
    const CallId id = session_.begin(path, metadata, clock_.now(), deadline, message, half_close,
                                     std::move(done), std::move(handler));
    arm_tick();
    return id;
  }
  ClientSession& session() { return session_; }
  [[nodiscard]] ChannelState state() const { return state_; }
  [[nodiscard]] bool closed() const { return state_ == ChannelState::closed; }

  // Every call gets its result.
  void close(std::string_view why) {
    const auto kept = shared_from_this();
    if (!release()) return;
    session_.fail_all({GrpcCode::unavailable, std::string(why)});
    tell(why);
  }
  // Nobody wants to hear anything any more.
  void abandon() {
    abandoned_ = true;
    on_state_ = nullptr;
    release();
    session_.drop_all();
  }

 private:
  template <class Handler>
  env::Closure guarded(Handler handler) {
    return [weak = weak_from_this(), handler = std::move(handler)] {
      const auto core = weak.lock();
      if (core != nullptr && !core->closed()) handler(*core);
    };
  }

  void on_connected(std::error_code error, std::unique_ptr<env::Stream> stream) {
    executor_.cancel(std::exchange(connect_timer_, {}));
    connecting_.reset();
    if (error) return lose("cannot connect: " + error.message());
    last_read_ = clock_.now();
    pipe_ = std::make_shared<Pipe>(*this, std::move(stream));
    pipe_->start();
    on_output(Output::control);
    set_state(ChannelState::ready, "connected");
  }

  void set_state(ChannelState state, std::string_view why) {
    state_ = state;
    tell(why);
  }
  void tell(std::string_view why) {
    if (!on_state_) return;
    // It may destroy the channel, and with it the function.
    OnState on_state = std::exchange(on_state_, nullptr);
    on_state(state_, why);
    if (!abandoned_) on_state_ = std::move(on_state);
  }

  // False: it was closed before.
  bool release() {
    if (state_ == ChannelState::closed) return false;
    state_ = ChannelState::closed;
    connecting_.reset();
    if (pipe_ != nullptr) pipe_->close();
    for (env::TimerId* timer : {&connect_timer_, &tick_, &deadline_timer_})
      executor_.cancel(std::exchange(*timer, {}));
    return true;
  }
  void lose(const std::string& why) { close("connection lost: " + why); }

  void fail_later(CallDone done, std::unique_ptr<ClientStreamHandler> handler) {
    executor_.post([weak = weak_from_this(), done = std::move(done), handler = std::move(handler)]() mutable {
      if (weak.expired()) return;
      CallResult result;
      result.status = {GrpcCode::unavailable, "the channel is closed"};
      result.not_processed = true;
      if (done) done(result);
      if (handler != nullptr) handler->on_end(result);
    });
  }

  // SessionHost
  void on_output(Output kind) override {
    if (closed() || pipe_ == nullptr) return;
    if (!std::exchange(unflushed_, true)) {
      executor_.at_turn_end(guarded([](Core& core) {
        core.unflushed_ = false;
        core.pipe_->flush();
      }));
    }
    if (!options_.one_of_many) pipe_->on_output(kind);
  }
  void on_deadline(TimePoint deadline) override {
    if (closed() || deadline >= deadline_armed_) return;
    executor_.cancel(deadline_timer_);
    deadline_armed_ = deadline;
    deadline_timer_ = executor_.schedule(deadline, guarded([](Core& core) {
                                           core.deadline_timer_ = {};
                                           core.deadline_armed_ = no_deadline;
                                           const TimePoint next = core.session_.expire(core.clock_.now());
                                           if (next != no_deadline) core.on_deadline(next);
                                         }));
  }
  env::Executor& executor() override { return executor_; }
  void work_off_soon() override {
    executor_.post(guarded([](Core& core) { core.session_.work_off(); }));
  }

  // PipeUser
  void on_bytes(std::string_view bytes) override {
    const auto kept = shared_from_this();
    last_read_ = clock_.now();
    session_.receive(bytes);
    if (closed()) return;
    if (session_.going_away() && state_ == ChannelState::ready)
      set_state(ChannelState::draining, session_.why_going_away());
    if (closed()) return;
    if (session_.finished())
      return lose(session_.going_away() ? session_.why_going_away() : "protocol error");
    if (session_.wants_write()) on_output(Output::control);
  }
  void produce(std::string& out, std::size_t bytes) override {
    const auto kept = shared_from_this();
    session_.produce(out, bytes);
  }
  bool produce_early(std::string& out, std::size_t bytes) override {
    return session_.produce_early(out, bytes);
  }
  void on_held() override { on_output(Output::control); }
  void on_written() override {
    if (session_.wants_write() || session_.wants_work()) on_output(Output::control);
  }
  void on_nothing_to_write() override {
    if (session_.finished()) lose("finished");
  }
  void on_lost(std::error_code error) override {
    const auto kept = shared_from_this();
    lose(session_.going_away() ? session_.why_going_away() : error.message());
  }

  void arm_tick() {
    if (tick_ != env::TimerId() || session_.calls() == 0) return;
    tick_ = executor_.schedule(clock_.now() + options_.keepalive_interval / 4, guarded([](Core& core) {
                                 core.tick_ = {};
                                 core.on_tick();
                               }));
  }
  void on_tick() {
    if (pipe_ == nullptr) return arm_tick();
    pipe_->trim();
    const TimePoint now = clock_.now();
    if (!session_.ping_unanswered()) {
      if (now - last_read_ >= options_.keepalive_interval) {
        pinged_ = now;
        session_.ping();
      }
    } else if (last_read_ > pinged_) {
      pinged_ = last_read_;
    } else if (now - pinged_ >= options_.keepalive_timeout) {
      return lose("the server does not answer");
    }
    arm_tick();
  }

  env::Executor& executor_;
  env::Clock& clock_;
  ChannelOptions options_;
  OnState on_state_;
  ChannelState state_ = ChannelState::connecting;
  bool abandoned_ = false;
  bool unflushed_ = false;
  std::unique_ptr<env::Connecting> connecting_;
  std::shared_ptr<Pipe> pipe_;
  env::TimerId connect_timer_;
  env::TimerId tick_;
  env::TimerId deadline_timer_;
  TimePoint deadline_armed_ = no_deadline;
  TimePoint last_read_{};
  TimePoint pinged_{};
  ClientSession session_;
};

namespace {

// The face of one call; knows its channel only as long as that lives.
template <class Core>
class StreamFace final : public ClientStream {
 public:
  StreamFace(std::weak_ptr<Core> core, CallId id) : core_(std::move(core)), id_(id) {}

  void send(std::string_view message) override {
    with([&](Core& core, ClientCall& call) { core.session().send(call, message); });
  }
  void half_close() override {
    with([&](Core& core, ClientCall& call) { core.session().half_close(call); });
  }
  [[nodiscard]] std::size_t unsent_bytes() const override {
    std::size_t bytes = 0;
    with([&](Core& /*core*/, ClientCall& call) { bytes = call.body_left(); });
    return bytes;
  }
  void set_reading(bool reading) override {
    with([&](Core& core, ClientCall& call) { core.session().set_reading(call, reading); });
  }
  void cancel() override {
    with([&](Core& core, ClientCall& /*call*/) { core.session().cancel(id_); });
  }
  [[nodiscard]] bool ended() const override {
    bool ended = true;
    with([&](Core& /*core*/, ClientCall& /*call*/) { ended = false; });
    return ended;
  }

 private:
  template <class Use>
  void with(Use use) const {
    const std::shared_ptr<Core> core = core_.lock();
    if (core == nullptr || core->closed()) return;
    if (ClientCall* call = core->session().find(id_)) use(*core, *call);
  }

  std::weak_ptr<Core> core_;
  CallId id_;
};

}  // namespace

Channel::Channel(env::Executor& executor, env::Clock& clock, env::Streams& streams,
                 const std::string& address, const ChannelOptions& options, OnState on_state)
    : core_(std::make_shared<Core>(executor, clock, options, address, std::move(on_state))) {
  core_->connect(streams, address);
}

Channel::Channel(env::Executor& executor, env::Clock& clock, std::unique_ptr<env::Stream> stream,
                 const ChannelOptions& options, OnState on_state)
    : core_(std::make_shared<Core>(executor, clock, options, stream->remote_address(), std::move(on_state))) {
  core_->start(std::move(stream));
}

Channel::~Channel() {
  core_->abandon();
}

CallId Channel::unary(std::string_view path, std::string_view message,
                      std::span<const MetadataField> metadata, TimePoint deadline, CallDone done) {
  LS_MUST(done != nullptr);
  return core_->begin(path, metadata, deadline, message, true, std::move(done), nullptr);
}

std::shared_ptr<ClientStream> Channel::stream(std::string_view path, std::span<const MetadataField> metadata,
                                              TimePoint deadline,
                                              std::unique_ptr<ClientStreamHandler> handler) {
  LS_MUST(handler != nullptr);
  const CallId id = core_->begin(path, metadata, deadline, {}, false, nullptr, std::move(handler));
  return std::make_shared<StreamFace<Core>>(core_, id);
}

void Channel::cancel(CallId call) {
  if (!core_->closed()) core_->session().cancel(call);
}

ChannelState Channel::state() const {
  return core_->state();
}

std::size_t Channel::calls() const {
  return core_->session().calls();
}

void Channel::close() {
  core_->close("closed by its owner");
}

}  // namespace lockstep::rpc
