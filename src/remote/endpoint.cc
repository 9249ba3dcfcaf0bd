#include "remote/endpoint.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace lockstep::remote {

Endpoint::Endpoint(std::string address, env::Executor& executor, env::Clock& clock, env::Streams& streams,
                   Prng& prng, const EndpointOptions& options, Changed changed)
    : address_(std::move(address)),
      executor_(executor),
      clock_(clock),
      streams_(streams),
      prng_(prng),
      options_(options),
      changed_(std::move(changed)) {}

Endpoint::~Endpoint() {
  executor_.cancel(timer_);
}

void Endpoint::want() {
  if (state_ == State::idle) connect();
}

void Endpoint::connect() {
  LS_MUST(current_.channel == nullptr);
  state_ = State::connecting;
  const std::uint64_t number = ++numbers_;
  current_ = {number,
              std::make_unique<rpc::Channel>(executor_, clock_, streams_, address_, options_.channel,
                                             [this, number](rpc::ChannelState state, std::string_view why) {
                                               on_state(number, state, why);
                                             })};
}

void Endpoint::on_state(std::uint64_t number, rpc::ChannelState state, std::string_view why) {
  const bool is_current = current_.channel != nullptr && current_.number == number;
  switch (state) {
    case rpc::ChannelState::connecting:
      return;
    case rpc::ChannelState::ready:
      LS_MUST(is_current);
      state_ = State::up;
      up_since_ = clock_.now();
      ++connections_;
      return changed_();
    case rpc::ChannelState::draining:
      if (is_current) lost(why);
      return;
    case rpc::ChannelState::closed:
      // Destroyed later: its own code is running.
      executor_.post([this, number, alive = std::weak_ptr<bool>(alive_)] {
        if (!alive.expired()) drop_old(number);
      });
      if (is_current) lost(why);
      return;
  }
}

void Endpoint::lost(std::string_view why) {
  last_error_ = why;
  if (state_ == State::up && clock_.now() - up_since_ >= options_.backoff_max) failures_ = 0;
  old_.push_back(std::exchange(current_, Numbered()));
  state_ = State::waiting;
  timer_ = executor_.schedule(clock_.now() + next_pause(), [this] {
    timer_ = {};
    connect();
  });
  changed_();
}

void Endpoint::drop_old(std::uint64_t number) {
  old_.remove_if([&](const Numbered& old) { return old.number == number; });
}

Duration Endpoint::next_pause() {
  const int doublings = std::min(failures_++, 20);
  const Duration ceiling =
      std::min(options_.backoff_min * (std::int64_t{1} << doublings), options_.backoff_max);
  const auto nanoseconds = static_cast<std::uint64_t>(ceiling.count());
  return Duration(static_cast<std::int64_t>(prng_.between(nanoseconds / 2, nanoseconds)));
}

Endpoint::State Endpoint::state() const {
  // Between the end of the calls of a lost connection and the news of it.
  if (state_ == State::up && current_.channel->state() != rpc::ChannelState::ready) return State::waiting;
  return state_;
}

Endpoint::Running Endpoint::unary(std::string_view path, std::string_view message,
                                  std::span<const rpc::MetadataField> metadata, TimePoint deadline,
                                  rpc::CallDone done) {
  LS_MUST(state() == State::up);
  ++calls_;
  return {current_.channel.get(),
          current_.channel->unary(path, message, metadata, deadline, std::move(done))};
}

void Endpoint::cancel(const Running& call) {
  // The channel may be gone, but then its calls have ended.
  const bool is_current = current_.channel.get() == call.channel;
  const bool is_old =
      std::ranges::any_of(old_, [&](const Numbered& old) { return old.channel.get() == call.channel; });
  LS_MUST(is_current || is_old);
  call.channel->cancel(call.id);
}

std::shared_ptr<rpc::ClientStream> Endpoint::stream(std::string_view path,
                                                    std::span<const rpc::MetadataField> metadata,
                                                    std::unique_ptr<rpc::ClientStreamHandler> handler) {
  LS_MUST(state() == State::up);
  ++calls_;
  return current_.channel->stream(path, metadata, no_deadline, std::move(handler));
}

}  // namespace lockstep::remote
