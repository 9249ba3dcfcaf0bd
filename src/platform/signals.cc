#include "platform/signals.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <unistd.h>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <sys/socket.h>
#include <sys/un.h>

namespace lockstep::platform {

namespace asio = boost::asio;

struct Signals::Wait : std::enable_shared_from_this<Signals::Wait> {
  Wait(asio::io_context& context, OnSignal callback) : set(context), on_signal(std::move(callback)) {}

  void next() {
    set.async_wait([self = shared_from_this()](const boost::system::error_code& error, int signal) {
      if (error || !self->on_signal) return;
      self->on_signal(signal);
      self->next();
    });
  }

  asio::signal_set set;
  OnSignal on_signal;
};

Signals::Signals(AsioExecutor& executor, std::span<const int> signals, OnSignal on_signal)
    : wait_(std::make_shared<Wait>(executor.context(), std::move(on_signal))) {
  for (const int signal : signals) wait_->set.add(signal);
  wait_->next();
}

Signals::~Signals() {
  wait_->on_signal = nullptr;
  boost::system::error_code ignored;
  wait_->set.cancel(ignored);
}

void notify_service_manager(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || std::strlen(path) == 0 || std::strlen(path) >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, std::strlen(path));
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // an abstract socket
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  // Nobody may be listening any more, and that is all right.
  [[maybe_unused]] const ssize_t sent =
      ::sendto(socket, state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
               reinterpret_cast<const sockaddr*>(&address), size);
  ::close(socket);
}

Duration watchdog_interval() {
  const char* text = std::getenv("WATCHDOG_USEC");
  if (text == nullptr) return Duration::zero();
  const long long microseconds = std::atoll(text);
  return microseconds <= 0 ? Duration::zero() : std::chrono::microseconds(microseconds / 2);
}

}  // namespace lockstep::platform
