// One TLS connection on another stream. Internal to platform.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "env/executor.h"
#include "env/stream.h"

struct ssl_st;

namespace lockstep::platform {

class TlsStream final : public env::Stream {
 public:
  // Takes `connection` (freed with SSL_free).
  TlsStream(env::Executor& executor, std::unique_ptr<env::Stream> inner, ssl_st* connection);
  ~TlsStream() override;
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // Once, before anything else. `done` is never called inside the call; with a reason when it failed. The
  // alert was written by then.
  using HandshakeDone = std::move_only_function<void(std::string reason)>;
  void handshake(HandshakeDone done);

  void async_read_some(std::span<char> buffer, Done done) override;
  void async_write_some(std::span<const std::string_view> buffers, Done done) override;
  [[nodiscard]] bool held() const override;
  void close() override;
  void end_writes() override;
  [[nodiscard]] std::string remote_address() const override;
  [[nodiscard]] std::string peer_common_name() const override;
  [[nodiscard]] bool peer_is(const std::string& host) const override;

 private:
  class Engine;
  std::shared_ptr<Engine> engine_;
};

}  // namespace lockstep::platform
