#include "gateway/listener/listener.h"

#include <array>
#include <list>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace lockstep::gateway {
namespace {

constexpr std::size_t first_bytes_max = 4096;
constexpr std::string_view http2_begins = "PRI ";
constexpr char tls_handshake = 0x16;
// A fatal alert of TLS 1.0's record layer, "unexpected message": every client reports it as what it is.
constexpr std::string_view tls_alert{"\x15\x03\x01\x00\x02\x02\x0a", 7};

enum class Speaks : std::uint8_t { http2, http1, tls, garbage, more };

Speaks judge(std::string_view bytes) {
  if (bytes.empty()) return Speaks::more;
  if (bytes.size() < http2_begins.size() && http2_begins.starts_with(bytes)) return Speaks::more;
  if (bytes.starts_with(http2_begins)) return Speaks::http2;
  if (bytes[0] == tls_handshake) return Speaks::tls;
  if ((bytes[0] >= 'A' && bytes[0] <= 'Z') || bytes[0] == '\r') return Speaks::http1;
  return Speaks::garbage;
}

struct Undecided {
  std::unique_ptr<env::Stream> stream;
  std::array<char, first_bytes_max> bytes;
  std::size_t size = 0;
  env::TimerId timer;
  bool gone = false;
};

}  // namespace

class Listener::Core final : public std::enable_shared_from_this<Core> {
 public:
  Core(env::Executor& executor, env::Clock& clock, rpc::Server& grpc, HttpServer& http,
       const ListenerOptions& options)
      : executor_(executor), clock_(clock), grpc_(grpc), http_(http), options_(options) {}

  Result<std::uint16_t> listen(env::Streams& streams, const std::string& address) {
    LS_ASSIGN_OR_RETURN(
        std::unique_ptr<env::Listener> listener,
        streams.listen(address, [weak = weak_from_this()](std::unique_ptr<env::Stream> stream) {
          const auto core = weak.lock();
          if (core != nullptr) core->accept(std::move(stream));
        }));
    listeners_.push_back(std::move(listener));
    return listeners_.back()->port();
  }

  void accept(std::unique_ptr<env::Stream> stream) {
    LS_MUST(stream != nullptr);
    if (stopped_) return stream->close();
    ++metrics_.accepted;
    if (undecided_.size() >= options_.undecided_max) {
      ++metrics_.crowded_out;
      drop(undecided_.front());
    }
    auto one = std::make_shared<Undecided>();
    one->stream = std::move(stream);
    one->timer =
        executor_.schedule(clock_.now() + options_.first_bytes_timeout, [self = shared_from_this(), one] {
          if (one->gone) return;
          ++self->metrics_.silent;
          self->drop(one);
        });
    undecided_.push_back(one);
    read_more(one);
  }

  void stop() {
    stopped_ = true;
    listeners_.clear();
    while (!undecided_.empty()) drop(undecided_.front());
  }
  [[nodiscard]] const ListenerMetrics& metrics() const { return metrics_; }

 private:
  using One = std::shared_ptr<Undecided>;

  void read_more(const One& one) {
    const std::span<char> space = std::span(one->bytes).subspan(one->size);
    one->stream->async_read_some(space,
                                 [self = shared_from_this(), one](std::error_code error, std::size_t bytes) {
                                   if (!one->gone) self->on_read(one, error, bytes);
                                 });
  }

  void on_read(const One& one, std::error_code error, std::size_t bytes) {
    if (error) {
      ++metrics_.lost;
      return drop(one);
    }
    one->size += bytes;
    const std::string_view read(one->bytes.data(), one->size);
    switch (judge(read)) {
      case Speaks::more:
        return read_more(one);
      case Speaks::http2:
        ++metrics_.http2;
        return grpc_.accept(take(one), read);
      case Speaks::http1:
        ++metrics_.http1;
        return http_.accept(take(one), read);
      case Speaks::tls:
        ++metrics_.tls_on_plain_port;
        return alert(one);
      case Speaks::garbage:
        ++metrics_.garbage;
        return drop(one);
    }
  }

  // Stays undecided, so that its deadline holds, until the alert was written.
  void alert(const One& one) {
    static constexpr std::array<std::string_view, 1> buffers = {tls_alert};
    one->stream->async_write_some(buffers, [self = shared_from_this(), one](std::error_code, std::size_t) {
      if (!one->gone) self->drop(one);
    });
  }

  std::unique_ptr<env::Stream> take(const One& one) {
    LS_MUST(!one->gone);
    one->gone = true;
    executor_.cancel(one->timer);
    undecided_.remove(one);
    return std::move(one->stream);
  }
  // A copy: the caller's may be the list's own, which take() removes.
  void drop(One one) {  // NOLINT(performance-unnecessary-value-param)
    const std::unique_ptr<env::Stream> stream = take(one);
    stream->close();
  }

  env::Executor& executor_;
  env::Clock& clock_;
  rpc::Server& grpc_;
  HttpServer& http_;
  ListenerOptions options_;
  ListenerMetrics metrics_;
  std::vector<std::unique_ptr<env::Listener>> listeners_;
  std::list<One> undecided_;  // the oldest first
  bool stopped_ = false;
};

Listener::Listener(env::Executor& executor, env::Clock& clock, rpc::Server& grpc, HttpServer& http,
                   const ListenerOptions& options)
    : core_(std::make_shared<Core>(executor, clock, grpc, http, options)) {}

Listener::~Listener() {
  core_->stop();
}

Result<std::uint16_t> Listener::listen(env::Streams& streams, const std::string& address) {
  return core_->listen(streams, address);
}

void Listener::accept(std::unique_ptr<env::Stream> stream) {
  core_->accept(std::move(stream));
}

void Listener::stop() {
  core_->stop();
}

const ListenerMetrics& Listener::metrics() const {
  return core_->metrics();
}

}  // namespace lockstep::gateway
