#include <utility>

#include "base/assert.h"
#include "platform/link.h"

namespace lockstep::platform {

IncomingLink::IncomingLink(LinkContext& context, LinkOwner& owner, std::unique_ptr<env::Stream> stream)
    : context_(context), owner_(owner), stream_(std::move(stream)) {
  LS_MUST(stream_ != nullptr);
}

void IncomingLink::start() {
  timer_ = context_.executor.schedule(context_.executor.clock().now() + context_.options.hello_deadline,
                                      [self = shared_from_this()] {
                                        self->timer_ = {};
                                        self->refuse(BadInput::too_slow);
                                      });
  read_more();
}

void IncomingLink::close() {
  if (std::exchange(closed_, true)) return;
  context_.executor.cancel(std::exchange(timer_, {}));
  stream_->close();
}

// Closing is all an outsider gets to see; what was wrong stands in our log.
void IncomingLink::refuse(BadInput reason) {
  if (closed_) return;
  context_.bad_input(reason, stream_->remote_address());
  end();
}

void IncomingLink::end() {
  close();
  owner_.on_accepted_lost(*this);
}

void IncomingLink::read_more() {
  stream_->async_read_some(reader_.space(),
                           [self = shared_from_this()](std::error_code error, std::size_t bytes) {
                             if (!self->closed_) self->on_read(error, bytes);
                           });
}

void IncomingLink::on_read(std::error_code error, std::size_t bytes) {
  if (error) {
    if (reader_.inside_frame()) return refuse(BadInput::truncated);
    return end();
  }
  ++context_.metrics.reads;
  context_.metrics.bytes_received += bytes;
  std::vector<Frame> frames;
  const BadInput bad = reader_.commit(bytes, &frames);
  for (const Frame& frame : frames) {
    if (!on_frame(frame) || closed_) return;
  }
  if (bad != BadInput::none) return refuse(bad);
  read_more();
}

// False: the link closed itself.
bool IncomingLink::on_frame(const Frame& frame) {
  ++frames_;
  if (peer_ == NodeId()) return on_hello(frame);
  if (frame.kind != FrameKind::message) {
    refuse(BadInput::unexpected_kind);
    return false;
  }
  ++context_.metrics.messages_received;
  owner_.on_message(peer_, frame.body);
  return true;
}

bool IncomingLink::on_hello(const Frame& frame) {
  const auto judge = [&](Hello* hello) {
    if (frame.kind != FrameKind::hello) return BadInput::unexpected_kind;
    if (!decode_hello(frame.body.view(), hello)) return BadInput::hello_malformed;
    const BadInput bad = check_hello(*hello, context_.hello_to(hello->from));
    return bad == BadInput::none ? owner_.admit(*this, *hello) : bad;
  };
  Hello hello;
  const BadInput bad = judge(&hello);
  if (bad != BadInput::none) {
    refuse(bad);
    return false;
  }
  peer_ = hello.from;
  ++context_.metrics.peers_admitted;
  reader_.admit();
  context_.executor.cancel(std::exchange(timer_, {}));
  watch_for_stalls();
  welcome_frame_ = encode_frame(FrameKind::welcome, encode_hello(context_.hello_to(peer_)));
  write_welcome();
  return true;
}

void IncomingLink::write_welcome() {
  const std::string_view rest = welcome_frame_;
  stream_->async_write_some({&rest, 1},
                            [self = shared_from_this()](std::error_code error, std::size_t bytes) {
                              if (self->closed_) return;
                              if (error) return self->end();
                              self->welcome_frame_.erase(0, bytes);
                              if (!self->welcome_frame_.empty()) self->write_welcome();
                            });
}

void IncomingLink::watch_for_stalls() {
  frames_at_last_look_ = frames_;
  inside_frame_at_last_look_ = reader_.inside_frame();
  timer_ = context_.executor.schedule(
      context_.executor.clock().now() + context_.options.stall_interval, [self = shared_from_this()] {
        self->timer_ = {};
        const bool stalled = self->inside_frame_at_last_look_ && self->reader_.inside_frame() &&
                             self->frames_ == self->frames_at_last_look_;
        if (stalled) return self->refuse(BadInput::too_slow);
        self->watch_for_stalls();
      });
}

}  // namespace lockstep::platform
