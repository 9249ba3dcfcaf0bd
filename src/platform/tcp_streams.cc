#include "platform/tcp_streams.h"

#include <algorithm>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/container/static_vector.hpp>
#include <netinet/tcp.h>

#include "base/assert.h"

namespace lockstep::platform {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// What Asio gives to one system call.
constexpr std::size_t buffers_per_write_max = 64;
constexpr std::chrono::milliseconds accept_pause{100};

void set_option(tcp::socket& socket, int level, int option, int value) {
  // Best effort: each of these improves, none is needed.
  ::setsockopt(socket.native_handle(), level, option, &value, sizeof value);
}

void tune(tcp::socket& socket, const TcpOptions& options) {
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, options.keepalive_idle_s);
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, options.keepalive_interval_s);
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, options.keepalive_probes);
  set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, options.unacknowledged_ms_max);
}

class TcpStream final : public env::Stream {
 public:
  TcpStream(AsioExecutor& executor, tcp::socket socket, const TcpOptions& options)
      : executor_(executor), socket_(std::move(socket)) {
    tune(socket_, options);
    error_code error;
    const tcp::endpoint remote = socket_.remote_endpoint(error);
    if (!error) remote_ = remote.address().to_string() + ":" + std::to_string(remote.port());
  }

  void async_read_some(std::span<char> buffer, Done done) override {
    LS_MUST(!buffer.empty());
    socket_.async_read_some(asio::buffer(buffer.data(), buffer.size()), std::move(done));
  }
  void async_write_some(std::span<const std::string_view> buffers, Done done) override {
    LS_MUST(!buffers.empty());
    boost::container::static_vector<asio::const_buffer, buffers_per_write_max> sequence;
    for (const std::string_view bytes : buffers.first(std::min(buffers.size(), buffers_per_write_max)))
      sequence.emplace_back(bytes.data(), bytes.size());
    if (!held()) return socket_.async_write_some(sequence, std::move(done));
    executor_.when_released(
        [this, alive = std::weak_ptr<bool>(alive_), sequence, done = std::move(done)]() mutable {
          if (!alive.expired()) socket_.async_write_some(sequence, std::move(done));
        });
  }
  std::size_t write_now(std::string_view bytes) override {
    if (held()) return 0;
    const ssize_t sent =
        ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent > 0 ? static_cast<std::size_t>(sent) : 0;
  }
  [[nodiscard]] bool held() const override { return executor_.held(); }
  void close() override {
    error_code ignored;
    socket_.close(ignored);
  }
  void end_writes() override {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }
  [[nodiscard]] std::string remote_address() const override { return remote_; }

 private:
  AsioExecutor& executor_;
  tcp::socket socket_;
  std::string remote_ = "?";
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

bool split_address(const std::string& address, std::string* host, std::string* port) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) return false;
  *host = address.substr(0, colon);
  *port = address.substr(colon + 1);
  if (port->size() > 5 || !std::ranges::all_of(*port, [](char c) { return c >= '0' && c <= '9'; }))
    return false;
  if (std::stoi(*port) > 65535) return false;
  if (host->front() == '[') {
    if (host->size() < 3 || host->back() != ']') return false;
    *host = host->substr(1, host->size() - 2);
  } else if (host->find(':') != std::string::npos) {
    return false;
  }
  return true;
}

class TcpConnecting final : public env::Connecting {
 public:
  TcpConnecting(AsioExecutor& executor, const TcpOptions& options, const std::string& address, Done done)
      : attempt_(std::make_shared<Attempt>(executor, options, std::move(done))) {
    asio::io_context& context = executor.context();
    std::string host;
    std::string port;
    if (!split_address(address, &host, &port)) {
      asio::post(context, [attempt = attempt_] { attempt->finish(asio::error::invalid_argument); });
      return;
    }
    error_code not_numeric;
    const asio::ip::address numeric = asio::ip::make_address(host, not_numeric);
    if (!not_numeric) {  // spares the resolver's thread
      const tcp::endpoint endpoint(numeric, static_cast<std::uint16_t>(std::stoi(port)));
      attempt_->socket.async_connect(
          endpoint, [attempt = attempt_](const error_code& error) { attempt->finish(error); });
      return;
    }
    attempt_->resolver.async_resolve(
        host, port, [attempt = attempt_](const error_code& error, const tcp::resolver::results_type& found) {
          if (!attempt->done) return;
          if (error) return attempt->finish(error);
          asio::async_connect(
              attempt->socket, found,
              [attempt](const error_code& failed, const tcp::endpoint&) { attempt->finish(failed); });
        });
  }
  ~TcpConnecting() override {
    attempt_->done = nullptr;
    attempt_->resolver.cancel();
    error_code ignored;
    attempt_->socket.close(ignored);
  }

