#include "rpc/server_connection.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace lockstep::rpc {
namespace {

// For the other side to read our GOAWAY and close; closing at once could take it back.
constexpr Duration linger = 2s;
// Between the announcement of a shutdown and the refusal of new streams: a round trip, generously.
constexpr int announcement_ticks = 1;

}  // namespace

ServerConnection::ServerConnection(ConnectionOwner& owner, ServerShared& shared, env::Executor& executor,
                                   env::Clock& clock, std::unique_ptr<env::Stream> stream)
    : owner_(&owner),
      shared_(shared),
      executor_(executor),
      clock_(clock),
      pipe_(std::make_shared<Pipe>(*this, std::move(stream))),
      session_(shared, *this, clock.now(), pipe_->stream().remote_address(),
               pipe_->stream().peer_common_name()),
      opened_(clock.now()),
      last_read_(opened_),
      last_progress_(opened_) {}

ServerConnection::~ServerConnection() {
  LS_MUST(closed_);
}

void ServerConnection::start(std::string_view already_read) {
  if (!already_read.empty()) session_.receive(already_read, opened_);
  if (closed_) return;
  on_output(Output::control);
  pipe_->start();
}

void ServerConnection::on_bytes(std::string_view bytes) {
  ++shared_.metrics.reads;
  shared_.metrics.bytes_received += bytes.size();
  if (lingering_) return;
  last_read_ = clock_.now();
  session_.receive(bytes, last_read_);
  if (closed_) return;
  pipe_->set_reading(session_.wants_read());
  on_output(Output::control);
}

void ServerConnection::on_output(Output kind) {
  if (closed_) return;
  if (!std::exchange(unflushed, true)) owner_->on_output(*this);
  pipe_->on_output(kind);
}

void ServerConnection::on_written() {
  ++shared_.metrics.writes;
  shared_.metrics.bytes_sent += pipe_->written_bytes() - written_bytes_;
  written_bytes_ = pipe_->written_bytes();
  if (session_.wants_write() || session_.wants_work() || session_.finished()) on_output(Output::control);
}

void ServerConnection::on_nothing_to_write() {
  if (!session_.finished()) return;
  lingering_ = true;
  last_progress_ = clock_.now();
  session_.close();
  pipe_->end_writes();
}

void ServerConnection::close() {
  if (std::exchange(closed_, true)) return;
  executor_.cancel(std::exchange(deadline_timer_, {}));
  session_.close();
  pipe_->close();
  std::exchange(owner_, nullptr)->on_closed(*this);
}

void ServerConnection::on_deadline(TimePoint deadline) {
  if (closed_ || deadline >= deadline_armed_) return;
  executor_.cancel(deadline_timer_);
  deadline_armed_ = deadline;
  deadline_timer_ = executor_.schedule(deadline, [self = shared_from_this()] { self->on_deadline_timer(); });
}

void ServerConnection::work_off_soon() {
  executor_.post([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr || self->closed_) return;
    self->session_.work_off();
    if (self->closed_) return;
    self->pipe_->set_reading(self->session_.wants_read());
    self->on_output(Output::control);
  });
}

// Armed for the earliest call that ever was, not for the earliest that still runs: few timers, for one look
// now and then.
void ServerConnection::on_deadline_timer() {
  deadline_timer_ = {};
  deadline_armed_ = no_deadline;
  if (closed_) return;
  const TimePoint next = session_.expire(clock_.now());
  if (next != no_deadline) on_deadline(next);
}

void ServerConnection::on_tick(TimePoint now) {
  if (lingering_) {
    if (now - last_progress_ >= linger) close();
    return;
  }
  if (!session_.greeted() && now - opened_ >= shared_.options.handshake_timeout) {
    shared_.count(BadCall::handshake_timeout);
    session_.terminate(Http2Error::enhance_your_calm, "handshake timeout");
    last_progress_ = now;
    return on_output(Output::control);
  }
  check_keepalive(now);
  if (!closed_) check_stall(now);
  if (!closed_ && drain_ticks_ >= 0) drain_further();
  pipe_->trim();
}

void ServerConnection::check_keepalive(TimePoint now) {
  const ServerOptions& options = shared_.options;
  if (!session_.ping_unanswered()) {
    if (!session_.greeted() || now - last_read_ < options.keepalive_interval) return;
    pinged_ = now;
    return session_.ping();
  }
  if (last_read_ > pinged_) {
    pinged_ = last_read_;  // it lives, and will come to our ping
  } else if (now - pinged_ >= options.keepalive_timeout) {
    shared_.count(BadCall::keepalive_timeout);
    close();
  }
}

void ServerConnection::check_stall(TimePoint now) {
  const bool writing = pipe_->writing();
  const std::uint64_t progress = writing ? pipe_->written_bytes() : session_.taken_bytes();
  if (progress != progress_ || (session_.unsent_bytes() == 0 && !writing)) {
    progress_ = progress;
    last_progress_ = now;
    return;
  }
  if (now - last_progress_ < shared_.options.stall_timeout) return;
  shared_.count(BadCall::stalled_reader);
  if (writing) return close();
  session_.terminate(Http2Error::enhance_your_calm, "nothing is read");
}

void ServerConnection::begin_drain() {
  if (closed_ || drain_ticks_ >= 0) return;
  drain_ticks_ = 0;
  session_.announce_shutdown();
}

void ServerConnection::drain_further() {
  if (++drain_ticks_ == announcement_ticks) {
    session_.refuse_new_streams();
    session_.end_open_streams();
  }
  if (session_.finished()) on_output(Output::control);
}

}  // namespace lockstep::rpc
