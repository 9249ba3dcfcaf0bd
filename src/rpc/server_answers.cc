#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string>
#include <utility>

#include "base/assert.h"
#include "rpc/grpc_wire.h"
#include "rpc/server_session.h"

namespace lockstep::rpc {
namespace {

// What a client may do that costs it nothing: so often at once, and so many times a second for ever. An
// answered call earns one more.
constexpr double patience_max = 1000;
constexpr double patience_per_s = 100;
// Cancelling a call that is older is no attack but a timeout.
constexpr Duration rapid_reset_age = 1s;
constexpr std::size_t grpc_message_bytes_max = 4 * limits::kibibyte;

constexpr Http2Header ok_status{":status", "200", true};
constexpr Http2Header grpc_content_type{"content-type", "application/grpc", true};
constexpr std::array<Http2Header, 2> answer_headers = {ok_status, grpc_content_type};
constexpr std::array<Http2Header, 1> ok_trailers = {Http2Header{"grpc-status", "0", true}};

constexpr std::array<std::string_view, grpc_code_count> code_digits = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};

// What says how a call ended, with room before it for what begins an answer that has nothing else.
struct StatusTrailers {
  explicit StatusTrailers(const GrpcStatus& status)
      : message(percent_encode(status.message, grpc_message_bytes_max)),
        pushback(std::to_string(std::chrono::ceil<std::chrono::milliseconds>(status.retry_after).count())) {
    headers[count++] = {"grpc-status", code_digits[static_cast<std::size_t>(status.code)]};
    if (!message.empty()) headers[count++] = {"grpc-message", message};
    if (status.retry_after > 0ns) headers[count++] = {"grpc-retry-pushback-ms", pushback};
    // For who tried a compression that we lack.
    if (status.code == GrpcCode::unimplemented) headers[count++] = {"grpc-accept-encoding", "identity"};
  }
  [[nodiscard]] std::span<const Http2Header> all() const { return std::span(headers).first(count); }
  [[nodiscard]] std::span<const Http2Header> only_trailers() const { return all().subspan(leading); }

  static constexpr std::size_t leading = 2;
  std::string message;
  std::string pushback;
  std::array<Http2Header, leading + 4> headers;
  std::size_t count = leading;
};

Call& call_of(Http2Stream& stream) {
  return static_cast<Call&>(stream);
}

}  // namespace

void ServerSession::answer_changed(Call& call) {
  sent_since_client_ping_ = true;
  if (std::exchange(call.answered, true)) {
    http2_.body_changed(call);
  } else if (!call.finished || call.body_left() != 0) {
    http2_.submit_response(call, answer_headers, true);
  } else {
    StatusTrailers trailers(call.status);
    trailers.headers[0] = ok_status;
    trailers.headers[1] = grpc_content_type;
    http2_.submit_response(call, trailers.all(), false);
  }
  host_.on_output(working_ ? Output::message : Output::call);  // last: the stream may be gone afterwards
}

void ServerSession::answer_http_error(Call& call) {
  const std::string status = std::to_string(call.http_error);
  const std::array<Http2Header, 2> headers = {Http2Header{":status", status}, Http2Header{"allow", "POST"}};
  call.finished = true;
  call.answered = true;
  drop_request(call);
  http2_.submit_response(call, std::span(headers).first(call.http_error == 405 ? 2 : 1), false);
  host_.on_output(Output::control);
}

void ServerSession::end(Call& call, const GrpcStatus& status) {
  LS_MUST(!call.ended());
  call.finished = true;
  call.status = status;
  call.body_ends = true;
  if (call.served != nullptr && call.begun) {
    ++call.served->metrics.ended[static_cast<std::size_t>(status.code)];
    if (shared_.clock != nullptr) call.served->metrics.seconds.add(shared_.clock->now() - call.began);
  }
  answer_changed(call);
}

void ServerSession::added_unsent(std::size_t bytes) {
  unsent_bytes_ += bytes;
  shared_.metrics.answer_bytes_unsent += bytes;
  if (unsent_bytes_ > shared_.options.connection_unsent_bytes_max) congested_ = true;
}

void ServerSession::clear_congestion() {
  if (!congested_ || unsent_bytes_ > shared_.options.connection_unsent_bytes_max / 2) return;
  congested_ = false;
  for (const std::shared_ptr<Call>& call : calls_) {
    if (call->notify && call->body_left() < call->notify_below) post_notification(*call);
  }
}

// It ends when it is looked at: its handler is on the stack.
void ServerSession::overflow(Call& call) {
  ++shared_.metrics.calls_refused;
  call.error = not_read();
  touch(call);
  host_.work_off_soon();
}

void ServerSession::on_body_taken(Http2Stream& stream, std::size_t bytes) {
  LS_MUST(unsent_bytes_ >= bytes);
  unsent_bytes_ -= bytes;
  shared_.metrics.answer_bytes_unsent -= bytes;
  taken_bytes_ += bytes;
  Call& call = call_of(stream);
  if (call.notify && call.unsent_bytes() < call.notify_below) post_notification(call);
  clear_congestion();
}

void ServerSession::post_notification(Call& call) {
  host_.executor().post([kept = calls_[call.slot], ready = std::exchange(call.notify, nullptr)]() mutable {
    if (!kept->ended()) ready();
  });
}

