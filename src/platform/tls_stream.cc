#include "platform/tls_stream.h"

#include <algorithm>
#include <array>
#include <utility>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/assert.h"
#include "base/limits.h"
#include "platform/tls_context.h"

namespace lockstep::platform {
namespace {

// One record and its overhead, a little more than OpenSSL reads at once.
constexpr std::size_t cipher_read_bytes = 17 * limits::kibibyte;
// Larger buffers are given back when they were written: connections are many, large answers few.
constexpr std::size_t kept_bytes_max = 32 * limits::kibibyte;
// What one write encrypts; the rest comes with the next.
constexpr std::size_t plain_write_bytes_max = 256 * limits::kibibyte;

std::error_code cancelled() {
  return std::make_error_code(std::errc::operation_canceled);
}
std::error_code ended() {
  return std::make_error_code(std::errc::connection_reset);
}

std::string failure_reason(SSL* ssl) {
  const long verified = SSL_get_verify_result(ssl);
  const unsigned long code = ERR_peek_error();
  ERR_clear_error();
  if (verified != X509_V_OK) return X509_verify_cert_error_string(verified);
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "connection lost" : reason;
}

}  // namespace

// Shared with the operations of the inner stream. Callbacks of users run from the inner stream's callbacks or
// from posted closures.
class TlsStream::Engine final : public std::enable_shared_from_this<Engine> {
 public:
  Engine(env::Executor& executor, std::unique_ptr<env::Stream> inner, SSL* ssl)
      : executor_(executor),
        inner_(std::move(inner)),
        ssl_(ssl),
        from_network_(BIO_new(BIO_s_mem())),
        to_network_(BIO_new(BIO_s_mem())),
        cipher_in_(cipher_read_bytes) {
    LS_MUST(inner_ != nullptr);
    LS_MUST(from_network_ != nullptr);
    LS_MUST(to_network_ != nullptr);
    BIO_set_mem_eof_return(from_network_, -1);
    SSL_set_bio(ssl_, from_network_, to_network_);  // which owns them from here on
  }
  ~Engine() { SSL_free(ssl_); }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void handshake(HandshakeDone done) {
    handshake_done_ = std::move(done);
    go_on_soon();
  }
  void read(std::span<char> buffer, Done done) {
    LS_MUST(!read_done_, "one read at a time");
    LS_MUST(!buffer.empty());
    read_buffer_ = buffer;
    read_done_ = std::move(done);
    // Most often nothing is there yet, and the inner read can begin at once.
    if (!broken_ && !closed_ && SSL_pending(ssl_) == 0 && BIO_ctrl_pending(from_network_) == 0) {
      return read_inner();
    }
    go_on_soon();
  }
  void write(std::span<const std::string_view> buffers, Done done) {
    LS_MUST(!write_done_, "one write at a time");
    write_done_ = std::move(done);
    written_ = broken_ || closed_ ? 0 : encrypt(buffers);
    if (written_ == 0) return go_on_soon();
    flush();
  }
  void close() {
    if (std::exchange(closed_, true)) return;
    handshake_done_ = nullptr;
    inner_->close();
    if (!read_done_ && !write_done_) return;
    // Not kept here: whoever waits may own this stream, and the strand may never run again.
    executor_.post(
        [read = std::exchange(read_done_, nullptr), write = std::exchange(write_done_, nullptr)]() mutable {
          if (read) read(cancelled(), 0);
          if (write) write(cancelled(), 0);
        });
  }
  void end_writes() {
    if (closed_ || broken_) return;
    ERR_clear_error();
    SSL_shutdown(ssl_);
    ending_ = true;
    flush();
    end_inner();
  }

  [[nodiscard]] bool held() const { return inner_->held(); }
  [[nodiscard]] std::string remote_address() const { return inner_->remote_address(); }
  [[nodiscard]] X509* peer() const { return SSL_get0_peer_certificate(ssl_); }

 private:
  void go_on_soon() {
    executor_.post([self = shared_from_this()] { self->go_on(); });
  }

  // Whatever can be completed now.
  void go_on() {
    if (closed_) return;
    if (handshake_done_ && !advance_handshake()) return;
    if (broken_) return give_up(ended());
    if (read_done_) advance_read();
    if (write_done_ && written_ == 0) give_up(ended());
  }

  // False: it is not done yet.
  bool advance_handshake() {
    if (failed_.empty()) {
      ERR_clear_error();
      const int result = SSL_do_handshake(ssl_);
      if (result != 1) {
        const int error = SSL_get_error(ssl_, result);
        if (error == SSL_ERROR_WANT_READ && !broken_) {
          flush();
          read_inner();
          return false;
        }
        failed_ = failure_reason(ssl_);
      }
      flush();
    }
    // A failure waits until its alert is out.
    if (!failed_.empty() && writing_inner_) return false;
    HandshakeDone done = std::exchange(handshake_done_, nullptr);
    done(failed_);
    return true;
  }

