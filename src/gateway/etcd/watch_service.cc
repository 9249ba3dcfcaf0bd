#include "gateway/etcd/watch_service.h"

#include <algorithm>
#include <deque>
#include <map>

#include "base/assert.h"
#include "gateway/etcd/convert.h"
#include "gateway/etcd/refused_stream.h"

namespace lockstep::gateway {
namespace {

// Of one answer, about: small enough that watches of a stream take turns, large enough that framing is
// nothing.
constexpr std::size_t answer_bytes_max = 64 * limits::kibibyte;
// What a stream may have queued before it takes more events, and where it goes on.
constexpr std::size_t unsent_bytes_high = 256 * limits::kibibyte;
constexpr std::size_t unsent_bytes_low = 64 * limits::kibibyte;
// Answers to what the client itself asked for, while it reads nothing.
constexpr std::size_t control_bytes_max = 2 * limits::mebibyte;
static_assert(unsent_bytes_low < unsent_bytes_high && answer_bytes_max <= unsent_bytes_high);

constexpr std::int64_t every_watch = -1;

// As one scratch for all streams: what a stream writes is serialised before the next one is asked.
struct WatchMessages {
  Scratch<pb::WatchRequest> request;
  Scratch<pb::WatchResponse> response;
};

class WatchStream final : public rpc::ServerStreamHandler {
 public:
  WatchStream(Edge& edge, LeaderMonitor& monitor, std::shared_ptr<WatchMessages> messages,
              rpc::ServerCallPtr call, store::CallOptions options)
      : edge_(edge), messages_(std::move(messages)), call_(std::move(call)), options_(std::move(options)) {
    leader_ = monitor.watch(*call_, [this] { end(etcd_errors::no_leader()); });
  }

  void on_message(std::string_view bytes) override;
  void on_half_close() override {}  // the client only listens from now on
  void on_cancelled() override { release(); }

 private:
  struct Watch {
    std::unique_ptr<store::Subscription> subscription;
    bool queued = false;          // in ready_
    bool progress_asked = false;  // by the progress request under way
    Revision delivered;           // everything up to here went out
  };
  using Watches = std::map<std::int64_t, Watch>;

  void create(pb::WatchCreateRequest& message);
  void refuse(std::string_view reason);
  void cancel(std::int64_t id);
  void ask_progress();
  void ask_progress(Watch& watch);
  void finish_progress();
  bool count_control(const pb::WatchResponse& message);
  void send_control(std::int64_t id, bool created, bool canceled, std::string_view reason);
  void enqueue(std::int64_t id, Watch& watch);
  void pump();
  bool take_answer(Watches::iterator place);
  void deliver(Watches::iterator place, store::WatchResponse answer);
  void send(pb::WatchResponse& message);
  void end(const rpc::GrpcStatus& status);
  void release();

