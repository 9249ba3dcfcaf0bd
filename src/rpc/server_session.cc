#include "rpc/server_session.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "rpc/grpc_wire.h"

namespace lockstep::rpc {
namespace {

// What a client may do for free; see spend().
constexpr double patience_at_first = 1000;
// Beyond the limit a header list is only counted, up to here; then its stream is reset.
constexpr std::size_t header_list_hopeless_factor = 8;
// What each field of a header list counts beside its bytes (RFC 9113, section 6.5.2).
constexpr std::size_t header_field_overhead = 32;

Call& call_of(Http2Stream& stream) {
  return static_cast<Call&>(stream);
}

}  // namespace

ServerSession::ServerSession(ServerShared& shared, SessionHost& host, TimePoint now,
                             std::string remote_address, std::string peer_common_name)
    : shared_(shared),
      host_(host),
      remote_address_(std::move(remote_address)),
      peer_common_name_(std::move(peer_common_name)),
      now_(now),
      shared_slot_(shared.sessions.size()),
      patience_(patience_at_first),
      patience_at_(now),
      http2_({.server = true,
              .concurrent_streams_max = shared.options.concurrent_streams_max,
              .stream_window_bytes = shared.options.stream_window_bytes,
              .connection_window_bytes = shared.options.connection_window_bytes,
              .header_list_bytes_max = static_cast<std::uint32_t>(shared.options.header_list_bytes_max)},
             *this) {
  shared.sessions.push_back(this);
}

ServerSession::~ServerSession() {
  LS_MUST(calls_.empty(), "close() before destruction");
  LS_MUST(request_bytes_ == 0);
  LS_MUST(shared_.sessions[shared_slot_] == this);
  shared_.sessions[shared_slot_] = shared_.sessions.back();
  shared_.sessions[shared_slot_]->shared_slot_ = shared_slot_;
  shared_.sessions.pop_back();
}

void ServerSession::receive(std::string_view bytes, TimePoint now) {
  LS_MUST(!working_);
  if (over_) return;
  now_ = now;
  // Who was told early that calls ended may begin as many others.
  if (!closed_.empty()) work_off();
  http2_.receive(bytes);
  work_off();
}

void ServerSession::produce(std::string& out, std::size_t bytes) {
  if (over_) return;
  http2_.produce(out, bytes);
  work_off();
}

bool ServerSession::produce_early(std::string& out, std::size_t bytes) {
  if (over_ || !http2_.at_rest()) return false;
  http2_.produce(out, bytes);
  if (wants_work() && !working_) host_.work_off_soon();
  return true;
}

bool ServerSession::finished() const {
  if (over_ || http2_.finished()) return true;
  return refusing_ && calls_.empty() && !http2_.wants_write();
}

void ServerSession::ping() {
  ++pings_unanswered_;
  http2_.ping();
  host_.on_output(Output::control);
}

void ServerSession::terminate(Http2Error error, std::string_view text) {
  http2_.terminate(error, text);
  host_.on_output(Output::control);
}

void ServerSession::announce_shutdown() {
  http2_.announce_shutdown();
  host_.on_output(Output::control);
}

void ServerSession::refuse_new_streams() {
  refusing_ = true;
  http2_.refuse_new_streams();
  host_.on_output(Output::control);
}

void ServerSession::end_open_streams() {
  for (const std::shared_ptr<Call>& call : calls_) {
    if (!call->begun || call->ended()) continue;
    const bool open = call->plain ? call->answered : !call->served->unary && !call->half_closed;
    if (!open) continue;
    call->error = {GrpcCode::unavailable, "the server is shutting down", {}};
    touch(*call);
  }
  work_off();
}

// ---- requests ----

Http2Stream* ServerSession::on_request(std::int32_t id) {
  const ServerOptions& options = shared_.options;
  if (refusing_ || calls_.size() >= options.concurrent_streams_max ||
      shared_.metrics.calls_open >= options.calls_max) {
    ++shared_.metrics.calls_refused;
    return nullptr;
  }
  std::shared_ptr<Call> call = MethodTable::take_call(shared_.table);
  call->session = this;
  call->id = id;
  call->slot = calls_.size();
  call->began = now_;
  ++shared_.metrics.calls_started;
  ++shared_.metrics.calls_open;
  calls_.push_back(std::move(call));
  return calls_.back().get();
}

bool ServerSession::on_header(Http2Stream& stream, std::string_view name, std::string_view value) {
  Call& call = call_of(stream);
  if (call.headers_done) return true;  // a client's trailers say nothing in gRPC
  const std::size_t limit = shared_.options.header_list_bytes_max;
  call.header_bytes += name.size() + value.size() + header_field_overhead;
  if (call.header_bytes > limit * header_list_hopeless_factor) return false;
  if (call.header_bytes > limit) return true;  // answered when it ends
  if (name.starts_with(':')) {
    on_pseudo_header(call, name, value);
  } else {
    on_field(call, name, value);
  }
  return true;
}

void ServerSession::on_pseudo_header(Call& call, std::string_view name, std::string_view value) {
  if (name == ":method") {
    call.post = value == "POST";
    if (!call.post && shared_.plain) call.method_name = value;
  } else if (name == ":path") {
    call.served = shared_.table->find(value);
    if (call.served == nullptr) call.target = value;
  } else if (name == ":authority" && shared_.plain && call.served == nullptr) {
    keep_metadata(call, "host", value);
  }
}

void ServerSession::on_field(Call& call, std::string_view name, std::string_view value) {
  if (name == "content-type") {
    call.grpc_content = is_grpc_content_type(value);
    if (!call.grpc_content && shared_.plain) keep_metadata(call, name, value);
  } else if (name == "grpc-timeout") {
    const std::optional<Duration> timeout = parse_timeout(value);
    if (!timeout.has_value())
      return mark_bad(call, BadCall::timeout_malformed, GrpcCode::internal,
                      "malformed grpc-timeout: " + std::string(value));
    call.set_deadline(now_ + *timeout);
    host_.on_deadline(call.deadline());
  } else if (name == "grpc-encoding") {
    if (value != "identity")
      mark_bad(call, BadCall::unknown_encoding, GrpcCode::unimplemented,
               "grpc: Decompressor is not installed for grpc-encoding \"" + std::string(value) + '"');
  } else if (name == "user-agent" && call.served != nullptr) {
    return;  // no handler asks
  } else if (name != "te" && name != "grpc-accept-encoding") {
    keep_metadata(call, name, value);
  }
}

void ServerSession::keep_metadata(Call& call, std::string_view name, std::string_view value) {
  if (metadata_bytes_ + name.size() + value.size() > shared_.options.connection_metadata_bytes_max)
    return mark_bad(call, BadCall::too_much_metadata, GrpcCode::resource_exhausted,
                    "the open calls of this connection have too much metadata");
  metadata_bytes_ -= call.metadata_bytes();
  if (call.served == nullptr) {
    call.add_field(name, value);
  } else if (!call.add_metadata(name, value)) {
    mark_bad(call, BadCall::metadata_malformed, GrpcCode::internal,
             "malformed binary metadata in " + std::string(name));
  }
  metadata_bytes_ += call.metadata_bytes();
}

// Answered when the headers end; the first reason wins.
void ServerSession::mark_bad(Call& call, BadCall bad, GrpcCode code, std::string text) {
  if (!call.error.ok()) return;
  shared_.count(bad);
  call.error = {code, std::move(text), code == GrpcCode::resource_exhausted ? overload_pause : Duration{0}};
}

void ServerSession::on_headers_end(Http2Stream& stream) {
  Call& call = call_of(stream);
  if (std::exchange(call.headers_done, true)) return;
  if (call.header_bytes > shared_.options.header_list_bytes_max) {
    call.http_error = 431;
    shared_.count(BadCall::headers_too_large);
  } else if (call.served == nullptr && shared_.plain && !call.grpc_content) {
    call.plain = true;
    call.set_deadline(no_deadline);
  } else {
    check_grpc(call);
  }
  touch(call);
}

void ServerSession::check_grpc(Call& call) {
  if (call.served == nullptr)
    mark_bad(call, BadCall::unknown_method, GrpcCode::unimplemented, shared_.table->why_unknown(call.target));
  if (!call.post) {
    call.http_error = 405;
    shared_.count(BadCall::method_not_allowed);
  } else if (!call.grpc_content) {
    call.http_error = 415;
    shared_.count(BadCall::content_type);
  }
}

void ServerSession::on_data(Http2Stream& stream, std::string_view bytes) {
  Call& call = call_of(stream);
  if (call.ended() || call.http_error != 0 || !call.error.ok()) return;
  if (call.plain && call.request.size() + bytes.size() > shared_.plain_body_bytes_max) {
    call.http_error = 413;
    return touch(call);
  }
  call.request.append(bytes);
  request_bytes_ += bytes.size();
  shared_.metrics.request_bytes_buffered += bytes.size();
  touch(call);
  make_room();
}

// Whose bytes just came need not be who holds too many: a stream that says little is not ended for others.
void ServerSession::make_room() {
  const ServerOptions& options = shared_.options;
  if (request_bytes_ > options.connection_request_bytes_max) shed_largest();
  if (shared_.metrics.request_bytes_buffered <= options.request_bytes_buffered_max) return;
  ServerSession* const largest =
      *std::ranges::max_element(shared_.sessions, {}, &ServerSession::request_bytes);
  largest->shed_largest();
  if (largest != this) largest->host_.work_off_soon();
}

// The library may be at work: the call ends when it is looked at, its bytes are gone at once.
void ServerSession::shed_largest() {
  LS_MUST(!calls_.empty());
  Call& largest = **std::ranges::max_element(
      calls_, {}, [](const std::shared_ptr<Call>& call) { return call->request.size(); });
  LS_MUST(!largest.request.empty());
  drop_request(largest);
  std::string().swap(largest.request);
  mark_bad(largest, BadCall::too_many_request_bytes, GrpcCode::resource_exhausted,
           "too many bytes of requests are being received");
  touch(largest);
}

void ServerSession::on_end(Http2Stream& stream) {
  Call& call = call_of(stream);
  call.half_closed = true;
  touch(call);
}

void ServerSession::on_closed(Http2Stream& stream, Http2Error /*error*/) {
  Call& call = call_of(stream);
  call.closed = true;
  closed_.push_back(calls_[call.slot]);
}

void ServerSession::touch(Call& call) {
  if (!std::exchange(call.touched, true)) touched_.push_back(&call);
}

// Handlers run here, when the library is at rest: whatever they call back into this session is safe.
void ServerSession::work_off() {
  if (working_) return;
  working_ = true;
  messages_left_ = shared_.options.stream_messages_per_turn_max;
  for (const std::shared_ptr<Call>& call : std::exchange(later_, {})) {
    if (!call->closed && call->session == this) touch(*call);
  }
  while (!over_ && (!touched_.empty() || !closed_.empty())) {
    for (std::size_t i = 0; i < touched_.size() && !over_; ++i) {
      Call& call = *touched_[i];
      call.touched = false;
      if (!call.closed) look_at(call);
    }
    touched_.clear();
    for (std::size_t i = 0; i < closed_.size() && !over_; ++i) take_leave(*closed_[i]);
    closed_.clear();
  }
  working_ = false;
  if (over_) leave_all();
}

void ServerSession::look_at(Call& call) {
  if (!call.headers_done) return;
  if (call.ended()) return drop_request(call);
  if (call.plain) return look_at_plain(call);
  if (call.http_error != 0) return answer_http_error(call);
  if (!call.error.ok()) {
    const bool begun = call.begun;
    const GrpcStatus error = std::exchange(call.error, {});
    drop_request(call);
    end(call, error);
    if (begun) call.tell_cancelled();
    return;
  }
  if (!call.begun && !begin(call)) return;
  if (call.served->unary) return look_at_unary(call);
  look_at_stream(call);
}

// False: it ended instead.
bool ServerSession::begin(Call& call) {
  LS_MUST(call.served != nullptr);
  call.begun = true;
  ++call.served->metrics.started;
  if (call.deadline() <= now_) {
    end(call, {GrpcCode::deadline_exceeded, "deadline exceeded before the call began"});
    return false;
  }
  if (unsent_bytes_ > shared_.options.connection_unsent_bytes_max) {
    ++shared_.metrics.calls_refused;
    end(call, not_read());
    return false;
  }
  if (!call.served->streaming) return true;
  call.handler = call.served->streaming(calls_[call.slot]);
  LS_MUST(call.handler != nullptr);
  return true;
}

void ServerSession::look_at_unary(Call& call) {
  if (call.dispatched) {
    drop_request(call);
    return;
  }
  const FrameLook look = look_at_frame(call.request, shared_.options.message_bytes_max);
  if (look.verdict == FrameVerdict::more) {
    if (!call.half_closed) return await_message(call);
    if (call.request.empty())
      return refuse(call, BadCall::message_count, GrpcCode::internal, "no message where one is due");
    return refuse(call, BadCall::truncated_message, GrpcCode::internal, "the message is cut short");
  }
  if (look.verdict != FrameVerdict::message) return refuse_frame(call, look);
  if (call.request.size() > look.size)
    return refuse(call, BadCall::message_count, GrpcCode::internal, "more than one message where one is due");
  if (!call.half_closed) return await_message(call);
  call.dispatched = true;
  call.message_due = no_deadline;
  call.served->unary(calls_[call.slot], look.message);
  drop_request(call);
}

void ServerSession::look_at_stream(Call& call) {
  const FrameLook look = hand_over(call);
  if (over_) return;
  if (call.ended()) return drop_request(call);
  if (look.verdict == FrameVerdict::message) {
    if (later_.empty()) host_.work_off_soon();
    later_.push_back(calls_[call.slot]);
    return;
  }
  if (look.verdict != FrameVerdict::more) return refuse_frame(call, look);
  if (!call.half_closed && !call.request.empty()) return await_message(call);
  if (!call.half_closed || std::exchange(call.half_close_told, true)) return;
  if (!call.request.empty())
    return refuse(call, BadCall::truncated_message, GrpcCode::internal, "the message is cut short");
  call.handler->on_half_close();
}

// Returns what is left: another message if this turn has handed over enough.
FrameLook ServerSession::hand_over(Call& call) {
  std::size_t taken = 0;
  FrameLook look;
  while (!call.ended() && call.error.ok() && !over_) {
    look = look_at_frame(std::string_view(call.request).substr(taken), shared_.options.message_bytes_max);
    if (look.verdict != FrameVerdict::message || messages_left_ == 0) break;
    --messages_left_;
    taken += look.size;
    call.handler->on_message(look.message);
  }
  if (over_) return look;
  call.request.erase(0, taken);
  release_request(taken);
  if (taken != 0) call.message_due = no_deadline;
  return look;
}

void ServerSession::refuse_frame(Call& call, const FrameLook& look) {
  switch (look.verdict) {
    case FrameVerdict::compressed:
      return refuse(call, BadCall::bad_message_flag, GrpcCode::internal,
                    "grpc: compressed flag set with identity or empty encoding");
    case FrameVerdict::bad_flag:
      return refuse(call, BadCall::bad_message_flag, GrpcCode::internal,
                    "grpc: received unexpected payload format");
    case FrameVerdict::too_large:
      return refuse(call, BadCall::message_too_large, GrpcCode::resource_exhausted,
                    "grpc: received message larger than max (" + std::to_string(look.size) + " vs. " +
                        std::to_string(shared_.options.message_bytes_max) + ")");
    case FrameVerdict::message:
    case FrameVerdict::more:
      break;
  }
  LS_UNREACHABLE("a good frame");
}

// Of a call that is being served.
void ServerSession::refuse(Call& call, BadCall bad, GrpcCode code, std::string text) {
  shared_.count(bad);
  drop_request(call);
  end(call, {code, std::move(text)});
  call.tell_cancelled();
}

void ServerSession::await_message(Call& call) {
  if (call.message_due != no_deadline) return;
  call.message_due = now_ + shared_.options.message_timeout;
  host_.on_deadline(call.message_due);
}

void ServerSession::drop_request(Call& call) {
  release_request(call.request.size());
  call.request.clear();
}

void ServerSession::release_request(std::size_t bytes) {
  LS_MUST(request_bytes_ >= bytes);
  LS_MUST(shared_.metrics.request_bytes_buffered >= bytes);
  request_bytes_ -= bytes;
  shared_.metrics.request_bytes_buffered -= bytes;
}

}  // namespace lockstep::rpc
