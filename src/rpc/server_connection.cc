#include "rpc/server_connection.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace lockstep::rpc {
namespace {

// An idle connection holds the least; one that fills its buffer gets the most.
constexpr std::size_t input_bytes_min = 4 * limits::kibibyte;
constexpr std::size_t input_bytes_max = 256 * limits::kibibyte;
// What is framed ahead of one write.
constexpr std::size_t output_bytes = 256 * limits::kibibyte;
constexpr std::size_t output_bytes_kept = 16 * limits::kibibyte;
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
      stream_(std::move(stream)),
      session_(shared, *this, clock.now(), stream_->remote_address(), stream_->peer_common_name()),
      input_(input_bytes_min),
      opened_(clock.now()),
      last_read_(opened_),
      last_progress_(opened_) {}

ServerConnection::~ServerConnection() {
  LS_MUST(closed_);
}

void ServerConnection::start(std::string_view already_read) {
  if (!already_read.empty()) session_.receive(already_read, opened_);
  if (closed_) return;
  on_output();
  read_more();
}

void ServerConnection::read_more() {
  stream_->async_read_some(input_, [self = shared_from_this()](std::error_code error, std::size_t bytes) {
    if (!self->closed_) self->on_read(error, bytes);
  });
}

void ServerConnection::on_read(std::error_code error, std::size_t bytes) {
  if (error) return close();
  ++shared_.metrics.reads;
  shared_.metrics.bytes_received += bytes;
  if (lingering_) return read_more();  // and do not care
  last_read_ = clock_.now();
  read_since_tick_ = true;
  session_.receive({input_.data(), bytes}, last_read_);
  if (closed_) return;
  on_output();
  if (bytes == input_.size() && input_.size() < input_bytes_max) input_.resize(input_bytes_max);
  read_more();
}

void ServerConnection::on_output() {
  if (closed_ || std::exchange(unflushed, true)) return;
  owner_->on_output(*this);
}

void ServerConnection::flush() {
  unflushed = false;
  if (closed_ || writing_ || lingering_) return;
  output_.clear();
  written_ = 0;
  session_.produce(output_, output_bytes);
  if (closed_) return;
  if (output_.empty()) return on_everything_written();
  writing_ = true;
  write_rest();
}

void ServerConnection::write_rest() {
  const std::string_view rest = std::string_view(output_).substr(written_);
  stream_->async_write_some({&rest, 1},
                            [self = shared_from_this()](std::error_code error, std::size_t bytes) {
                              if (!self->closed_) self->on_written(error, bytes);
                            });
}

void ServerConnection::on_written(std::error_code error, std::size_t bytes) {
  if (error) return close();
  ++shared_.metrics.writes;
  shared_.metrics.bytes_sent += bytes;
  bytes_written_ += bytes;
  written_ += bytes;
  if (written_ < output_.size()) return write_rest();
  writing_ = false;
  if (session_.wants_write()) return on_output();
  if (session_.finished()) on_everything_written();
}

void ServerConnection::on_everything_written() {
  if (!session_.finished()) return;
  lingering_ = true;
  last_progress_ = clock_.now();
  session_.close();
  stream_->end_writes();
}

void ServerConnection::close() {
  if (std::exchange(closed_, true)) return;
  executor_.cancel(std::exchange(deadline_timer_, {}));
  session_.close();
  stream_->close();
  std::exchange(owner_, nullptr)->on_closed(*this);
}

void ServerConnection::on_deadline(TimePoint deadline) {
  if (closed_ || deadline >= deadline_armed_) return;
  executor_.cancel(deadline_timer_);
  deadline_armed_ = deadline;
  deadline_timer_ = executor_.schedule(deadline, [self = shared_from_this()] { self->on_deadline_timer(); });
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
    return on_output();
  }
  check_keepalive(now);
  if (!closed_) check_stall(now);
  if (!closed_ && drain_ticks_ >= 0) drain_further();
  if (closed_) return;
  // The read under way owns the buffer; the next one gets a small one if this second brought nothing.
  if (!std::exchange(read_since_tick_, false) && !writing_ && output_.capacity() > output_bytes_kept)
    std::string().swap(output_);
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
  const std::uint64_t progress = session_.taken_bytes() + bytes_written_;
  if (progress != progress_ || (session_.unsent_bytes() == 0 && !writing_)) {
    progress_ = progress;
    last_progress_ = now;
    return;
  }
  if (now - last_progress_ < shared_.options.stall_timeout) return;
  shared_.count(BadCall::stalled_reader);
  if (writing_) return close();
  session_.terminate(Http2Error::enhance_your_calm, "nothing is read");
}

void ServerConnection::begin_drain() {
  if (closed_ || drain_ticks_ >= 0) return;
  drain_ticks_ = 0;
  session_.announce_shutdown();
}

void ServerConnection::drain_further() {
  if (++drain_ticks_ == announcement_ticks) session_.refuse_new_streams();
  if (session_.finished() && !writing_) on_everything_written();
}

}  // namespace lockstep::rpc