  Edge& edge_;
  std::shared_ptr<WatchMessages> messages_;
  rpc::ServerCallPtr call_;
  store::CallOptions options_;
  LeaderMonitor::Registration leader_;
  Watches watches_;
  std::int64_t next_id_ = 0;
  std::deque<std::int64_t> ready_;  // round robin; ids of watches cancelled meanwhile are skipped
  bool waits_for_client_ = false;
  std::size_t control_bytes_ = 0;         // answered since the client last had read nearly everything
  std::size_t progress_outstanding_ = 0;  // watches that have not yet answered the progress request
  bool progress_again_ = false;           // asked once more meanwhile
  bool progress_rests_ = false;           // one was answered in this turn
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

void WatchStream::on_message(std::string_view bytes) {
  if (call_->ended()) return;
  pb::WatchRequest& message = messages_->request.begin();
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return end(etcd_errors::malformed_message());
  }
  switch (message.request_union_case()) {
    case pb::WatchRequest::kCreateRequest:
      create(*message.mutable_create_request());
      break;
    case pb::WatchRequest::kCancelRequest:
      cancel(message.cancel_request().watch_id());
      break;
    case pb::WatchRequest::kProgressRequest:
      ask_progress();
      break;
    case pb::WatchRequest::REQUEST_UNION_NOT_SET:
      break;  // perhaps of a newer client: etcd ignores it, too
  }
  messages_->request.end(bytes.size());
}

void WatchStream::create(pb::WatchCreateRequest& message) {
  std::int64_t id = message.watch_id();
  store::WatchRequest request;
  const rpc::GrpcStatus refused = from_wire(message, &request);
  if (!refused.ok()) return refuse(refused.message);
  if (request.start_revision < Revision()) return refuse("lockstep: the start revision is negative");
  const bool unbounded = request.range_end == std::string_view("\0", 1);
  if (!request.range_end.empty() && !unbounded && request.range_end <= request.key) {
    return refuse("mvcc: watcher range is empty");
  }
  if (id != 0 && watches_.contains(id)) return refuse("mvcc: duplicate watch ID provided on the WatchStream");
  if (id == 0) {
    while (watches_.contains(next_id_)) ++next_id_;
    id = next_id_++;
  }
  const Revision start = request.start_revision;
  Result<std::unique_ptr<store::Subscription>> subscription =
      edge_.store().watch(std::move(request), options_);
  if (!subscription.ok()) return refuse(describe_cancellation(to_etcd_status(subscription.status())));
  Watch& watch = watches_[id];
  watch.subscription = *std::move(subscription);
  const Revision newest = edge_.cluster().header().revision;
  watch.delivered = start == Revision() ? newest : std::min(start.previous(), newest);
  send_control(id, true, false, {});
  if (call_->ended()) return;
  // It delays the answer to a progress request under way: that speaks for every watch.
  if (progress_outstanding_ > 0) ask_progress(watch);
  enqueue(id, watch);
  pump();
}

void WatchStream::refuse(std::string_view reason) {
  send_control(every_watch, true, true, reason);
}

void WatchStream::cancel(std::int64_t id) {
  const auto place = watches_.find(id);
  if (place == watches_.end()) return;
  const bool answered = !place->second.progress_asked;
  watches_.erase(place);
  send_control(id, false, true, {});
  if (call_->ended()) return;
  if (!answered && --progress_outstanding_ == 0) finish_progress();
}

void WatchStream::ask_progress() {
  if (progress_outstanding_ > 0 || progress_rests_) {
    progress_again_ = true;
    return;
  }
  if (watches_.empty()) return finish_progress();
  for (auto& [id, watch] : watches_) {
    ask_progress(watch);
    enqueue(id, watch);
  }
  pump();
}

void WatchStream::ask_progress(Watch& watch) {
  watch.progress_asked = true;
  ++progress_outstanding_;
  watch.subscription->request_progress();
}

void WatchStream::finish_progress() {
  store::Header header = edge_.cluster().header();
  for (const auto& [id, watch] : watches_) header.revision = std::min(header.revision, watch.delivered);
  pb::WatchResponse& message = messages_->response.begin();
  to_wire(header, message.mutable_header());
  message.set_watch_id(every_watch);
  if (!count_control(message)) return;
  send(message);
  // One a turn, however many were asked for: each costs a look at every watch.
  progress_rests_ = true;
  edge_.executor().post([this, alive = std::weak_ptr(alive_)] {
    if (alive.expired() || call_->ended()) return;
    progress_rests_ = false;
    if (std::exchange(progress_again_, false)) ask_progress();
  });
}

// False: the stream was ended, as its client asks without reading.
bool WatchStream::count_control(const pb::WatchResponse& message) {
  if (call_->unsent_bytes() < unsent_bytes_low) control_bytes_ = 0;
  control_bytes_ += message.ByteSizeLong();
  if (control_bytes_ <= control_bytes_max) return true;
  end(etcd_errors::too_many_requests());
  return false;
}

void WatchStream::send_control(std::int64_t id, bool created, bool canceled, std::string_view reason) {
  pb::WatchResponse& message = messages_->response.begin();
  to_wire(edge_.cluster().header(), message.mutable_header());
  message.set_watch_id(id);
  message.set_created(created);
  message.set_canceled(canceled);
  if (!reason.empty()) message.set_cancel_reason(std::string(reason));
  if (count_control(message)) send(message);
}

void WatchStream::enqueue(std::int64_t id, Watch& watch) {
  if (std::exchange(watch.queued, true)) return;
  ready_.push_back(id);
}

void WatchStream::pump() {
  while (!ready_.empty() && call_->unsent_bytes() < unsent_bytes_high) {
    const std::int64_t id = ready_.front();
    ready_.pop_front();
    const auto place = watches_.find(id);
    if (place == watches_.end()) continue;
    place->second.queued = false;
    if (take_answer(place)) continue;
    place->second.subscription->notify_when_ready([this, id] {
      const auto woken = watches_.find(id);
      if (woken == watches_.end()) return;
      enqueue(id, woken->second);
      pump();
    });
  }
  if (ready_.empty() || waits_for_client_ || call_->ended()) return;
  waits_for_client_ = true;
  call_->notify_when_unsent_below(unsent_bytes_low, [this] {
    waits_for_client_ = false;
    pump();
  });
}

// False if there is nothing now.
bool WatchStream::take_answer(Watches::iterator place) {
  std::optional<store::WatchResponse> answer = place->second.subscription->next(answer_bytes_max);
  if (!answer.has_value()) return false;
  enqueue(place->first, place->second);  // there may be more: behind the others
  deliver(place, *std::move(answer));
  return true;
}

void WatchStream::deliver(Watches::iterator place, store::WatchResponse answer) {
  const std::int64_t id = place->first;
  Watch& watch = place->second;
  const bool last = answer.canceled;
  const bool bookmark = answer.events.empty() && !last;
  const bool answers_progress = watch.progress_asked && (bookmark || last);
  if (!answer.fragment) watch.delivered = std::max(watch.delivered, answer.header.revision);
  // A progress request is answered for all watches together.
  if (!(bookmark && answers_progress)) {
    answer.header = edge_.filled(answer.header);
    pb::WatchResponse& message = messages_->response.begin();
    to_wire(std::move(answer), &message);
    message.set_watch_id(id);
    send(message);
  }
  if (answers_progress) watch.progress_asked = false;
  if (last) watches_.erase(place);
  if (answers_progress && --progress_outstanding_ == 0) finish_progress();
}

void WatchStream::send(pb::WatchResponse& message) {
  const std::string_view bytes = edge_.serialised(message);
  call_->send(bytes);
  messages_->response.end(bytes.size());
}

void WatchStream::end(const rpc::GrpcStatus& status) {
  call_->finish(status);
  release();
}

void WatchStream::release() {
  leader_.reset();
  watches_.clear();
  ready_.clear();
  progress_outstanding_ = 0;
}

}  // namespace

void register_watch(Edge& edge, LeaderMonitor& monitor, rpc::ServiceRegistry& registry) {
  auto messages = std::make_shared<WatchMessages>();
  registry.streaming(
      "/etcdserverpb.Watch/Watch",
      [&edge, &monitor, messages](rpc::ServerCallPtr call) -> std::unique_ptr<rpc::ServerStreamHandler> {
        std::optional<store::CallOptions> options = edge.admit(*call);
        if (!options.has_value()) return std::make_unique<RefusedStream>();
        return std::make_unique<WatchStream>(edge, monitor, messages, std::move(call), *std::move(options));
      });
}

}  // namespace lockstep::gateway