  void advance_read() {
    ERR_clear_error();
    const int got = SSL_read(ssl_, read_buffer_.data(),
                             static_cast<int>(std::min<std::size_t>(read_buffer_.size(), 1 << 30)));
    flush();  // what reading answered: key updates, alerts
    if (got > 0) return std::exchange(read_done_, nullptr)({}, static_cast<std::size_t>(got));
    if (SSL_get_error(ssl_, got) == SSL_ERROR_WANT_READ) return read_inner();
    ERR_clear_error();
    std::exchange(read_done_, nullptr)(ended(), 0);
  }

  void give_up(std::error_code error) {
    if (handshake_done_) std::exchange(handshake_done_, nullptr)("connection lost");
    if (read_done_) std::exchange(read_done_, nullptr)(error, 0);
    if (write_done_) std::exchange(write_done_, nullptr)(error, 0);
  }

  // Small pieces share a record.
  std::size_t encrypt(std::span<const std::string_view> buffers) {
    plain_.clear();
    for (const std::string_view piece : buffers) {
      plain_.append(piece.substr(0, plain_write_bytes_max - plain_.size()));
      if (plain_.size() == plain_write_bytes_max) break;
    }
    LS_MUST(!plain_.empty());
    ERR_clear_error();
    const int taken = SSL_write(ssl_, plain_.data(), static_cast<int>(plain_.size()));
    if (taken <= 0) {
      ERR_clear_error();
      broken_ = true;
      return 0;
    }
    return static_cast<std::size_t>(taken);
  }

  void flush() {
    if (closed_ || broken_ || writing_inner_) return;
    cipher_out_.resize(BIO_ctrl_pending(to_network_));
    if (cipher_out_.empty()) return;
    const int moved = BIO_read(to_network_, cipher_out_.data(), static_cast<int>(cipher_out_.size()));
    LS_MUST(moved == static_cast<int>(cipher_out_.size()));
    cipher_out_written_ = 0;
    writing_inner_ = true;
    write_inner();
  }

  void write_inner() {
    const std::string_view rest = std::string_view(cipher_out_).substr(cipher_out_written_);
    inner_->async_write_some({&rest, 1},
                             [self = shared_from_this()](std::error_code error, std::size_t bytes) {
                               self->on_written(error, bytes);
                             });
  }

  void on_written(std::error_code error, std::size_t bytes) {
    if (error || closed_) {
      writing_inner_ = false;
      broken_ = true;
      return go_on();
    }
    cipher_out_written_ += bytes;
    if (cipher_out_written_ < cipher_out_.size()) return write_inner();
    writing_inner_ = false;
    if (cipher_out_.capacity() > kept_bytes_max) {
      std::string().swap(cipher_out_);
      std::string().swap(plain_);
    }
    flush();
    if (writing_inner_) return;
    end_inner();
    if (handshake_done_) return go_on();
    if (write_done_ && written_ != 0) std::exchange(write_done_, nullptr)({}, std::exchange(written_, 0));
  }

  void end_inner() {
    if (ending_ && !writing_inner_ && !closed_) inner_->end_writes();
  }

  void read_inner() {
    if (closed_ || std::exchange(reading_inner_, true)) return;
    inner_->async_read_some(
        cipher_in_, [self = shared_from_this()](std::error_code error, std::size_t bytes) {
          self->reading_inner_ = false;
          if (error) {
            self->broken_ = true;
          } else {
            LS_MUST(BIO_write(self->from_network_, self->cipher_in_.data(), static_cast<int>(bytes)) ==
                    static_cast<int>(bytes));
          }
          self->go_on();
        });
  }

  env::Executor& executor_;
  std::unique_ptr<env::Stream> inner_;
  SSL* ssl_;
  BIO* from_network_;
  BIO* to_network_;
  std::vector<char> cipher_in_;
  std::string cipher_out_;
  std::size_t cipher_out_written_ = 0;
  std::string plain_;
  HandshakeDone handshake_done_;
  std::string failed_;
  std::span<char> read_buffer_;
  Done read_done_;
  Done write_done_;
  std::size_t written_ = 0;  // plain bytes of the write under way
  bool reading_inner_ = false;
  bool writing_inner_ = false;
  bool ending_ = false;
  bool broken_ = false;  // the inner stream ended
  bool closed_ = false;
};

TlsStream::TlsStream(env::Executor& executor, std::unique_ptr<env::Stream> inner, ssl_st* connection)
    : engine_(std::make_shared<Engine>(executor, std::move(inner), connection)) {}

TlsStream::~TlsStream() {
  engine_->close();
}

void TlsStream::handshake(HandshakeDone done) {
  engine_->handshake(std::move(done));
}

void TlsStream::async_read_some(std::span<char> buffer, Done done) {
  engine_->read(buffer, std::move(done));
}

void TlsStream::async_write_some(std::span<const std::string_view> buffers, Done done) {
  engine_->write(buffers, std::move(done));
}

bool TlsStream::held() const {
  return engine_->held();
}
void TlsStream::close() {
  engine_->close();
}

void TlsStream::end_writes() {
  engine_->end_writes();
}

std::string TlsStream::remote_address() const {
  return engine_->remote_address();
}

std::string TlsStream::peer_common_name() const {
  return common_name_of(engine_->peer());
}

bool TlsStream::peer_is(const std::string& host) const {
  return certificate_names(engine_->peer(), host);
}

}  // namespace lockstep::platform
