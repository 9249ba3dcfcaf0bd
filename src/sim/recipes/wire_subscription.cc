#include "sim/recipes/wire_subscription.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace lockstep::sim {

namespace {
constexpr Duration silence_max = std::chrono::milliseconds(1500);
constexpr std::size_t message_bytes = 150;
constexpr std::size_t answer_bytes = 20'000;
}  // namespace

class WireSubscription::Stream {
 public:
  std::uint64_t number = 0;
  NodeId member;
  std::uint64_t arrived = 0;
  bool closed = false;
  std::weak_ptr<Pump> pump;  // touched on the member's strand only
};

// Reads the member's own subscription and sends. Lives with the member's process.
class WireSubscription::Pump {
 public:
  using Send = std::function<void(std::uint64_t, store::WatchResponse)>;
  Pump(std::unique_ptr<store::Subscription> subscription, Send send)
      : subscription_(std::move(subscription)), send_(std::move(send)) {}

  static void run(const std::shared_ptr<Pump>& self) {
    while (auto response = self->subscription_->next(answer_bytes)) {
      const bool over = response->canceled;
      self->send(*std::move(response));
      if (over) return;
    }
    self->subscription_->notify_when_ready([weak = std::weak_ptr<Pump>(self)] {
      if (const auto pump = weak.lock()) run(pump);
    });
  }
  void send(store::WatchResponse response) { send_(++sent_, std::move(response)); }
  void request_progress() { subscription_->request_progress(); }

 private:
  std::unique_ptr<store::Subscription> subscription_;
  Send send_;
  std::uint64_t sent_ = 0;
};

WireSubscription::WireSubscription(WireStore& store, store::WatchRequest request)
    : store_(store),
      request_(std::move(request)),
      covered_(request_.start_revision.value() - 1),
      self_(std::make_shared<WireSubscription*>(this)) {
  request_.fragment = false;
  open();
  watch_silence();
}

WireSubscription::~WireSubscription() {
  *self_ = nullptr;
  close();
  store_.environment().executor.cancel(timer_);
}

std::optional<store::WatchResponse> WireSubscription::next(std::size_t /*bytes_max*/) {
  if (answers_.empty()) return std::nullopt;
  store::WatchResponse answer = std::move(answers_.front());
  answers_.pop_front();
  return answer;
}

void WireSubscription::notify_when_ready(std::move_only_function<void()> ready) {
  ready_ = std::move(ready);
  if (!answers_.empty()) announce();
}

void WireSubscription::request_progress() {
  if (over_) return;
  Wires& wires = store_.wires_;
  wires.world().carry(store_.endpoint(), World::member_endpoint(stream_->member), message_bytes,
                      [wires = &wires, stream = stream_] {
                        wires->world().node(stream->member).run_on_strand([stream] {
                          if (const auto pump = stream->pump.lock()) {
                            pump->request_progress();
                            Pump::run(pump);
                          }
                        });
                      });
}

void WireSubscription::open() {
  stream_ = std::make_shared<Stream>();
  stream_->number = store_.wires_.clients().next_stream();
  stream_->member = store_.pick_member();
  store::WatchRequest request = request_;
  request.start_revision = Revision(covered_ + 1);
  Wires* const wires = &store_.wires_;
  Node* const machine = &store_.machine_;
  // What the member sends reaches this object on its own strand, if it is still there.
  const auto deliver = [wires, machine, life = machine->lives(), endpoint = store_.endpoint(),
                        stream = stream_, self = self_](std::uint64_t order, store::WatchResponse response) {
    wires->world().carry(
        World::member_endpoint(stream->member), endpoint, message_bytes,
        [machine, life, stream, self, order, response = std::move(response)]() mutable {
          if (stream->closed || !machine->running() || machine->lives() != life) return;
          machine->run_on_strand([stream, self, order, response = std::move(response)]() mutable {
            if (*self != nullptr) (*self)->arrived(stream, order, std::move(response));
          });
        });
  };
  wires->world().carry(store_.endpoint(), World::member_endpoint(stream_->member), message_bytes,
                       [wires, stream = stream_, request, deliver] {
                         wires->world().node(stream->member).run_on_strand([wires, stream, request, deliver] {
                           Member* const member = wires->cluster().member(stream->member);
                           if (stream->closed || member == nullptr || member->replica() == nullptr) return;
                           auto subscription = member->replica()->watch(request);
                           if (!subscription.ok()) return;
                           auto pump = std::make_shared<Pump>(*std::move(subscription), deliver);
                           stream->pump = pump;
                           member->keep(stream->number, pump);
                           // Says from where on it watches: a watch from "now" is resumed from there.
                           store::WatchResponse created;
                           created.header.revision =
                               std::min(member->replica()->machine().revision(),
                                        request.start_revision.value() > 0 ? request.start_revision.previous()
                                                                           : Revision(INT64_MAX));
                           pump->send(std::move(created));
                           Pump::run(pump);
                         });
                       });
}

void WireSubscription::close() {
  if (stream_ == nullptr) return;
  stream_->closed = true;
  Wires* const wires = &store_.wires_;
  wires->world().carry(store_.endpoint(), World::member_endpoint(stream_->member), 20,
                       [wires, stream = stream_] {
                         wires->world().node(stream->member).run_on_strand([wires, stream] {
                           Member* const member = wires->cluster().member(stream->member);
                           if (member != nullptr) member->drop(stream->number);
                         });
                       });
}

void WireSubscription::arrived(const std::shared_ptr<Stream>& stream, std::uint64_t order,
                               store::WatchResponse response) {
  if (stream != stream_ || over_) return;
  if (order != stream->arrived + 1) return;  // a hole: silence will be noticed
  ++stream->arrived;
  heard_ = true;
  if (response.canceled) {
    over_ = true;
    answers_.push_back(std::move(response));
    return announce();
  }
  std::erase_if(response.events,
                [this](const store::Event& event) { return event.kv.mod_revision.value() <= covered_; });
  covered_ = std::max(covered_, response.header.revision.value());
  if (!response.events.empty()) {
    covered_ = std::max(covered_, response.events.back().kv.mod_revision.value());
  }
  if (store_.wires_.notice_) {
    for (const store::Event& event : response.events) store_.wires_.notice_(event);
  }
  answers_.push_back(std::move(response));
  announce();
}

// A stream that says nothing may have lost its member or a message: another one tells.
void WireSubscription::watch_silence() {
  const TimePoint when = store_.environment().clock.now() + silence_max;
  timer_ = store_.environment().executor.schedule(when, [this] {
    if (over_) return;
    if (!std::exchange(heard_, false)) {
      close();
      open();
    } else {
      request_progress();
    }
    watch_silence();
  });
}

void WireSubscription::announce() {
  if (ready_) std::exchange(ready_, nullptr)();
}

}  // namespace lockstep::sim
