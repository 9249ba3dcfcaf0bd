#include "rpc/client_session.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "rpc/grpc_wire.h"

namespace lockstep::rpc {
namespace {

constexpr std::size_t kept_bytes_max = 16 * limits::kibibyte;
constexpr std::uint32_t status_code_max = 16;
// Ours, before the caller's metadata.
constexpr std::size_t own_headers = 8;
constexpr std::size_t metadata_fields_max = 16;

ClientCall& call_of(Http2Stream& stream) {
  return static_cast<ClientCall&>(stream);
}

void empty(std::string& buffer) {
  buffer.clear();
  if (buffer.capacity() > kept_bytes_max) buffer.shrink_to_fit();
}

// gRPC's table of what an answer without grpc-status means.
GrpcCode code_of_http(int status) {
  switch (status) {
    case 400:
      return GrpcCode::internal;
    case 401:
      return GrpcCode::unauthenticated;
    case 403:
      return GrpcCode::permission_denied;
    case 404:
      return GrpcCode::unimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcCode::unavailable;
    default:
      return GrpcCode::unknown;
  }
}

GrpcCode code_of_reset(Http2Error error) {
  switch (error) {
    case Http2Error::refused_stream:
      return GrpcCode::unavailable;
    case Http2Error::cancel:
      return GrpcCode::cancelled;
    case Http2Error::enhance_your_calm:
      return GrpcCode::resource_exhausted;
    case Http2Error::inadequate_security:
      return GrpcCode::permission_denied;
    default:
      return GrpcCode::internal;
  }
}

template <class Number>
bool parse_number(std::string_view text, Number* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

CallId id_of(const ClientCall& call) {
  return CallId(static_cast<std::uint64_t>(call.generation) << 32 | (call.index + 1));
}

}  // namespace

ClientSession::ClientSession(SessionHost& host, const ChannelOptions& options, std::string authority)
    : host_(host),
      options_(options),
      authority_(std::move(authority)),
      http2_({.server = false,
              .manual_windows = true,
              .stream_window_bytes = options.stream_window_bytes,
              .connection_window_bytes = options.connection_window_bytes},
             *this) {}

ClientSession::~ClientSession() {
  LS_MUST(running_ == 0, "drop_all() before destruction");
}

// ---- calls ----

ClientCall& ClientSession::take_slot() {
  if (free_.empty()) {
    auto call = std::make_unique<ClientCall>();
    call->index = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back(std::move(call));
    free_.push_back(slots_.back()->index);
  }
  ClientCall& call = *slots_[free_.back()];
  free_.pop_back();
  LS_MUST(!call.used);
  call.used = true;
  return call;
}

void ClientSession::free_slot(ClientCall& call) {
  LS_MUST(call.used);
  LS_MUST(call.ended);
  std::string body = std::move(call.body);
  std::string answer = std::move(call.answer);
  const std::uint32_t index = call.index;
  const std::uint32_t generation = call.generation + 1;
  call = ClientCall();
  call.index = index;
  call.generation = generation;
  empty(body);
  empty(answer);
  call.body = std::move(body);
  call.answer = std::move(answer);
  free_.push_back(index);
}

ClientCall* ClientSession::find(CallId id) {
  const auto low = static_cast<std::uint32_t>(id.value());
  if (low == 0 || low > slots_.size()) return nullptr;
  ClientCall& call = *slots_[low - 1];
  return call.used && !call.ended && id_of(call) == id ? &call : nullptr;
}

CallId ClientSession::begin(std::string_view path, std::span<const MetadataField> metadata, TimePoint now,
                            TimePoint deadline, std::string_view message, bool half_close, CallDone done,
                            std::unique_ptr<ClientStreamHandler> handler) {
  LS_MUST(!over_);
  ClientCall& call = take_slot();
  ++running_;
  call.deadline = deadline;
  call.done = std::move(done);
  call.handler = std::move(handler);
  call.body_ends = half_close;
  if (call.done) append_message(call.body, message);
  if (deadline > now) {
    submit(call, path, metadata, now);
  } else {
    call.has_status = true;
    call.status_code = static_cast<std::uint32_t>(GrpcCode::deadline_exceeded);
    call.status_message = "deadline exceeded before the call was sent";
  }
  if (call.id == 0) {  // or GOAWAY came, or the ids are used up
    call.refused = true;
    call.closed = true;
    touch(call);
    host_.work_off_soon();
  }
  if (deadline != no_deadline) host_.on_deadline(deadline);
  const CallId id = id_of(call);
  host_.on_output(Output::call);
  return id;
}

void ClientSession::submit(ClientCall& call, std::string_view path, std::span<const MetadataField> metadata,
                           TimePoint now) {
  LS_MUST(metadata.size() <= metadata_fields_max);
  std::array<Http2Header, own_headers + metadata_fields_max> headers = {{
      {":method", "POST", true},
      {":scheme", options_.tls ? "https" : "http", true},
      {":path", path},
      {":authority", authority_, true},
      {"te", "trailers", true},
      {"content-type", "application/grpc", true},
  }};
  std::size_t count = own_headers - 2;
  if (!options_.user_agent.empty()) headers[count++] = {"user-agent", options_.user_agent, true};
  std::string timeout;
  if (call.deadline != no_deadline) {
    timeout = format_timeout(call.deadline - now);
    headers[count++] = {"grpc-timeout", timeout};
  }
  std::array<std::string, metadata_fields_max> encoded;
  for (std::size_t i = 0; i < metadata.size(); ++i) {
    const MetadataField& field = metadata[i];
    if (is_binary_name(field.name)) encoded[i] = base64_encode(field.value);
    headers[count++] = {field.name, is_binary_name(field.name) ? std::string_view(encoded[i]) : field.value};
  }
  http2_.submit_request(call, std::span(headers).first(count), true);
}

void ClientSession::send(ClientCall& call, std::string_view message) {
  if (call.body_ends || call.closed) return;
  append_message(call.body, message);
  http2_.body_changed(call);
  host_.on_output(Output::message);
}

void ClientSession::half_close(ClientCall& call) {
  if (std::exchange(call.body_ends, true) || call.closed) return;
  http2_.body_changed(call);
  host_.on_output(Output::control);
}

void ClientSession::set_reading(ClientCall& call, bool reading) {
  if (std::exchange(call.reading, reading) || !reading) return;
  touch(call);
  host_.work_off_soon();
}

void ClientSession::cancel(CallId id) {
  ClientCall* call = find(id);
  if (call == nullptr) return;
  bury(*call);
  reset(*call, {});
}

// Its callbacks are not wanted any more, but one of them may be running.
void ClientSession::bury(ClientCall& call) {
  call.done = nullptr;
  if (call.handler != nullptr) dying_.push_back(std::move(call.handler));
  if (!working_) std::exchange(dying_, {}).clear();
}

// Ends a call from our side; its slot stays until the stream is gone.
void ClientSession::reset(ClientCall& call, const CallResult& result) {
  if (!call.closed) {
    http2_.reset(call, Http2Error::cancel);
    host_.on_output(Output::control);
  }
  end(call, result);
}

TimePoint ClientSession::expire(TimePoint now) {
  if (over_) return no_deadline;
  LS_MUST(!working_);
  working_ = true;
  TimePoint next = no_deadline;
  for (std::size_t i = 0; i < slots_.size() && !over_; ++i) {
    ClientCall& call = *slots_[i];
    if (!call.used || call.ended || call.closed) continue;
    if (call.deadline > now) {
      next = std::min(next, call.deadline);
      continue;
    }
    CallResult result;
    result.status = {GrpcCode::deadline_exceeded, "deadline exceeded"};
    result.not_processed = !call.sent;
    reset(call, result);
  }
  working_ = false;
  work_off();
  return next;
}

void ClientSession::end(ClientCall& call, const CallResult& result) {
  LS_MUST(!call.ended);
  call.ended = true;
  --running_;
  if (CallDone done = std::exchange(call.done, nullptr)) return done(result);
  const std::unique_ptr<ClientStreamHandler> handler = std::move(call.handler);
  if (handler != nullptr) handler->on_end(result);
}

void ClientSession::fail_all(const GrpcStatus& status) {
  if (over_) return;
  LS_MUST(!working_);
  working_ = true;
  for (std::size_t i = 0; i < slots_.size() && !over_; ++i) {
    ClientCall& call = *slots_[i];
    if (!call.used || call.ended) continue;
    CallResult result;
    result.status = status;
    result.not_processed = !call.sent || call.refused;
    end(call, result);
  }
  working_ = false;
  drop_all();
}

void ClientSession::drop_all() {
  over_ = true;
  for (const auto& call : slots_) {
    if (!call->used || std::exchange(call->ended, true)) continue;
    --running_;
    bury(*call);
  }
}

// ---- answers ----

void ClientSession::receive(std::string_view bytes) {
  if (over_) return;
  LS_MUST(!working_);
  http2_.receive(bytes);
  work_off();
}

void ClientSession::produce(std::string& out, std::size_t bytes) {
  if (over_) return;
  http2_.produce(out, bytes);
  work_off();
}

bool ClientSession::produce_early(std::string& out, std::size_t bytes) {
  if (over_ || !http2_.at_rest()) return false;
  http2_.produce(out, bytes);
  if (wants_work() && !working_) host_.work_off_soon();
  return true;
}

void ClientSession::ping() {
  ping_unanswered_ = true;
  http2_.ping();
  host_.on_output(Output::control);
}

bool ClientSession::on_header(Http2Stream& stream, std::string_view name, std::string_view value) {
  ClientCall& call = call_of(stream);
  if (name == "grpc-status") {
    call.has_status = parse_number(value, &call.status_code) && call.status_code <= status_code_max;
  } else if (name == ":status") {
    if (!parse_number(value, &call.http_status)) return false;
  } else if (name == "content-type") {
    call.good_content = is_grpc_content_type(value);
  } else if (name == "grpc-message") {
    call.status_message = percent_decode(value);
  } else if (name == "grpc-retry-pushback-ms") {
    std::uint32_t milliseconds = 0;
    if (parse_number(value, &milliseconds)) call.retry_after = std::chrono::milliseconds(milliseconds);
  }
  return true;
}

void ClientSession::on_data(Http2Stream& stream, std::string_view bytes) {
  ClientCall& call = call_of(stream);
  http2_.consume_connection(bytes.size());
  if (call.ended) return http2_.consume_stream(call, bytes.size());
  call.answer.append(bytes);
  call.unconsumed += bytes.size();
  touch(call);
}

void ClientSession::on_closed(Http2Stream& stream, Http2Error error) {
  ClientCall& call = call_of(stream);
  call.close_error = error;
  call.refused = call.refused || error == Http2Error::refused_stream;
  call.closed = true;
  touch(call);
}

void ClientSession::on_request_sent(Http2Stream& stream) {
  call_of(stream).sent = true;
}

void ClientSession::on_request_not_sent(std::int32_t id) {
  for (const auto& call : slots_) {
    if (!call->used || call->id != id) continue;
    call->refused = true;
    call->closed = true;
    touch(*call);
  }
}

void ClientSession::on_goaway(std::int32_t /*last_id*/, Http2Error error, std::string_view text) {
  going_away_ = true;
  why_going_away_ = std::string(to_string(error));
  if (!text.empty()) why_going_away_ += ": " + std::string(text);
}

void ClientSession::touch(ClientCall& call) {
  if (!std::exchange(call.touched, true)) touched_.push_back(&call);
}

void ClientSession::work_off() {
  if (working_) return;
  working_ = true;
  // What callbacks touch comes at the end and is looked at too.
  for (std::size_t i = 0; i < touched_.size() && !over_; ++i) {
    ClientCall& call = *touched_[i];
    call.touched = false;
    look_at(call);
  }
  touched_.clear();
  working_ = false;
  std::exchange(dying_, {}).clear();
}

void ClientSession::look_at(ClientCall& call) {
  if (!call.used) return;
  if (!call.ended && call.handler != nullptr) deliver_messages(call);
  if (over_ || !call.used) return;
  if (!call.ended && call.done) {
    if (look_at_frame(call.answer, options_.answer_bytes_max).verdict == FrameVerdict::too_large) {
      CallResult result;
      result.status = {GrpcCode::resource_exhausted, "the answer is larger than allowed"};
      reset(call, result);
    } else {
      consume(call, call.unconsumed);  // taken whole, up to its limit
    }
  }
  if (over_ || !call.closed) return;
  if (!call.ended && !call.reading && !call.answer.empty() && call.has_status)
    return;  // paused before its end
  if (!call.ended) conclude(call);
  if (!over_ && call.used) free_slot(call);
}

void ClientSession::deliver_messages(ClientCall& call) {
  std::size_t taken = 0;
  FrameLook look;
  while (!call.ended && call.reading && !over_) {
    look = look_at_frame(std::string_view(call.answer).substr(taken), options_.answer_bytes_max);
    if (look.verdict != FrameVerdict::message) break;
    taken += look.size;
    call.handler->on_message(look.message);
  }
  if (over_ || call.ended) return;
  call.answer.erase(0, taken);
  // A message larger than the window must be able to arrive; a paused one only keeps what it has.
  consume(call, call.reading ? call.unconsumed : std::min(call.unconsumed, taken));
  if (look.verdict == FrameVerdict::message || look.verdict == FrameVerdict::more) return;
  CallResult result;
  result.status = {
      look.verdict == FrameVerdict::too_large ? GrpcCode::resource_exhausted : GrpcCode::internal,
      "the server sent what is no message, or too large a one"};
  reset(call, result);
}

void ClientSession::consume(ClientCall& call, std::size_t bytes) {
  LS_MUST(bytes <= call.unconsumed);
  call.unconsumed -= bytes;
  if (!call.closed) http2_.consume_stream(call, bytes);
  if (bytes != 0 && http2_.wants_write()) host_.on_output(Output::control);
}

void ClientSession::conclude(ClientCall& call) {
  CallResult result = result_of(call);
  if (result.status.ok() && call.done) {
    const FrameLook look = look_at_frame(call.answer, options_.answer_bytes_max);
    if (look.verdict == FrameVerdict::message && look.size == call.answer.size()) {
      result.message = look.message;
    } else {
      result.status = {GrpcCode::internal, "the answer is not one message"};
    }
  } else if (result.status.ok() && !call.answer.empty()) {
    result.status = {GrpcCode::internal, "the last message is cut short"};
  }
  end(call, result);
}

CallResult ClientSession::result_of(const ClientCall& call) const {
  CallResult result;
  if (call.has_status) {
    result.status = {static_cast<GrpcCode>(call.status_code), call.status_message, call.retry_after};
    result.not_processed = call.refused;
  } else if (call.refused) {
    result.status = {GrpcCode::unavailable, "the server takes no more calls on this connection"};
    result.not_processed = true;
  } else if (call.http_status != 0 && call.http_status != 200) {
    result.status = {code_of_http(call.http_status),
                     "the server answered with HTTP status " + std::to_string(call.http_status)};
  } else if (call.close_error != Http2Error::no_error) {
    result.status = {code_of_reset(call.close_error),
                     "the server ended the call with " + std::string(to_string(call.close_error))};
  } else {
    result.status = {call.good_content ? GrpcCode::internal : GrpcCode::unknown,
                     "an answer without grpc-status"};
  }
  return result;
}

}  // namespace lockstep::rpc
