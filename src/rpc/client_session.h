// The client's HTTP/2 session with its calls, as a pure machine: bytes in, bytes out, callbacks. Internal to
// rpc; `channel.h` puts it on a stream.
//
// Callbacks run only inside receive(), after produce(), inside expire(), fail_all() and from posted closures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rpc/channel.h"
#include "rpc/http2.h"
#include "rpc/session_host.h"

namespace lockstep::rpc {

struct ClientCall final : Http2Stream {
  std::uint32_t index = 0;  // of the slot
  std::uint32_t generation = 1;
  bool used = false;  // the slot
  bool sent = false;  // its headers were framed
  bool touched = false;
  bool closed = false;  // the stream is gone
  bool ended = false;   // its result was given, or is not wanted
  bool reading = true;
  bool refused = false;  // never processed
  bool good_content = false;
  int http_status = 0;
  std::uint32_t status_code = 0;
  bool has_status = false;
  std::string status_message;
  Duration retry_after{0};
  Http2Error close_error = Http2Error::no_error;
  TimePoint deadline = no_deadline;
  std::string answer;          // bytes of messages not yet handed over
  std::size_t unconsumed = 0;  // of the stream's window
  CallDone done;               // unary
  std::unique_ptr<ClientStreamHandler> handler;
};

class ClientSession final : private Http2Events {
 public:
  ClientSession(SessionHost& host, const ChannelOptions& options, std::string authority);
  ~ClientSession() override;
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  CallId begin(std::string_view path, std::span<const MetadataField> metadata, TimePoint now,
               TimePoint deadline, std::string_view message, bool half_close, CallDone done,
               std::unique_ptr<ClientStreamHandler> handler);
  void cancel(CallId id);
  // Null: ended.
  [[nodiscard]] ClientCall* find(CallId id);
  void send(ClientCall& call, std::string_view message);
  void half_close(ClientCall& call);
  void set_reading(ClientCall& call, bool reading);

  void receive(std::string_view bytes);
  void produce(std::string& out, std::size_t bytes);
  // From the middle of a turn. What it leads to is looked at soon: with the next produce() or before.
  // False: the library is at work.
  bool produce_early(std::string& out, std::size_t bytes);
  [[nodiscard]] bool wants_write() const { return http2_.wants_write(); }
  // produce_early() left something to be looked at.
  [[nodiscard]] bool wants_work() const { return !touched_.empty(); }
  [[nodiscard]] bool finished() const { return http2_.finished(); }
  TimePoint expire(TimePoint now);
  // Looks at what changed; see SessionHost::work_off_soon().
  void work_off();
  void ping();
  [[nodiscard]] bool ping_unanswered() const { return ping_unanswered_; }
  // The server's GOAWAY came. `why` is its reason.
  [[nodiscard]] bool going_away() const { return going_away_; }
  [[nodiscard]] const std::string& why_going_away() const { return why_going_away_; }
  [[nodiscard]] std::size_t calls() const { return running_; }
  // The connection is gone: every call ends with `status`.
  void fail_all(const GrpcStatus& status);
  // Drops everything without callbacks.
  void drop_all();

 private:
  bool on_header(Http2Stream& stream, std::string_view name, std::string_view value) override;
  void on_headers_end(Http2Stream& /*stream*/) override {}
  void on_data(Http2Stream& stream, std::string_view bytes) override;
  void on_end(Http2Stream& /*stream*/) override {}
  void on_closed(Http2Stream& stream, Http2Error error) override;
  void on_request_sent(Http2Stream& stream) override;
  void on_request_not_sent(std::int32_t id) override;
  void on_ping_ack() override { ping_unanswered_ = false; }
  void on_goaway(std::int32_t last_id, Http2Error error, std::string_view text) override;

  ClientCall& take_slot();
  void free_slot(ClientCall& call);
  void submit(ClientCall& call, std::string_view path, std::span<const MetadataField> metadata,
              TimePoint now);
  void touch(ClientCall& call);
  void look_at(ClientCall& call);
  void deliver_messages(ClientCall& call);
  void conclude(ClientCall& call);
  [[nodiscard]] CallResult result_of(const ClientCall& call) const;
  void end(ClientCall& call, const CallResult& result);
  void reset(ClientCall& call, const CallResult& result);
  void consume(ClientCall& call, std::size_t bytes);
  void bury(ClientCall& call);

  SessionHost& host_;
  ChannelOptions options_;
  std::string authority_;
  std::vector<std::unique_ptr<ClientCall>> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<ClientCall*> touched_;
  std::vector<std::unique_ptr<ClientStreamHandler>> dying_;  // dropped, perhaps while they run
  std::size_t running_ = 0;
  bool working_ = false;
  bool over_ = false;
  bool ping_unanswered_ = false;
  bool going_away_ = false;
  std::string why_going_away_;
  Http2Session http2_;
};

}  // namespace lockstep::rpc
