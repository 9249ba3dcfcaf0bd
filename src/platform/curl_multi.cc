#include "platform/curl_multi.h"

#include <array>
#include <cerrno>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <sys/epoll.h>

#include "base/assert.h"

namespace lockstep::platform {
namespace {

constexpr int events_per_turn_max = 256;

int new_epoll() {
  const int descriptor = ::epoll_create1(EPOLL_CLOEXEC);
  LS_MUST(descriptor >= 0, "epoll");
  return descriptor;
}

}  // namespace

struct CurlMulti::Descriptor {
  explicit Descriptor(AsioExecutor& executor) : stream(executor.context(), new_epoll()) {}
  boost::asio::posix::stream_descriptor stream;
};

CurlMulti::CurlMulti(AsioExecutor& executor, long connections_kept_max, Finished finished)
    : executor_(executor),
      finished_(std::move(finished)),
      multi_(::curl_multi_init()),
      epoll_(std::make_unique<Descriptor>(executor)) {
  LS_MUST(multi_ != nullptr, "out of memory");
  ::curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlMulti::on_socket);
  ::curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  ::curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlMulti::on_timer);
  ::curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  ::curl_multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
  ::curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, connections_kept_max);
  wait();
}

CurlMulti::~CurlMulti() {
  *alive_ = false;
  // Closes what is kept, which calls back.
  LS_MUST(::curl_multi_cleanup(multi_) == CURLM_OK);
  executor_.cancel(timer_);
}

void CurlMulti::add(CURL* easy) {
  LS_MUST(::curl_multi_add_handle(multi_, easy) == CURLM_OK);
}

void CurlMulti::remove(CURL* easy) {
  LS_MUST(::curl_multi_remove_handle(multi_, easy) == CURLM_OK);
}

void CurlMulti::run() {
  act(CURL_SOCKET_TIMEOUT, 0);
  reap();
}

CurlMulti::Watch& CurlMulti::watch_of(curl_socket_t socket) {
  LS_MUST(socket >= 0);
  const auto index = static_cast<std::size_t>(socket);
  if (index >= watches_.size()) watches_.resize(index + 1);
  return watches_[index];
}

void CurlMulti::opened(curl_socket_t socket) {
  watch_of(socket) = {.ours = true};
}

int CurlMulti::close_socket(void* self, curl_socket_t socket) {
  static_cast<CurlMulti*>(self)->watch_of(socket) = {};  // closing takes it out of the epoll set
  return ::close(socket);
}

// What libcurl wants of a connection that is used again and again comes and goes; what epoll was told stays,
// as long as nothing unwanted happens on it.
void CurlMulti::want(curl_socket_t socket, std::uint32_t events) {
  Watch& watch = watch_of(socket);
  watch.wanted = events;
  if (watch.registered == events || (events == 0 && watch.ours)) return;
  epoll_event change{};
  change.events = events;
  change.data.fd = socket;
  int operation = EPOLL_CTL_MOD;
  if (watch.registered == 0) operation = EPOLL_CTL_ADD;
  if (events == 0) operation = EPOLL_CTL_DEL;
  const int done = ::epoll_ctl(epoll_->stream.native_handle(), operation, socket, &change);
  LS_MUST(done == 0 || events == 0, "libcurl names an open socket");
  watch.registered = events;
}

int CurlMulti::on_socket(CURL* /*easy*/, curl_socket_t socket, int what, void* self, void* /*unused*/) {
  std::uint32_t events = 0;
  if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) events |= EPOLLIN;
  if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) events |= EPOLLOUT;
  static_cast<CurlMulti*>(self)->want(socket, events);
  return 0;
}

int CurlMulti::on_timer(CURLM* /*multi*/, long timeout_ms, void* self) {
  auto& multi = *static_cast<CurlMulti*>(self);
  multi.executor_.cancel(std::exchange(multi.timer_, env::TimerId{}));
  if (timeout_ms < 0 || !*multi.alive_) return 0;
  const TimePoint at = multi.executor_.clock().now() + std::chrono::milliseconds(timeout_ms);
  multi.timer_ = multi.executor_.schedule(at, [&multi] {
    multi.timer_ = {};
    multi.run();
  });
  return 0;
}

void CurlMulti::wait() {
  epoll_->stream.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                            [this, alive = alive_](const boost::system::error_code& error) {
                              if (*alive && !error) on_ready();
                            });
}

void CurlMulti::on_ready() {
  std::array<epoll_event, events_per_turn_max> ready{};
  const int count = ::epoll_wait(epoll_->stream.native_handle(), ready.data(), events_per_turn_max, 0);
  LS_MUST(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = ready.at(static_cast<std::size_t>(i));
    const int socket = event.data.fd;
    Watch& watch = watch_of(socket);
    if (watch.wanted == 0) {  // a kept connection that the other side closes, most likely
      if (watch.registered != 0) ::epoll_ctl(epoll_->stream.native_handle(), EPOLL_CTL_DEL, socket, nullptr);
      watch.registered = 0;
      continue;
    }
    int flags = 0;
    if ((event.events & (EPOLLIN | EPOLLHUP)) != 0) flags |= CURL_CSELECT_IN;
    if ((event.events & EPOLLOUT) != 0) flags |= CURL_CSELECT_OUT;
    if ((event.events & EPOLLERR) != 0) flags |= CURL_CSELECT_ERR;
    act(socket, flags);
  }
  wait();
  reap();
}

void CurlMulti::act(curl_socket_t socket, int events) {
  int running = 0;
  const CURLMcode done = ::curl_multi_socket_action(multi_, socket, events, &running);
  LS_MUST(done == CURLM_OK || done == CURLM_BAD_SOCKET);
}

void CurlMulti::reap() {
  std::vector<std::pair<CURL*, CURLcode>> ended;
  int left = 0;
  while (const CURLMsg* message = ::curl_multi_info_read(multi_, &left)) {
    if (message->msg == CURLMSG_DONE) ended.emplace_back(message->easy_handle, message->data.result);
  }
  if (!ended.empty()) finished_(std::move(ended));
}

}  // namespace lockstep::platform
