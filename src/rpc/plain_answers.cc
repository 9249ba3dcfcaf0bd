#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/assert.h"
#include "rpc/plain.h"
#include "rpc/server_session.h"

namespace lockstep::rpc {
namespace {

constexpr std::size_t plain_fields_max = 30;

class PlainExchange final : public PlainAnswer {
 public:
  explicit PlainExchange(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  void begin(int status, std::span<const Http2Header> fields, bool has_body) override {
    if (!ended() && !call_->answered) call_->session->begin_plain(*call_, status, fields, has_body);
  }
  void send(std::string_view bytes) override {
    if (!ended() && call_->error.ok() && !bytes.empty()) call_->session->send_plain(*call_, bytes);
  }
  void finish() override {
    if (!ended()) call_->session->finish_plain(*call_);
  }
  [[nodiscard]] std::size_t unsent_bytes() const override { return call_->unsent_bytes(); }
  void notify_when_unsent_below(std::size_t bytes, std::move_only_function<void()> ready) override {
    call_->notify_when_unsent_below(bytes, std::move(ready));
  }
  [[nodiscard]] std::stop_token cancellation() override { return call_->cancellation(); }
  [[nodiscard]] bool ended() const override { return call_->ended(); }

 private:
  std::shared_ptr<Call> call_;
};

}  // namespace

// Waits for the whole request, then it is the handler's.
void ServerSession::look_at_plain(Call& call) {
  if (!call.error.ok()) return fail_plain(call);
  if (call.dispatched) return drop_request(call);
  if (call.http_error != 0) return serve_plain(call, call.http_error);
  if (!call.half_closed) return await_message(call);
  if (unsent_bytes_ <= shared_.options.connection_unsent_bytes_max) return serve_plain(call, 0);
  ++shared_.metrics.calls_refused;
  serve_plain(call, 503);
}

void ServerSession::serve_plain(Call& call, int refused) {
  LS_MUST(!call.dispatched);
  call.dispatched = true;
  call.begun = true;
  call.message_due = no_deadline;
  PlainRequest request;
  request.method = call.post ? "POST" : std::exchange(call.method_name, {});
  request.target = std::exchange(call.target, {});
  call.for_each_metadata(
      [&](std::string_view name, std::string_view value) { request.fields.emplace_back(name, value); });
  release_request(call.request.size());
  request.body = std::exchange(call.request, {});
  request.remote_address = remote_address_;
  request.peer_common_name = peer_common_name_;
  request.refused = refused;
  shared_.plain(std::make_shared<PlainExchange>(calls_[call.slot]), request);
}

// Over from our side: a bound was broken, or the server stops.
void ServerSession::fail_plain(Call& call) {
  const GrpcStatus error = std::exchange(call.error, {});
  if (!call.dispatched) return serve_plain(call, error.code == GrpcCode::internal ? 400 : 503);
  drop_request(call);
  if (error.code == GrpcCode::unavailable && call.answered) {
    finish_plain(call);
  } else {
    call.finished = true;
    http2_.reset(call, Http2Error::internal_error);
    host_.on_output(Output::control);
  }
  call.tell_cancelled();
}

void ServerSession::begin_plain(Call& call, int status, std::span<const Http2Header> fields, bool has_body) {
  LS_MUST(fields.size() <= plain_fields_max);
  const std::string digits = std::to_string(status);
  std::array<Http2Header, plain_fields_max + 1> headers;
  headers[0] = {":status", digits};
  std::ranges::copy(fields, headers.begin() + 1);
  call.answered = true;
  sent_since_client_ping_ = true;
  if (!has_body) {
    call.finished = true;
    call.body_ends = true;
  }
  http2_.submit_response(call, std::span(headers).first(fields.size() + 1), has_body);
  host_.on_output(Output::control);
}

void ServerSession::send_plain(Call& call, std::string_view bytes) {
  LS_MUST(call.answered, "begin() comes first");
  if (!has_room_for(bytes.size())) return overflow(call);
  call.body.append(bytes);
  added_unsent(bytes.size());
  answer_changed(call);
}

void ServerSession::finish_plain(Call& call) {
  LS_MUST(call.answered, "begin() comes first");
  call.finished = true;
  call.body_ends = true;
  answer_changed(call);
}

}  // namespace lockstep::rpc