 private:
  struct Attempt {
    Attempt(AsioExecutor& strand, const TcpOptions& tcp_options, Done callback)
        : executor(strand),
          options(tcp_options),
          socket(strand.context()),
          resolver(strand.context()),
          done(std::move(callback)) {}
    void finish(const error_code& error) {
      if (!done) return;
      Done callback = std::exchange(done, nullptr);
      if (error) return callback(error, nullptr);
      callback({}, std::make_unique<TcpStream>(executor, std::move(socket), options));
    }
    AsioExecutor& executor;
    TcpOptions options;
    tcp::socket socket;
    tcp::resolver resolver;
    Done done;
  };
  std::shared_ptr<Attempt> attempt_;
};

class TcpListener final : public env::Listener {
 public:
  TcpListener(AsioExecutor& executor, tcp::acceptor acceptor, const TcpOptions& options, Accepted accepted)
      : state_(std::make_shared<State>(executor, std::move(acceptor), options, std::move(accepted))) {
    accept_next(state_);
  }
  ~TcpListener() override {
    state_->open = false;
    error_code ignored;
    state_->acceptor.close(ignored);
    state_->pause.cancel();
  }
  [[nodiscard]] std::uint16_t port() const override {
    error_code ignored;
    return state_->acceptor.local_endpoint(ignored).port();
  }

 private:
  struct State {
    State(AsioExecutor& strand, tcp::acceptor from, const TcpOptions& tcp_options, Accepted callback)
        : executor(strand),
          options(tcp_options),
          acceptor(std::move(from)),
          pause(acceptor.get_executor()),
          accepted(std::move(callback)) {}
    AsioExecutor& executor;
    TcpOptions options;
    tcp::acceptor acceptor;
    asio::steady_timer pause;
    Accepted accepted;
    bool open = true;
  };
  static void accept_next(const std::shared_ptr<State>& state) {
    state->acceptor.async_accept([state](const error_code& error, tcp::socket socket) {
      if (!state->open) return;
      if (!error)
        state->accepted(std::make_unique<TcpStream>(state->executor, std::move(socket), state->options));
      if (!state->open) return;
      if (!error || error == asio::error::connection_aborted) return accept_next(state);
      state->pause.expires_after(accept_pause);
      state->pause.async_wait([state](const error_code&) {
        if (state->open) accept_next(state);
      });
    });
  }
  std::shared_ptr<State> state_;
};

}  // namespace

std::unique_ptr<env::Connecting> TcpStreams::connect(const std::string& address, env::Connecting::Done done) {
  return std::make_unique<TcpConnecting>(executor_, options_, address, std::move(done));
}

Result<std::unique_ptr<env::Listener>> TcpStreams::listen(const std::string& address,
                                                          env::Listener::Accepted accepted) {
  std::string host;
  std::string port;
  if (!split_address(address, &host, &port))
    return Status(Code::invalid_argument, "'" + address + "' is not host:port");
  error_code error;
  tcp::resolver resolver(executor_.context());
  const auto found = resolver.resolve(host, port, tcp::resolver::passive, error);
  const auto failed = [&](std::string_view what) {
    return Status(Code::io_error, std::string(what) + " " + address + ": " + error.message());
  };
  if (error) return failed("resolve");
  LS_MUST(!found.empty());
  const tcp::endpoint endpoint = found.begin()->endpoint();
  tcp::acceptor acceptor(executor_.context());
  acceptor.open(endpoint.protocol(), error);
  if (error) return failed("open a socket for");
  acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (error) return failed("set options for");
  acceptor.bind(endpoint, error);
  if (error) return failed("bind");
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed("listen on");
  return std::unique_ptr<env::Listener>(
      std::make_unique<TcpListener>(executor_, std::move(acceptor), options_, std::move(accepted)));
}

}  // namespace lockstep::platform
