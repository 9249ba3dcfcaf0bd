#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "platform/link.h"

namespace lockstep::platform {
namespace {

// From dialling to the welcome.
constexpr Duration greeting_deadline = 2s;
// Waits double between these, each shortened by chance so that members do not dial in step.
constexpr Duration wait_min = 10ms;
constexpr Duration wait_max = 1s;
// A connection that lived shorter does not reset the wait: a peer that hangs up at once is not dialled in a
// loop.
constexpr Duration life_that_counts = 1s;

}  // namespace

Hello LinkContext::hello_to(NodeId peer) const {
  Hello hello;
  hello.cluster = options.cluster;
  hello.from = options.self;
  hello.to = peer;
  hello.incarnation = options.incarnation;
  return hello;
}

void LinkContext::bad_input(BadInput reason, const std::string& remote_address) {
  LS_MUST(reason != BadInput::none);
  ++metrics.bad_input[static_cast<std::size_t>(reason)];
  log_event(to_string(reason),
            "peer connection with " + remote_address + " closed: " + std::string(to_string(reason)));
}

void LinkContext::log_event(std::string_view kind, const std::string& line) {
  log.write(executor.clock().now(), kind, line);
}

OutgoingLink::OutgoingLink(LinkContext& context, LinkOwner& owner, NodeId peer, std::string address)
    : context_(context), owner_(owner), peer_(peer), address_(std::move(address)), wait_(wait_min) {}

template <class Handler>
auto OutgoingLink::guarded(Handler handler) {
  return [self = shared_from_this(), generation = generation_,
          handler = std::move(handler)](auto&&... arguments) {
    if (self->generation_ == generation) handler(*self, std::forward<decltype(arguments)>(arguments)...);
  };
}

void OutgoingLink::dial() {
  LS_MUST(state_ == State::waiting);
  LS_MUST(stream_ == nullptr);
  state_ = State::connecting;
  timer_ = context_.executor.schedule(context_.executor.clock().now() + greeting_deadline,
                                      guarded([](OutgoingLink& link) {
                                        link.timer_ = {};
                                        link.fail("no answer in time");
                                      }));
  connecting_ = context_.streams->connect(
      address_, guarded([](OutgoingLink& link, std::error_code error, std::unique_ptr<env::Stream> stream) {
        link.on_connected(error, std::move(stream));
      }));
}

void OutgoingLink::on_connected(std::error_code error, std::unique_ptr<env::Stream> stream) {
  LS_MUST(state_ == State::connecting);
  connecting_.reset();
  if (error) return fail(error.message());
  state_ = State::greeting;
  stream_ = std::move(stream);
  hello_frame_ = encode_frame(FrameKind::hello, encode_hello(context_.hello_to(peer_)));
  write_hello();
  read_more();
}

void OutgoingLink::write_hello() {
  const std::string_view rest = hello_frame_;
  stream_->async_write_some({&rest, 1},
                            guarded([](OutgoingLink& link, std::error_code error, std::size_t bytes) {
                              if (error) return link.fail(error.message());
                              link.hello_frame_.erase(0, bytes);
                              if (!link.hello_frame_.empty()) link.write_hello();
                            }));
}

void OutgoingLink::read_more() {
  stream_->async_read_some(reader_.space(), guarded([](OutgoingLink& link, std::error_code error,
                                                       std::size_t bytes) { link.on_read(error, bytes); }));
}

// The accepting side says welcome and nothing else; reading on notices the end of the connection.
void OutgoingLink::on_read(std::error_code error, std::size_t bytes) {
  if (error) return fail(error.message());
  std::vector<Frame> frames;
  const BadInput bad = reader_.commit(bytes, &frames);
  const std::uint64_t generation = generation_;
  for (const Frame& frame : frames) {
    if (state_ != State::greeting || frame.kind != FrameKind::welcome)
      return refuse(BadInput::unexpected_kind);
    on_welcome(frame);
    if (generation != generation_) return;
  }
  if (bad != BadInput::none) return refuse(bad);
  read_more();
}

void OutgoingLink::on_welcome(const Frame& frame) {
  if (!hello_frame_.empty()) return refuse(BadInput::unexpected_kind);  // an answer before the question
  Hello welcome;
  if (!decode_hello(frame.body.view(), &welcome)) return refuse(BadInput::hello_malformed);
  const BadInput bad = check_hello(welcome, context_.hello_to(peer_));
  if (bad != BadInput::none) return refuse(bad);
  if (welcome.from != peer_) return refuse(BadInput::misaddressed);
  state_ = State::established;
  context_.executor.cancel(std::exchange(timer_, {}));
  established_at_ = context_.executor.clock().now();
  ++context_.metrics.connections_made;
  owner_.on_dialled(peer_);
  flush();
}

void OutgoingLink::send(Pieces pieces) {
  if (state_ == State::waiting || state_ == State::closed) {
    ++context_.metrics.dropped_not_connected;
    return;
  }
  if (!queue_.push(std::move(pieces))) {
    ++context_.metrics.dropped_queue_full;
    return;
  }
  if (state_ == State::established && !writing_ && !std::exchange(unflushed_, true))
    owner_.on_unflushed(*this);
}

void OutgoingLink::flush() {
  unflushed_ = false;
  if (state_ != State::established || writing_) return;
  const std::vector<std::string_view>& views = queue_.to_write();
  if (views.empty()) return;
  writing_ = true;
  stream_->async_write_some(views, guarded([](OutgoingLink& link, std::error_code error, std::size_t bytes) {
                              if (error) return link.fail(error.message());
                              link.writing_ = false;
                              ++link.context_.metrics.writes;
                              link.context_.metrics.bytes_sent += bytes;
                              link.context_.metrics.messages_sent += link.queue_.written(bytes);
                              link.flush();
                            }));
}

void OutgoingLink::hurry() {
  if (state_ != State::waiting) return;
  context_.executor.cancel(std::exchange(timer_, {}));
  dial();
}

void OutgoingLink::refuse(BadInput reason) {
  context_.bad_input(reason, address_);
  fail(std::string(to_string(reason)));
}

void OutgoingLink::fail(const std::string& why) {
  LS_MUST(state_ != State::waiting);
  LS_MUST(state_ != State::closed);
  const bool was_established = established();
  const TimePoint now = context_.executor.clock().now();
  if (was_established) {
    ++context_.metrics.connections_lost;
    if (now - established_at_ >= life_that_counts) wait_ = wait_min;
  } else {
    ++context_.metrics.connects_failed;
  }
  context_.log_event(was_established ? "connection_lost" : "connect_failed",
                     std::string(was_established ? "lost" : "no") + " connection to member " +
                         std::to_string(peer_.value()) + " at " + address_ + ": " + why);
  disconnect();
  wait_before_dialling();
  owner_.on_dialled_lost(peer_);  // last: it may close this link
}

void OutgoingLink::disconnect() {
  ++generation_;
  context_.executor.cancel(std::exchange(timer_, {}));
  connecting_.reset();
  if (stream_ != nullptr) stream_->close();
  stream_.reset();
  reader_ = FrameReader();
  context_.metrics.dropped_not_connected += queue_.clear();
  writing_ = false;
  state_ = State::waiting;
}

void OutgoingLink::wait_before_dialling() {
  const auto half = static_cast<std::uint64_t>(wait_.count() / 2);
  const Duration wait(half + context_.prng.below(half + 1));
  wait_ = std::min(2 * wait_, wait_max);
  timer_ = context_.executor.schedule(context_.executor.clock().now() + wait, guarded([](OutgoingLink& link) {
                                        link.timer_ = {};
                                        link.dial();
                                      }));
}

void OutgoingLink::close() {
  if (state_ == State::closed) return;
  disconnect();
  state_ = State::closed;
}

}  // namespace lockstep::platform
