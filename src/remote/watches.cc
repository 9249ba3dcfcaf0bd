#include "remote/watches.h"

#include <algorithm>
#include <list>
#include <map>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "remote/convert.h"
#include "remote/watch_state.h"
#include "store/errors.h"

namespace lockstep::remote {
namespace {

constexpr std::string_view watch_path = "/etcdserverpb.Watch/Watch";
constexpr std::int64_t every_watch = -1;

// Refusals of a login, of one watch in a row, before it ends.
constexpr int logins_per_watch_max = 3;

// The stream may be opened again; otherwise its end is the end of its watches.
bool may_reopen(const rpc::GrpcStatus& status) {
  switch (status.code) {
    case rpc::GrpcCode::unimplemented:
    case rpc::GrpcCode::permission_denied:
    case rpc::GrpcCode::failed_precondition:
      return false;
    case rpc::GrpcCode::resource_exhausted:
      // An answer that is too large for this end would come again.
      return !status.message.ends_with("too large a one");
    default:
      return true;
  }
}

}  // namespace

using WatchPtr = std::shared_ptr<WatchState>;
using State = WatchState::State;

class Watches::Core final : public std::enable_shared_from_this<Watches::Core> {
 public:
  Core(Connections& connections, const WatchesOptions& options)
      : connections_(connections), options_(options) {}

  std::unique_ptr<store::Subscription> watch(store::WatchRequest request, Revision acknowledged);
  void when_created(TimePoint deadline, env::Closure closure);
  void close();

  // Of subscriptions.
  void forget(const WatchPtr& watch);
  void taken(WatchState& watch);
  void request_progress(WatchState& watch);

 private:
  class Handler;
  struct Held {
    env::Closure closure;
    env::TimerId timer;
  };

  void open();
  void opened(Result<Connections::Line> line);
  void create(const WatchPtr& watch);
  void cancel_at_server(std::int64_t id);
  void send_progress_request();
  void on_message(std::string_view bytes);
  void on_created(const pb::WatchResponse& message);
  void log_in_anew(std::string_view reason);
  void on_events(const WatchPtr& watch);
  void on_progress();
  void on_end(const rpc::GrpcStatus& status);
  void finish(const WatchPtr& watch, store::WatchResponse last);
  void finish_all(const Status& why);
  static void tell(const WatchPtr& watch);
  void release_held();

  Connections& connections_;
  const WatchesOptions options_;
  std::list<WatchPtr> watches_;  // not over, in the order they were made
  std::map<std::int64_t, WatchPtr> live_;
  std::list<WatchPtr> creating_;  // the server answers in this order
  std::shared_ptr<rpc::ClientStream> stream_;
  std::shared_ptr<bool> stream_life_;  // tells an old stream's handler that it is old
  bool opening_ = false;
  bool delivered_ = false;  // the stream did something
  env::TimerId reopen_timer_;
  std::list<Held> held_;
  pb::WatchResponse message_;
  bool closed_ = false;
};

namespace {

class RemoteSubscription final : public store::Subscription {
 public:
  RemoteSubscription(WatchPtr watch, std::weak_ptr<Watches::Core> core)
      : watch_(std::move(watch)), core_(std::move(core)) {}
  ~RemoteSubscription() override {
    watch_->ready = nullptr;
    if (const auto core = core_.lock()) core->forget(watch_);
  }

  std::optional<store::WatchResponse> next(std::size_t bytes_max) override {
    std::optional<store::WatchResponse> response = watch_->next(bytes_max);
    if (const auto core = core_.lock(); core && response) core->taken(*watch_);
    return response;
  }
  void notify_when_ready(std::move_only_function<void()> ready) override { watch_->ready = std::move(ready); }
  void request_progress() override {
    if (const auto core = core_.lock()) core->request_progress(*watch_);
  }

 private:
  WatchPtr watch_;
  std::weak_ptr<Watches::Core> core_;
};

}  // namespace

class Watches::Core::Handler final : public rpc::ClientStreamHandler {
 public:
  Handler(std::weak_ptr<Core> core, std::weak_ptr<bool> life)
      : core_(std::move(core)), life_(std::move(life)) {}
  void on_message(std::string_view message) override {
    if (const auto core = core_.lock(); core && !life_.expired()) core->on_message(message);
  }
  void on_end(const rpc::CallResult& result) override {
    if (const auto core = core_.lock(); core && !life_.expired()) core->on_end(result.status);
  }

