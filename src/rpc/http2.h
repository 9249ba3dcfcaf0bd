// One end of an HTTP/2 connection as a pure machine: bytes in, bytes out, events. No I/O, no clock.
//
// Wraps nghttp2, which owns frames, header compression, flow control and the rules of RFC 9113; what it
// leaves to its user (floods, concurrency, limits of headers) is decided by the owner through Http2Events.
//
// Invariants: 1. events come only out of receive() and produce(), and none after the owner's on_closed() for
// that stream; 2. output is produced by one caller into one buffer, so that a turn's frames leave together;
// 3. a fatal error of the peer still ends with a GOAWAY that names it; 4. bodies are not copied before they
// are framed. Strand only. The owner outlives the session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "rpc/http2_error.h"

namespace lockstep::rpc {

struct Http2Header {
  std::string_view name;
  std::string_view value;
  bool lasts = false;  // both outlive the session: they are not copied
};

// The owner's record of a stream derives from this.
struct Http2Stream {
  std::int32_t id = 0;
  // What is to be sent as DATA. The owner appends and calls body_changed(); the session takes from the front.
  std::string body;
  std::size_t body_taken = 0;  // of `body`, from its front
  bool body_ends = false;      // nothing will be appended any more
  bool body_waits = false;     // the session found nothing to take (its own mark)

  [[nodiscard]] std::size_t body_left() const { return body.size() - body_taken; }
};

// What the other side may do for free and in any number, unless somebody counts.
enum class Http2Cheap : std::uint8_t { ping, settings, reset, empty_data, priority };

// Methods that belong to one role only have an empty default.
class Http2Events {
 public:
  virtual ~Http2Events() = default;
  // Server: a request begins. Null refuses it (REFUSED_STREAM); otherwise it lives until on_closed().
  virtual Http2Stream* on_request(std::int32_t /*id*/) { return nullptr; }
  // One header field (pseudo-headers included) of the request, response or trailers. False resets the stream.
  virtual bool on_header(Http2Stream& stream, std::string_view name, std::string_view value) = 0;
  virtual void on_headers_end(Http2Stream& stream) = 0;
  virtual void on_data(Http2Stream& stream, std::string_view bytes) = 0;
  // The other side will send no more on this stream.
  virtual void on_end(Http2Stream& stream) = 0;
  // The last call for this stream.
  virtual void on_closed(Http2Stream& stream, Http2Error error) = 0;
  // So many bytes of the body were framed.
  virtual void on_body_taken(Http2Stream& /*stream*/, std::size_t /*bytes*/) {}
  // The body was framed to its end. True: the owner submitted trailers, which end the stream.
  virtual bool on_body_end(Http2Stream& /*stream*/) { return false; }
  // Client: the request's headers were framed. / They never will be; on_closed() follows or not.
  virtual void on_request_sent(Http2Stream& /*stream*/) {}
  virtual void on_request_not_sent(std::int32_t /*id*/) {}
  // The stream is the one reset, if it is known.
  virtual void on_cheap_frame(Http2Cheap /*kind*/, Http2Stream* /*stream*/) {}
  virtual void on_ping_ack() {}
  virtual void on_goaway(std::int32_t /*last_id*/, Http2Error /*error*/, std::string_view /*text*/) {}
  virtual void on_reset_sent(Http2Error /*error*/) {}
  virtual void on_goaway_sent(Http2Error /*error*/) {}
};

struct Http2Options {
  bool server = true;
  bool manual_windows = false;
  // Advertised; the owner enforces it in on_request().
  std::uint32_t concurrent_streams_max = 1000;
  std::uint32_t stream_window_bytes = 1024 * 1024;
  std::uint32_t connection_window_bytes = 8 * 1024 * 1024;
  std::uint32_t header_list_bytes_max = 16 * 1024;  // advertised; the owner enforces it in on_header()
};

class Http2Session {
 public:
  Http2Session(const Http2Options& options, Http2Events& events);
  ~Http2Session();
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  // Never call from within an event.
  void receive(std::string_view bytes);
  // Appends frames to `out` until it holds `bytes` or more or nothing is left. Never call from within an
  // event.
  void produce(std::string& out, std::size_t bytes);
  // produce() would append something (flow control permitting).
  [[nodiscard]] bool wants_write() const;
  // No call of receive() or produce() is on the stack.
  [[nodiscard]] bool at_rest() const;
  // Nothing more will be read or written: write out what was produced, then close.
  [[nodiscard]] bool finished() const;

  // Server. False if the stream is gone. With `has_body` the stream's body follows.
  bool submit_response(Http2Stream& stream, std::span<const Http2Header> headers, bool has_body);
  // From within on_body_end() only.
  bool submit_trailers(Http2Stream& stream, std::span<const Http2Header> trailers);
  // Client. Sets the stream's id; zero when it cannot be sent any more.
  void submit_request(Http2Stream& stream, std::span<const Http2Header> headers, bool has_body);
  // The body grew or now ends.
  void body_changed(Http2Stream& stream);
  void reset(Http2Stream& stream, Http2Error error);
  // With manual windows: so many bytes of DATA need not be held against the client's connection, and its
  // stream. Without them, both reopen by themselves.
  void consume_connection(std::size_t bytes);
  void consume_stream(const Http2Stream& stream, std::size_t bytes);

  void ping();
  // Server: announces that new streams will not be served soon (RFC 9113, section 6.8).
  void announce_shutdown();
  // Streams above the last one seen will not be served.
  void refuse_new_streams();
  // GOAWAY with a reason; what arrives afterwards is ignored.
  void terminate(Http2Error error, std::string_view text);

  // Of requests that were seen (server).
  [[nodiscard]] std::int32_t last_stream_id() const;
  // Client: what the server allows at once.
  [[nodiscard]] std::uint32_t peer_concurrent_streams_max() const;
  // Frames that wait for being produced.
  [[nodiscard]] std::size_t queued_frames() const;

  struct Impl;  // of http2.cc only

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep::rpc
