#include "rpc/call.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "rpc/grpc_wire.h"
#include "rpc/server_session.h"

namespace lockstep::rpc {
namespace {

// What a call keeps of its buffers when it returns to the pool.
constexpr std::size_t kept_bytes_max = 16 * limits::kibibyte;

void empty(std::string& buffer) {
  buffer.clear();
  if (buffer.capacity() > kept_bytes_max) buffer.shrink_to_fit();
}

}  // namespace

std::string_view Call::method() const {
  LS_MUST(served != nullptr);
  return served->path;
}

std::optional<std::string_view> Call::metadata(std::string_view name) const {
  const std::string_view bytes = field_bytes_;
  for (const Field& field : fields_) {
    if (bytes.substr(field.offset, field.name_size) == name)
      return bytes.substr(field.offset + field.name_size, field.value_size);
  }
  return std::nullopt;
}

bool Call::add_metadata(std::string_view name, std::string_view value) {
  const std::size_t offset = field_bytes_.size();
  field_bytes_.append(name);
  const std::size_t value_offset = field_bytes_.size();
  if (is_binary_name(name)) {
    if (!append_base64_decoded(field_bytes_, value)) return false;
  } else {
    field_bytes_.append(value);
  }
  fields_.push_back({static_cast<std::uint32_t>(name.size()), static_cast<std::uint32_t>(offset),
                     static_cast<std::uint32_t>(field_bytes_.size() - value_offset)});
  return true;
}

void Call::add_field(std::string_view name, std::string_view value) {
  const std::size_t offset = field_bytes_.size();
  field_bytes_.append(name).append(value);
  fields_.push_back({static_cast<std::uint32_t>(name.size()), static_cast<std::uint32_t>(offset),
                     static_cast<std::uint32_t>(value.size())});
}

std::stop_token Call::cancellation() {
  if (!stop_.has_value()) stop_.emplace();
  if (ended()) stop_->request_stop();
  return stop_->get_token();
}

std::string Call::remote_address() const {
  return session == nullptr ? std::string() : session->remote_address();
}

std::string_view Call::peer_common_name() const {
  return session == nullptr ? std::string_view() : session->peer_common_name();
}

std::size_t Call::unsent_bytes() const {
  if (session == nullptr || !session->congested()) return body_left();
  return std::max(body_left(), session->unsent_bytes());
}

void Call::send(std::string_view message) {
  if (ended() || !error.ok()) return;
  if (!session->has_room_for(message.size())) return session->overflow(*this);
  append_message(body, message);
  session->added_unsent(message_prefix_bytes + message.size());
  session->answer_changed(*this);
}

void Call::finish(const GrpcStatus& final_status) {
  if (ended()) return;
  session->end(*this, final_status);
}

void Call::respond(std::string_view message) {
  if (ended()) return;
  if (!session->has_room_for(message.size())) return session->end(*this, ServerSession::not_read());
  append_message(body, message);
  session->added_unsent(message_prefix_bytes + message.size());
  session->end(*this, {});
}

void Call::notify_when_unsent_below(std::size_t bytes, std::move_only_function<void()> ready) {
  if (ended()) return;
  notify_below = bytes;
  notify = std::move(ready);
  if (unsent_bytes() < bytes) session->post_notification(*this);
}

void Call::tell_cancelled() {
  if (stop_.has_value()) stop_->request_stop();
  notify = nullptr;
  if (handler != nullptr) handler->on_cancelled();
}

void Call::recycle() {
  LS_MUST(session == nullptr);
  LS_MUST(handler == nullptr);
  std::string kept_body = std::move(body);
  std::string kept_request = std::move(request);
  std::string kept_fields = std::move(field_bytes_);
  std::vector<Field> kept_field_list = std::move(fields_);
  std::destroy_at(this);
  std::construct_at(this);
  empty(kept_body);
  empty(kept_request);
  empty(kept_fields);
  kept_field_list.clear();
  body = std::move(kept_body);
  request = std::move(kept_request);
  field_bytes_ = std::move(kept_fields);
  fields_ = std::move(kept_field_list);
}

}  // namespace lockstep::rpc
