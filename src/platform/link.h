// The two halves of the conversation with a peer: the connection we dialled, on which we send, and the one we
// accepted, on which we receive. Internal to TcpNetwork.
//
// Lifetime: handlers of outstanding operations share ownership of their link; a closed link ignores them.
// After close() a link calls neither its owner nor its context, so that both may go.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "env/stream.h"
#include "platform/event_log.h"
#include "platform/executor.h"
#include "platform/frame.h"
#include "platform/frame_reader.h"
#include "platform/network.h"
#include "platform/send_queue.h"

namespace lockstep::platform {

// What the links of one network share.
struct LinkContext {
  AsioExecutor& executor;
  std::shared_ptr<env::Streams> streams;
  NetworkOptions options;
  Prng prng;
  EventLog log;
  NetworkMetrics metrics;

  [[nodiscard]] Hello hello_to(NodeId peer) const;
  // Counts and logs.
  void bad_input(BadInput reason, const std::string& remote_address);
  void log_event(std::string_view kind, const std::string& line);
};

class OutgoingLink;
class IncomingLink;

// What links tell the network. Called from I/O handlers and timers only.
class LinkOwner {
 public:
  virtual ~LinkOwner() = default;
  // The dialled connection is ready. / It, or the attempt to make it, failed; the link dials again by itself.
  virtual void on_dialled(NodeId peer) = 0;
  virtual void on_dialled_lost(NodeId peer) = 0;
  // Something to write arrived; flush() is wanted at the end of the turn.
  virtual void on_unflushed(OutgoingLink& link) = 0;
  // A good hello came. Anything but none refuses it.
  virtual BadInput admit(IncomingLink& link, const Hello& hello) = 0;
  virtual void on_message(NodeId from, SharedBytes message) = 0;
  // The link closed itself.
  virtual void on_accepted_lost(IncomingLink& link) = 0;
};

class OutgoingLink : public std::enable_shared_from_this<OutgoingLink> {
 public:
  OutgoingLink(LinkContext& context, LinkOwner& owner, NodeId peer, std::string address);

  void start() { dial(); }
  void close();
  void send(Pieces pieces);
  void flush();
  // The peer is known to be there: no need to wait any longer before dialling.
  void hurry();
  [[nodiscard]] bool established() const { return state_ == State::established; }
  [[nodiscard]] std::size_t queued_bytes() const { return queue_.bytes(); }

 private:
  enum class State : std::uint8_t { waiting, connecting, greeting, established, closed };
  void dial();
  void on_connected(std::error_code error, std::unique_ptr<env::Stream> stream);
  void write_hello();
  void read_more();
  void on_read(std::error_code error, std::size_t bytes);
  void on_welcome(const Frame& frame);
  void refuse(BadInput reason);
  void fail(const std::string& why);
  void disconnect();
  void wait_before_dialling();
  // Wraps a handler so that it is dropped once this connection is not the present one.
  template <class Handler>
  auto guarded(Handler handler);

  LinkContext& context_;
  LinkOwner& owner_;
  const NodeId peer_;
  const std::string address_;
  State state_ = State::waiting;
  std::uint64_t generation_ = 0;  // of the connection
  std::unique_ptr<env::Connecting> connecting_;
  std::unique_ptr<env::Stream> stream_;
  FrameReader reader_;
  SendQueue queue_;
  std::string hello_frame_;
  bool writing_ = false;
  bool unflushed_ = false;
  env::TimerId timer_;  // deadline of connecting and greeting, or the wait before dialling
  Duration wait_;
  TimePoint established_at_{};
};

class IncomingLink : public std::enable_shared_from_this<IncomingLink> {
 public:
  IncomingLink(LinkContext& context, LinkOwner& owner, std::unique_ptr<env::Stream> stream);

  void start();
  void close();
  // Closes, counts and logs; tells the owner.
  void refuse(BadInput reason);
  // What its certificate says, if there is one.
  [[nodiscard]] bool peer_is(const std::string& host) const { return stream_->peer_is(host); }
  // Zero before the hello was admitted.
  [[nodiscard]] NodeId peer() const { return peer_; }

 private:
  void read_more();
  void on_read(std::error_code error, std::size_t bytes);
  bool on_frame(const Frame& frame);
  bool on_hello(const Frame& frame);
  void write_welcome();
  void watch_for_stalls();
  void end();

  LinkContext& context_;
  LinkOwner& owner_;
  std::unique_ptr<env::Stream> stream_;
  FrameReader reader_;
  NodeId peer_;
  std::string welcome_frame_;
  bool closed_ = false;
  std::uint64_t frames_ = 0;
  std::uint64_t frames_at_last_look_ = 0;
  bool inside_frame_at_last_look_ = false;
  env::TimerId timer_;
};

}  // namespace lockstep::platform
