#include "runtime.h"

#include <chrono>

#include "recipes.h"

namespace lockstep::v1::detail {

namespace {
// A few turns of the strand.
constexpr Duration give_up_time = 100ms;
}  // namespace

Runtime::Runtime(std::shared_ptr<World> world, const ClientOptions& options)
    : world_(std::move(world)), options_(options) {}

Runtime::~Runtime() = default;

Recipes& Runtime::recipes() {
  if (recipes_ == nullptr) recipes_ = std::make_unique<Recipes>(context());
  return *recipes_;
}

bool Runtime::post(env::Closure closure) {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  world_->executor().post_from_any_thread(std::move(closure));
  return true;
}

Runtime::CallPtr Runtime::begin_call(const CallOptions& options, bool waits, std::function<void()> abort) {
  auto call = std::make_shared<Call>();
  call->number = ++calls_made_;
  call->abort = std::move(abort);
  const TimePoint now = world_->clock().now();
  const auto bound = [&](Duration left) {
    const Duration most = no_deadline - now;
    call->deadline = std::min(call->deadline, now + std::min(left, most));
  };
  if (options.timeout().has_value()) bound(*options.timeout());
  if (options.deadline().has_value()) bound(*options.deadline() - std::chrono::steady_clock::now());
  if (!waits && call->deadline == no_deadline) bound(options_.call_timeout());
  calls_.emplace(call->number, call);
  world_->calls_changed(1);
  if (call->deadline != no_deadline) {
    call->deadline_timer = world_->executor().schedule(call->deadline, [call] {
      call->deadline_timer = {};
      call->timed_out = true;
      call->source.request_stop();
    });
  }
  if (options.stop().stop_possible()) {
    // On whatever thread asks for the stop; what hears of it lives on the strand.
    call->user_stop.emplace(options.stop(), [runtime = weak_from_this(), weak = std::weak_ptr(call)] {
      const auto self = runtime.lock();
      if (self == nullptr) return;
      self->post([weak] {
        if (const auto here = weak.lock()) here->source.request_stop();
      });
    });
  }
  if (closing_) call->source.request_stop();
  return call;
}

void Runtime::end_call(const CallPtr& call) {
  world_->executor().cancel(call->deadline_timer);
  call->user_stop.reset();
  if (calls_.erase(call->number) > 0) world_->calls_changed(-1);
  // What it brought is given to nobody now, or to a guard that releases it: both in a later turn.
  if (closing_) world_->executor().post([self = shared_from_this()] { self->tell_if_released(); });
}

std::uint64_t Runtime::keep(std::shared_ptr<void> thing) {
  const std::uint64_t number = ++things_made_;
  if (!closing_) things_.emplace(number, std::move(thing));
  return number;
}

std::shared_ptr<void> Runtime::kept(std::uint64_t number) const {
  const auto found = things_.find(number);
  return found == things_.end() ? nullptr : found->second;
}

void Runtime::drop(std::uint64_t number) {
  const auto dropped = things_.extract(number);  // its destructor may use this
}

store::CallOptions Runtime::release_options() {
  store::CallOptions options;
  options.deadline = world_->clock().now() + std::max<Duration>(options_.session_ttl(), 100ms);
  options.cancellation = releases_.get_token();
  return options;
}

void Runtime::release_ended() {
  LS_MUST(releasing_ > 0);
  --releasing_;
  tell_if_released();
}

// A call that ends may leave something to be released.
void Runtime::tell_if_released() {
  if (closing_ && releasing_ == 0 && calls_.empty()) tell(released_);
}

void Runtime::tell(bool& flag) {
  const std::lock_guard lock(mutex_);
  flag = true;
  changed_.notify_all();
}

void Runtime::begin_close() {
  closing_ = true;
  for (const auto& [number, call] : std::map(calls_)) call->source.request_stop();
  while (!things_.empty()) drop(things_.begin()->first);
  if (recipes_ != nullptr) {
    recipes_->begin_close();
    release_began();
    auto ended = [self = shared_from_this()] { self->release_ended(); };
    if (!recipes_->stop_driving(releases_.get_token(), std::move(ended))) release_ended();
  }
  tell_if_released();
}

void Runtime::give_up() {
  releases_.request_stop();
}

void Runtime::finish_close() {
  recipes_.reset();
  world_->leave();
  for (const auto& [number, call] : std::exchange(calls_, {})) {
    world_->executor().cancel(call->deadline_timer);
    call->user_stop.reset();
    world_->calls_changed(-1);
    call->abort();
  }
  tell(finished_);
}

void Runtime::wait_until_released(std::unique_lock<std::mutex>& lock, Duration time) {
  const Duration patience = world_->patience(time);
  lock.lock();
  changed_.wait_for(lock, patience, [this] { return released_; });
  lock.unlock();
}

void Runtime::close() {
  if (on_client_thread()) {
    throw std::logic_error("lockstep: a client is closed on another thread than its own");
  }
  std::unique_lock lock(mutex_);
  if (close_called_) {
    changed_.wait(lock, [this] { return finished_; });
    return;
  }
  close_called_ = true;
  lock.unlock();
  const auto self = shared_from_this();
  post([self] { self->begin_close(); });
  wait_until_released(lock, options_.close_timeout());
  post([self] { self->give_up(); });
  wait_until_released(lock, give_up_time);
  lock.lock();
  closed_ = true;  // with the post: nothing comes behind it
  world_->executor().post_from_any_thread([self] { self->finish_close(); });
  changed_.wait(lock, [this] { return finished_; });
  lock.unlock();
  world_->join();
}

}  // namespace lockstep::v1::detail
