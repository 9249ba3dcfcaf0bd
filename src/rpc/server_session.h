// One connection's HTTP/2 session with its calls, as a pure machine: bytes in, bytes out, handlers called.
// Internal to rpc; `server.h` puts it on a stream.
//
// Handlers run only inside receive(), expire(), close() and after produce() (through Executor::post), never
// inside what they call. Invariants: see server.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "env/clock.h"
#include "rpc/call.h"
#include "rpc/grpc_wire.h"
#include "rpc/http2.h"
#include "rpc/method_table.h"
#include "rpc/plain.h"
#include "rpc/server.h"
#include "rpc/session_host.h"

namespace lockstep::rpc {

class ServerSession;

// What the connections of one server share.
struct ServerShared {
  env::Clock* clock = nullptr;  // null: nobody asks how long calls take
  ServerOptions options;
  std::shared_ptr<MethodTable> table = std::make_shared<MethodTable>();
  ServerMetrics metrics;
  PlainHandler plain;  // null: nobody serves plain requests
  std::size_t plain_body_bytes_max = 0;
  std::vector<ServerSession*> sessions;

  void count(BadCall bad) { ++metrics.bad_calls[static_cast<std::size_t>(bad)]; }
};

class ServerSession final : private Http2Events {
 public:
  ServerSession(ServerShared& shared, SessionHost& host, TimePoint now, std::string remote_address,
                std::string peer_common_name);
  ~ServerSession() override;
  ServerSession(const ServerSession&) = delete;
  ServerSession& operator=(const ServerSession&) = delete;

  void receive(std::string_view bytes, TimePoint now);
  void produce(std::string& out, std::size_t bytes);
  // From the middle of a turn. What it leads to is looked at soon: with the next produce() or before.
  // False: the library is at work.
  bool produce_early(std::string& out, std::size_t bytes);
  [[nodiscard]] bool wants_write() const { return http2_.wants_write(); }
  // produce_early() left something to be looked at.
  [[nodiscard]] bool wants_work() const { return !touched_.empty() || !closed_.empty(); }
  [[nodiscard]] bool finished() const;
  // Ends the calls whose deadline passed. Returns the earliest of the others.
  TimePoint expire(TimePoint now);
  // Every call that still runs is cancelled; nothing is sent.
  void close();
  // Ends what touch() and the library left to be looked at. For SessionHost::work_off_soon().
  void work_off();

  void ping();
  [[nodiscard]] bool ping_unanswered() const { return pings_unanswered_ != 0; }
  void terminate(Http2Error error, std::string_view text);
  void announce_shutdown();
  void refuse_new_streams();
  // Those that their client keeps open end as unavailable: they would never end by themselves.
  void end_open_streams();
  [[nodiscard]] std::size_t calls() const { return calls_.size(); }
  [[nodiscard]] bool greeted() const { return greeted_; }
  // Grows with every byte that the client's windows let through.
  [[nodiscard]] std::uint64_t taken_bytes() const { return taken_bytes_; }
  [[nodiscard]] std::size_t unsent_bytes() const { return unsent_bytes_; }
  // Of messages that are not complete.
  [[nodiscard]] std::size_t request_bytes() const { return request_bytes_; }

  // Streams of this connection wait until it has taken what is queued.
  [[nodiscard]] bool congested() const { return congested_; }
  [[nodiscard]] bool wants_read() const { return later_.empty(); }

  // Of its calls.
  // Even the largest answer has room where nothing else waits.
  [[nodiscard]] bool has_room_for(std::size_t bytes) const {
    return unsent_bytes_ == 0 || unsent_bytes_ + bytes <= shared_.options.connection_answer_bytes_max;
  }
  void overflow(Call& call);
  // No text of a server that did nothing: the call may have had its effect.
  static GrpcStatus not_read() {
    return {GrpcCode::resource_exhausted, "this connection does not read its answers", overload_pause};
  }
  void answer_changed(Call& call);
  void begin_plain(Call& call, int status, std::span<const Http2Header> fields, bool has_body);
  void send_plain(Call& call, std::string_view bytes);
  void finish_plain(Call& call);
  void added_unsent(std::size_t bytes);
  void end(Call& call, const GrpcStatus& status);
  // Its wish to be told about unsent bytes is fulfilled.
  void post_notification(Call& call);
  [[nodiscard]] const std::string& remote_address() const { return remote_address_; }
  [[nodiscard]] const std::string& peer_common_name() const { return peer_common_name_; }

 private:
  Http2Stream* on_request(std::int32_t id) override;
  bool on_header(Http2Stream& stream, std::string_view name, std::string_view value) override;
  void on_headers_end(Http2Stream& stream) override;
  void on_data(Http2Stream& stream, std::string_view bytes) override;
  void on_end(Http2Stream& stream) override;
  void on_closed(Http2Stream& stream, Http2Error error) override;
  void on_body_taken(Http2Stream& stream, std::size_t bytes) override;
  bool on_body_end(Http2Stream& stream) override;
  void on_cheap_frame(Http2Cheap kind, Http2Stream* stream) override;
  void on_ping_ack() override { pings_unanswered_ = 0; }
  void on_reset_sent(Http2Error error) override;
  void on_goaway_sent(Http2Error error) override;

  void on_pseudo_header(Call& call, std::string_view name, std::string_view value);
  void on_field(Call& call, std::string_view name, std::string_view value);
  void check_grpc(Call& call);
  void keep_metadata(Call& call, std::string_view name, std::string_view value);
  void mark_bad(Call& call, BadCall bad, GrpcCode code, std::string text);
  void refuse(Call& call, BadCall bad, GrpcCode code, std::string text);
  void touch(Call& call);
  void make_room();
  void shed_largest();
  void release_request(std::size_t bytes);
  void await_message(Call& call);
  void look_at(Call& call);
  bool begin(Call& call);
  void look_at_unary(Call& call);
  void look_at_stream(Call& call);
  void look_at_plain(Call& call);
  void serve_plain(Call& call, int refused);
  void fail_plain(Call& call);
  FrameLook hand_over(Call& call);
  void clear_congestion();
  void refuse_frame(Call& call, const FrameLook& look);
  void answer_http_error(Call& call);
  void drop_request(Call& call);
  void take_leave(Call& call);
  void leave_all();
  void spend(BadCall flood);
  void on_client_ping();

  ServerShared& shared_;
  SessionHost& host_;
  std::string remote_address_;
  std::string peer_common_name_;
  std::vector<std::shared_ptr<Call>> calls_;
  std::vector<Call*> touched_;
  std::vector<std::shared_ptr<Call>> closed_;
  std::vector<std::shared_ptr<Call>> later_;  // streams with messages for the next turn
  std::size_t messages_left_ = 0;             // to be handed over in this turn
  TimePoint now_;
  std::size_t unsent_bytes_ = 0;
  std::size_t request_bytes_ = 0;
  std::size_t metadata_bytes_ = 0;
  std::size_t shared_slot_;  // in ServerShared::sessions
  std::uint64_t taken_bytes_ = 0;
  // What the client may still do for free; see spend().
  double patience_;
  TimePoint patience_at_;
  TimePoint last_client_ping_{};
  int client_ping_strikes_ = 0;
  bool sent_since_client_ping_ = true;
  std::uint32_t pings_unanswered_ = 0;
  bool greeted_ = false;
  bool working_ = false;
  bool refusing_ = false;
  bool congested_ = false;
  bool over_ = false;  // closed
  Http2Session http2_;
};

}  // namespace lockstep::rpc