 private:
  std::weak_ptr<Core> core_;
  std::weak_ptr<bool> life_;
};

std::unique_ptr<store::Subscription> Watches::Core::watch(store::WatchRequest request,
                                                          Revision acknowledged) {
  auto watch = std::make_shared<WatchState>(std::move(request), acknowledged);
  watches_.push_back(watch);
  if (stream_ != nullptr) {
    create(watch);
  } else {
    open();
  }
  return std::make_unique<RemoteSubscription>(std::move(watch), weak_from_this());
}

void Watches::Core::open() {
  if (opening_ || closed_ || stream_ != nullptr || reopen_timer_ != env::TimerId{} || watches_.empty())
    return;
  opening_ = true;
  connections_.line(no_deadline, {}, [weak = weak_from_this()](Result<Connections::Line> line) {
    if (const auto core = weak.lock()) core->opened(std::move(line));
  });
}

void Watches::Core::opened(Result<Connections::Line> line) {
  opening_ = false;
  if (closed_) return;
  if (!line.ok()) return finish_all(line.status());
  std::vector<rpc::MetadataField> metadata = line->metadata;
  // Without it a member that lost its leader would leave us waiting in silence.
  metadata.push_back({"hasleader", "true"});
  stream_life_ = std::make_shared<bool>(true);
  delivered_ = false;
  stream_ =
      line->endpoint->stream(watch_path, metadata, std::make_unique<Handler>(weak_from_this(), stream_life_));
  for (const WatchPtr& watch : watches_) {
    if (watch->state == State::absent) create(watch);
  }
}

void Watches::Core::create(const WatchPtr& watch) {
  LS_MUST(stream_ != nullptr);
  LS_MUST(watch->state == State::absent);
  pb::WatchRequest request;
  to_wire(watch->start_again(), request.mutable_create_request());
  watch->state = State::creating;
  creating_.push_back(watch);
  stream_->send(request.SerializeAsString());
}

void Watches::Core::cancel_at_server(std::int64_t id) {
  if (stream_ == nullptr) return;
  pb::WatchRequest request;
  request.mutable_cancel_request()->set_watch_id(id);
  stream_->send(request.SerializeAsString());
}

void Watches::Core::send_progress_request() {
  if (stream_ == nullptr) return;
  pb::WatchRequest request;
  request.mutable_progress_request();
  stream_->send(request.SerializeAsString());
}

void Watches::Core::on_message(std::string_view bytes) {
  if (!message_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    stream_->cancel();
    return on_end({rpc::GrpcCode::internal, "the server sent what is no watch response"});
  }
  delivered_ = true;
  if (message_.created()) return on_created(message_);
  if (message_.watch_id() == every_watch && !message_.canceled()) return on_progress();
  const auto found = live_.find(message_.watch_id());
  if (found != live_.end()) on_events(WatchPtr(found->second));
}

void Watches::Core::on_created(const pb::WatchResponse& message) {
  if (creating_.empty()) return;
  const WatchPtr watch = std::move(creating_.front());
  creating_.pop_front();
  if (message.canceled()) {
    if (watch->state == State::over) return;
    if (connections_.has_user() && !login_text_in(message.cancel_reason()).empty() &&
        watch->logins < logins_per_watch_max) {
      ++watch->logins;
      return log_in_anew(message.cancel_reason());
    }
    store::WatchResponse last;
    from_wire(std::move(message_), &last);
    return finish(watch, std::move(last));
  }
  watch->logins = 0;
  if (watch->state == State::over) return cancel_at_server(message.watch_id());
  LS_MUST(watch->state == State::creating);
  watch->state = State::live;
  watch->id = message.watch_id();
  live_[watch->id] = watch;
  watch->begin(Revision(message.header().revision()));
  if (watch->progress_wanted) send_progress_request();
  release_held();
}

// Everything on the stream is asked for again, with the token of the next login.
void Watches::Core::log_in_anew(std::string_view reason) {
  const std::shared_ptr<rpc::ClientStream> stream = stream_;
  delivered_ = false;  // not at once: the login may not help
  on_end({rpc::GrpcCode::unauthenticated, std::string(login_text_in(reason)), {}});
  stream->cancel();
}

void Watches::Core::on_events(const WatchPtr& watch) {
  store::WatchResponse response;
  from_wire(std::move(message_), &response);
  if (response.canceled) return finish(watch, std::move(response));
  const bool fresh = watch->take(std::move(response));
  if (watch->buffer_bytes > options_.subscription_bytes_max && !watch->in_fragment) {
    cancel_at_server(watch->id);
    live_.erase(watch->id);
    watch->state = State::paused;
  }
  if (fresh) tell(watch);
}

void Watches::Core::on_progress() {
  store::WatchResponse response;
  from_wire(std::move(message_), &response);
  std::vector<WatchPtr> asked;
  for (const auto& [id, watch] : live_) {
    if (!std::exchange(watch->progress_wanted, false)) continue;
    if (watch->take(response)) asked.push_back(watch);
  }
  for (const WatchPtr& watch : asked) tell(watch);
}

void Watches::Core::on_end(const rpc::GrpcStatus& status) {
  stream_ = nullptr;
  stream_life_.reset();
  live_.clear();
  creating_.clear();
  for (const WatchPtr& watch : watches_) {
    if (watch->state != State::paused) watch->state = State::absent;
  }
  connections_.stream_ended(status);
  if (!may_reopen(status) && !asks_for_login(status))
    return finish_all(to_status(status, Effect::none, true));
  if (watches_.empty()) return;
  if (delivered_ && status.code != rpc::GrpcCode::resource_exhausted) return open();
  reopen_timer_ = connections_.executor().schedule(connections_.clock().now() + options_.reopen_pause,
                                                   [weak = weak_from_this()] {
                                                     const auto core = weak.lock();
                                                     if (core == nullptr || core->closed_) return;
                                                     core->reopen_timer_ = {};
                                                     core->open();
                                                   });
}

void Watches::Core::finish(const WatchPtr& watch, store::WatchResponse last) {
  watches_.remove(watch);
  // Of one that is not live the id is an older stream's: it may be another's by now.
  if (watch->state == State::live) live_.erase(watch->id);
  // etcd leaves the reason out where the number says it all.
  if (last.compact_revision != Revision{} && last.cancel_reason.empty())
    last.cancel_reason = store::errors::compacted().message();
  watch->finish(std::move(last));
  release_held();
  tell(watch);
}

void Watches::Core::finish_all(const Status& why) {
  const std::list<WatchPtr> ending = std::exchange(watches_, {});
  live_.clear();
  creating_.clear();
  store::WatchResponse last;
  last.cancel_reason = why.message();
  for (const WatchPtr& watch : ending) {
    if (watch->state != State::over) watch->finish(last);
  }
  release_held();
  for (const WatchPtr& watch : ending) tell(watch);
}

void Watches::Core::tell(const WatchPtr& watch) {
  if (auto ready = std::exchange(watch->ready, nullptr)) ready();
}

void Watches::Core::forget(const WatchPtr& watch) {
  if (watch->state == State::over) return;
  if (watch->state == State::live) {
    cancel_at_server(watch->id);
    live_.erase(watch->id);
  }
  // One that is being created is cancelled when its id is known.
  watch->state = State::over;
  watches_.remove(watch);
  release_held();
}

void Watches::Core::taken(WatchState& watch) {
  if (watch.state != State::paused || watch.buffer_bytes > options_.subscription_bytes_max / 2) return;
  watch.state = State::absent;
  const auto found = std::ranges::find_if(watches_, [&](const WatchPtr& one) { return one.get() == &watch; });
  LS_MUST(found != watches_.end());
  if (stream_ != nullptr) create(*found);
}

void Watches::Core::request_progress(WatchState& watch) {
  if (watch.state == State::over) return;
  watch.progress_wanted = true;
  if (watch.state == State::live) send_progress_request();
}

void Watches::Core::when_created(TimePoint deadline, env::Closure closure) {
  const bool none = std::ranges::none_of(watches_, [](const WatchPtr& watch) { return watch->unplaced(); });
  if (none && held_.empty()) return closure();
  const auto held = held_.insert(held_.end(), Held{std::move(closure), {}});
  if (deadline == no_deadline) return;
  held->timer = connections_.executor().schedule(deadline, [weak = weak_from_this(), held] {
    const auto core = weak.lock();
    if (core == nullptr) return;
    env::Closure late = std::move(held->closure);
    core->held_.erase(held);
    late();
  });
}

void Watches::Core::release_held() {
  if (held_.empty() || std::ranges::any_of(watches_, [](const WatchPtr& watch) { return watch->unplaced(); }))
    return;
  std::list<Held> released = std::exchange(held_, {});
  for (Held& held : released) connections_.executor().cancel(held.timer);
  for (Held& held : released) held.closure();
}

void Watches::Core::close() {
  closed_ = true;
  connections_.executor().cancel(reopen_timer_);
  stream_life_.reset();
  if (stream_ != nullptr) stream_->cancel();
  stream_ = nullptr;
  finish_all({Code::cancelled, "the store is closed"});
}

Watches::Watches(Connections& connections, const WatchesOptions& options)
    : core_(std::make_shared<Core>(connections, options)) {}

Watches::~Watches() {
  core_->close();
}

std::unique_ptr<store::Subscription> Watches::watch(store::WatchRequest request, Revision acknowledged) {
  return core_->watch(std::move(request), acknowledged);
}

void Watches::when_created(TimePoint deadline, env::Closure closure) {
  core_->when_created(deadline, std::move(closure));
}

}  // namespace lockstep::remote
