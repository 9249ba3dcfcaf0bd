// Following the leader: look who leads; follow its key until it is removed; look again. While nobody leads,
// wait for the first key under the name.
#include <utility>

#include "base/assert.h"
#include "service/election/election.h"

namespace lockstep::service {
namespace {

constexpr std::size_t events_bytes_max = 64 * 1024;

}  // namespace

LeaderObserver::LeaderObserver(store::Store& store, std::string name, store::CallOptions options)
    : store_(store), name_(std::move(name)), options_(std::move(options)) {}

void LeaderObserver::next(store::Callback<Leader> done) {
  LS_MUST(!done_, "one question at a time");
  done_ = std::move(done);
  deliver();
}

void LeaderObserver::deliver() {
  if (!leaders_.empty()) {
    Leader leader = std::move(leaders_.front());
    leaders_.pop_front();
    return answer(std::move(leader));
  }
  if (state_ == State::looking) return look();
  take_events();
}

void LeaderObserver::look() {
  store_.range(oldest_contender(name_), options_,
               [weak = weak_from_this()](const Result<store::RangeResponse>& answer) {
                 const std::shared_ptr<LeaderObserver> self = weak.lock();
                 if (self == nullptr) return;
                 if (!answer.ok()) return self->answer(answer.status());
                 store::WatchRequest request;
                 request.start_revision = answer->header.revision.next();
                 if (answer->kvs.empty()) {
                   request.key = self->name_ + "/";
                   request.range_end = prefix_end(request.key);
                   request.no_delete = true;
                   return self->follow(request, State::waiting_for_one);
                 }
                 request.key = answer->kvs[0].key;
                 self->leaders_.push_back({answer->header, answer->kvs[0]});
                 self->follow(request, State::following);
               });
}

void LeaderObserver::follow(const store::WatchRequest& request, State state) {
  Result<std::unique_ptr<store::Subscription>> subscription = store_.watch(request, options_);
  if (!subscription.ok()) return answer(subscription.status());
  subscription_ = *std::move(subscription);
  state_ = state;
  deliver();
}

void LeaderObserver::take_events() {
  std::optional<store::WatchResponse> events = subscription_->next(events_bytes_max);
  if (events.has_value()) return on_events(*std::move(events));
  subscription_->notify_when_ready([weak = weak_from_this()] {
    if (const std::shared_ptr<LeaderObserver> self = weak.lock()) self->deliver();
  });
}

void LeaderObserver::on_events(store::WatchResponse events) {
  if (events.canceled && events.compact_revision == Revision()) {
    return answer(Status(Code::unavailable, events.cancel_reason));
  }
  // Whoever comes first need not be the oldest: only looking tells, unless there was nobody before.
  const bool first_one = state_ == State::waiting_for_one;
  if (events.canceled) state_ = State::looking;
  for (store::Event& event : events.events) {
    if (event.kind == store::EventKind::remove) {
      state_ = State::looking;
      break;
    }
    store::Header header = events.header;
    header.revision = event.kv.mod_revision;
    if (first_one) {
      store::WatchRequest request;
      request.key = event.kv.key;
      request.start_revision = header.revision.next();
      leaders_.push_back({header, std::move(event.kv)});
      return follow(request, State::following);
    }
    leaders_.push_back({header, std::move(event.kv)});
  }
  if (state_ == State::looking) subscription_.reset();
  deliver();
}

void LeaderObserver::answer(Result<Leader> result) {
  store::Callback<Leader> done = std::move(done_);
  done_ = nullptr;
  LS_MUST(static_cast<bool>(done));
  done(std::move(result));
}

}  // namespace lockstep::service