bool ServerSession::on_body_end(Http2Stream& stream) {
  Call& call = call_of(stream);
  LS_MUST(call.finished);
  if (call.plain) return false;
  if (call.status.ok()) return http2_.submit_trailers(call, ok_trailers);
  const StatusTrailers trailers(call.status);
  return http2_.submit_trailers(call, trailers.only_trailers());
}

TimePoint ServerSession::expire(TimePoint now) {
  if (over_) return no_deadline;
  LS_MUST(!working_);
  working_ = true;
  now_ = std::max(now_, now);
  TimePoint next = no_deadline;
  for (std::size_t i = 0; i < calls_.size() && !over_; ++i) {
    Call& call = *calls_[i];
    const TimePoint due = std::min(call.deadline(), call.message_due);
    if (due == no_deadline || call.ended() || call.http_error != 0) continue;
    if (due > now) {
      next = std::min(next, due);
    } else if (call.plain) {
      shared_.count(BadCall::message_timeout);
      serve_plain(call, 408);
    } else if (call.headers_done) {
      const bool in_time = call.deadline() > now;
      if (in_time) shared_.count(BadCall::message_timeout);
      drop_request(call);
      end(call, {GrpcCode::deadline_exceeded,
                 in_time ? "the message took too long to arrive" : "context deadline exceeded"});
      if (call.begun) call.tell_cancelled();
    }
  }
  working_ = false;
  if (over_) leave_all();
  return next;
}

// The stream is gone, whoever ended it.
void ServerSession::take_leave(Call& call) {
  LS_MUST(call.session == this);
  if (call.ended()) {
    patience_ = std::min(patience_ + 1, patience_max);
  } else {
    call.cancelled = true;
    if (call.begun) {
      if (!call.plain) ++call.served->metrics.ended[static_cast<std::size_t>(GrpcCode::cancelled)];
      call.tell_cancelled();
    }
  }
  drop_request(call);
  LS_MUST(metadata_bytes_ >= call.metadata_bytes());
  metadata_bytes_ -= call.metadata_bytes();
  const std::size_t unsent = call.body_left();
  LS_MUST(unsent_bytes_ >= unsent);
  unsent_bytes_ -= unsent;
  shared_.metrics.answer_bytes_unsent -= unsent;
  clear_congestion();
  --shared_.metrics.calls_open;
  call.notify = nullptr;
  call.session = nullptr;
  call.handler.reset();
  const std::size_t slot = call.slot;
  LS_MUST(calls_[slot].get() == &call);
  // Another's leaving may have touched it.
  if (std::exchange(call.touched, false)) std::erase(touched_, &call);
  std::swap(calls_[slot], calls_.back());
  calls_[slot]->slot = slot;
  calls_.pop_back();
}

void ServerSession::leave_all() {
  LS_MUST(over_);
  touched_.clear();
  closed_.clear();
  later_.clear();
  while (!calls_.empty()) {
    const std::shared_ptr<Call> kept = calls_.back();
    take_leave(*kept);
  }
}

void ServerSession::close() {
  if (std::exchange(over_, true) || working_) return;
  working_ = true;
  leave_all();
  working_ = false;
}

void ServerSession::on_cheap_frame(Http2Cheap kind, Http2Stream* stream) {
  switch (kind) {
    case Http2Cheap::settings:
      greeted_ = true;
      return spend(BadCall::settings_flood);
    case Http2Cheap::ping:
      on_client_ping();
      return spend(BadCall::ping_flood);
    case Http2Cheap::empty_data:
      return spend(BadCall::empty_data_flood);
    case Http2Cheap::priority:
      return spend(BadCall::priority_flood);
    case Http2Cheap::reset:
      if (stream != nullptr && now_ - call_of(*stream).began >= rapid_reset_age) return;
      return spend(BadCall::reset_flood);
  }
}

// Resets that the client made us send count as its own.
void ServerSession::on_reset_sent(Http2Error error) {
  if (error == Http2Error::no_error) return;
  ++shared_.metrics.stream_errors[static_cast<std::size_t>(error)];
  spend(BadCall::reset_flood);
}

void ServerSession::on_goaway_sent(Http2Error error) {
  if (error != Http2Error::no_error) ++shared_.metrics.connection_errors[static_cast<std::size_t>(error)];
}

void ServerSession::spend(BadCall flood) {
  const double elapsed_s = std::chrono::duration<double>(now_ - patience_at_).count();
  patience_at_ = now_;
  patience_ = std::min(patience_ + elapsed_s * patience_per_s, patience_max) - 1;
  if (patience_ >= 0) return;
  patience_ = patience_max;  // said once
  shared_.count(flood);
  terminate(Http2Error::enhance_your_calm, to_string(flood));
}

// Whatever we send forgives earlier pings: clients measure their window with pings while they receive.
void ServerSession::on_client_ping() {
  if (std::exchange(sent_since_client_ping_, false)) {
    client_ping_strikes_ = 0;
  } else if (now_ - last_client_ping_ < shared_.options.client_ping_interval_min) {
    ++client_ping_strikes_;
  }
  last_client_ping_ = now_;
  if (client_ping_strikes_ <= shared_.options.client_ping_strikes_max) return;
  client_ping_strikes_ = 0;
  shared_.count(BadCall::too_many_pings);
  terminate(Http2Error::enhance_your_calm, "too_many_pings");
}

}  // namespace lockstep::rpc
