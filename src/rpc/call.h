// One call at the server: what its handler sees, and what its session keeps about it. Internal to rpc.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "rpc/http2.h"
#include "rpc/method_table.h"
#include "rpc/server_call.h"
#include "rpc/server_metrics.h"

namespace lockstep::rpc {

class ServerSession;

class Call final : public ServerCall, public Http2Stream {
 public:
  [[nodiscard]] std::string_view method() const override;
  [[nodiscard]] std::optional<std::string_view> metadata(std::string_view name) const override;
  [[nodiscard]] TimePoint deadline() const override { return deadline_; }
  [[nodiscard]] std::stop_token cancellation() override;
  [[nodiscard]] bool ended() const override { return finished || cancelled || session == nullptr; }
  [[nodiscard]] std::string remote_address() const override;
  [[nodiscard]] std::string_view peer_common_name() const override;
  void send(std::string_view message) override;
  [[nodiscard]] std::size_t unsent_bytes() const override;
  void notify_when_unsent_below(std::size_t bytes, std::move_only_function<void()> ready) override;
  void finish(const GrpcStatus& status) override;
  void respond(std::string_view message) override;

  // False: `value` is not base64 although the name says so.
  bool add_metadata(std::string_view name, std::string_view value);
  [[nodiscard]] std::size_t metadata_bytes() const { return field_bytes_.size(); }
  // As it came: for requests that are no gRPC.
  void add_field(std::string_view name, std::string_view value);
  template <class Visit>
  void for_each_metadata(Visit visit) const {
    const std::string_view bytes = field_bytes_;
    for (const Field& field : fields_)
      visit(bytes.substr(field.offset, field.name_size),
            bytes.substr(field.offset + field.name_size, field.value_size));
  }
  void set_deadline(TimePoint deadline) { deadline_ = deadline; }
  // Tells whoever serves it that it ended from outside. Handlers run inside.
  void tell_cancelled();
  // Makes it as good as new, but for the memory it keeps.
  void recycle();

  // Of the session.
  ServerSession* session = nullptr;
  std::size_t slot = 0;  // in the session's list
  Method* served = nullptr;
  TimePoint began{};
  std::size_t header_bytes = 0;
  bool post = false;          // :method
  bool grpc_content = false;  // content-type
  bool plain = false;         // no gRPC: see plain.h
  std::string method_name;    // kept unless it is POST, if somebody serves plain requests
  std::string target;         // kept unless a method is served there, if somebody serves plain requests
  int http_error = 0;         // to be answered instead of serving; zero: none
  GrpcStatus error;           // the same, as a gRPC status
  bool headers_done = false;
  bool half_closed = false;  // the client will send no more
  bool begun = false;        // it is being served
  bool dispatched = false;   // the unary handler was called
  bool half_close_told = false;
  bool touched = false;   // waits for the session to look at it
  bool closed = false;    // the stream is gone
  bool answered = false;  // headers were submitted
  bool finished = false;
  bool cancelled = false;
  std::string request;  // bytes of messages not yet handed over
  // When the message in `request`, or the one that a unary call owes, must be complete.
  TimePoint message_due = no_deadline;
  std::unique_ptr<ServerStreamHandler> handler;
  GrpcStatus status;  // of the trailers
  std::size_t notify_below = 0;
  std::move_only_function<void()> notify;

 private:
  struct Field {
    std::uint32_t name_size = 0;
    std::uint32_t offset = 0;  // of the name; the value follows it
    std::uint32_t value_size = 0;
  };
  TimePoint deadline_ = no_deadline;
  std::string field_bytes_;
  std::vector<Field> fields_;
  std::optional<std::stop_source> stop_;
};

}  // namespace lockstep::rpc
