#include "sim/watch_client.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

namespace lockstep::sim {

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t patience_ns = 3'000 * ms;

// The client's end of one subscription.
struct Stream {
  std::uint64_t number = 0;
  NodeId member;
  WatchRecord* record = nullptr;  // null until the member opened it
  std::uint64_t answers_arrived = 0;
  std::deque<store::WatchResponse> answers;
  bool broken = false;
  bool closed = false;  // the client does not listen any more
  std::move_only_function<void(bool)> wake;

  void wake_up() {
    if (wake) std::exchange(wake, nullptr)(true);
  }
};

// The member's end: reads its subscription and sends. Lives with the process.
class Pump {
 public:
  Pump(Client& client, std::shared_ptr<Stream> stream, std::unique_ptr<store::Subscription> subscription)
      : client_(client), stream_(std::move(stream)), subscription_(std::move(subscription)) {}

  // Sends what there is; then waits to be told. Sometimes dawdles, as a slow reader does.
  static void run(const std::shared_ptr<Pump>& self) {
    Client& client = self->client_;
    if (self->stream_->closed) return;
    Prng& prng = client.prng();
    for (;;) {
      auto response = self->subscription_->next(prng.between(100, 20'000));
      if (!response.has_value()) break;
      self->send(*std::move(response));
      if (prng.chance(1, 50)) {
        client.world().schedule_for(self->stream_->member, static_cast<std::int64_t>(prng.below(2000)) * ms,
                                    EventKind::strand, [self] { run(self); });
        return;
      }
    }
    if (prng.chance(1, 10)) self->subscription_->request_progress();
    self->subscription_->notify_when_ready([weak = std::weak_ptr<Pump>(self)] {
      if (const auto pump = weak.lock()) run(pump);
    });
  }

 private:
  void send(store::WatchResponse response) {
    const std::uint64_t order = ++sent_;
    const std::size_t bytes = 100 + response.events.size() * 50;
    client_.world().carry(World::member_endpoint(stream_->member), client_.endpoint(), bytes,
                          [stream = stream_, order, response = std::move(response)]() mutable {
                            if (stream->closed || stream->broken) return;
                            if (order != ++stream->answers_arrived) {
                              stream->broken = true;
                            } else {
                              stream->answers.push_back(std::move(response));
                            }
                            stream->wake_up();
                          });
  }

  Client& client_;
  std::shared_ptr<Stream> stream_;
  std::unique_ptr<store::Subscription> subscription_;
  std::uint64_t sent_ = 0;
};

class Watcher {
 public:
  explicit Watcher(Client& client) : client_(client), clients_(client.clients()), prng_(client.prng()) {
    draw_request();
  }

  Task<void> run() {
    const Actor::Active active(client_);
    while (!clients_.stopping()) {
      open();
      co_await follow();
      close();
      co_await client_.sleep(static_cast<std::int64_t>(prng_.below(500)) * ms);
    }
  }

 private:
  void draw_request() {
    constexpr const char* prefixes[][2] = {
        {"k/", "k0"}, {"r/", "r0"}, {"bank/", "bank0"}, {"lease/", "lease0"}};
    const auto& prefix = prefixes[prng_.below(4)];
    request_ = {};
    request_.key = prefix[0];
    request_.range_end = prefix[1];
    if (prng_.chance(1, 4)) request_.key = request_.range_end = std::string(1, '\0');
    if (prng_.chance(1, 5)) {
      request_.key = prng_.chance(1, 2) ? "r/0" : "bank/1";
      request_.range_end.clear();
    }
    request_.prev_kv = prng_.chance(1, 2);
    request_.no_put = prng_.chance(1, 8);
    request_.no_delete = prng_.chance(1, 8);
    request_.fragment = prng_.chance(1, 4);
    request_.progress_notify = prng_.chance(1, 2);
    begin_at(0);
    if (prng_.chance(3, 4)) {
      const std::int64_t seen = clients_.revision_high();
      begin_at(prng_.chance(1, 4)
                   ? seen + 20
                   : std::max<std::int64_t>(2, seen - static_cast<std::int64_t>(prng_.below(100))));
    }
  }
  // A new logical watch: what it covered before does not matter any more.
  void begin_at(std::int64_t revision) {
    watcher_ = clients_.next_watcher();
    request_.start_revision = Revision(revision);
    covered_ = revision - 1;
  }

  void open() {
    clients_.coverage().add(Covered::op_watch);
    if (request_.start_revision.value() == 0) begin_at(0);  // nothing was heard: not the same watch again
    stream_ = std::make_shared<Stream>();
    stream_->number = clients_.next_stream();
    stream_->member = client_.pick_member();
    client_.world().carry(client_.endpoint(), World::member_endpoint(stream_->member), 100,
                          [this, stream = stream_, request = request_, watcher = watcher_] {
                            arrive(stream, request, watcher);
                          });
  }
  void arrive(const std::shared_ptr<Stream>& stream, const store::WatchRequest& request,
              std::uint64_t watcher) {
    Node& node = client_.world().node(stream->member);
    node.run_on_strand([this, stream, request, watcher] {
      Member* member = clients_.cluster().member(stream->member);
      if (stream->closed || member == nullptr || member->replica() == nullptr) return;
      auto subscription = member->replica()->watch(request);
      if (!subscription.ok()) return;
      WatchRecord record;
      record.watcher = watcher;
      record.member = stream->member;
      record.request = request;
      record.opened_at = member->replica()->machine().revision();
      clients_.watches().push_back(std::move(record));
      stream->record = &clients_.watches().back();
      auto pump = std::make_shared<Pump>(client_, stream, *std::move(subscription));
      member->keep(stream->number, pump);
      Pump::run(pump);
    });
  }

  Task<void> follow() {
    while (!clients_.stopping() && !stream_->broken) {
      if (stream_->answers.empty()) {
        const bool heard = co_await wait();
        if (!heard) co_return;
        continue;
      }
      store::WatchResponse response = std::move(stream_->answers.front());
      stream_->answers.pop_front();
      const bool goes_on = take(std::move(response));
      if (!goes_on || prng_.chance(1, 40)) co_return;
    }
  }
  // False: silence for too long.
  Task<bool> wait() {
    const bool heard = co_await from_callback<bool>([this](auto done) {
      auto once = std::make_shared<std::move_only_function<void(bool)>>(std::move(done));
      const auto finish = [once](bool result) {
        if (*once) std::exchange(*once, nullptr)(result);
      };
      const EventQueue::Handle timeout = client_.world().after(patience_ns, [finish] { finish(false); });
      stream_->wake = [this, finish, timeout](bool result) {
        client_.world().cancel(timeout);
        finish(result);
      };
    });
    stream_->wake = nullptr;
    co_return heard;
  }
  // False: the stream is over.
  bool take(store::WatchResponse response) {
    if (client_.world().tracing()) {
      client_.world().trace(
          "watcher " + std::to_string(watcher_) + " at member " + std::to_string(stream_->member.value()) +
          " from " + std::to_string(stream_->record->request.start_revision.value()) + " heard " +
          std::to_string(response.events.size()) + " events, bookmark " +
          std::to_string(response.header.revision.value()) + (response.fragment ? " fragment" : "") +
          (response.canceled ? " cancelled: " + response.cancel_reason + ", compacted " +
                                   std::to_string(response.compact_revision.value())
                             : ""));
    }
    stream_->record->responses.push_back(response);
    if (response.canceled) {
      if (response.compact_revision.value() > 0) begin_at(response.compact_revision.value() + 1);
      return false;
    }
    if (response.fragment) return true;
    // Covers what an unfinished watch from "now" needs, too: from the first answer on it has a place.
    covered_ = std::max(covered_, response.header.revision.value());
    if (!response.events.empty())
      covered_ = std::max(covered_, response.events.back().kv.mod_revision.value());
    request_.start_revision = Revision(covered_ + 1);
    return true;
  }
  void close() {
    stream_->closed = true;
    stream_->wake = nullptr;
    // The member notices when the end of the connection reaches it; until then it sends into the void.
    client_.world().carry(client_.endpoint(), World::member_endpoint(stream_->member), 20,
                          [this, stream = stream_] {
                            Node& node = client_.world().node(stream->member);
                            node.run_on_strand([this, stream] {
                              Member* member = clients_.cluster().member(stream->member);
                              if (member != nullptr) member->drop(stream->number);
                            });
                          });
    if (covered_ > 0 && prng_.chance(1, 20)) {
      draw_request();
    } else if (stream_->record != nullptr) {
      clients_.coverage().add(Covered::watch_resumed);
    }
  }

  Client& client_;
  Clients& clients_;
  Prng& prng_;
  store::WatchRequest request_;
  std::uint64_t watcher_ = 0;
  std::int64_t covered_ = 0;
  std::shared_ptr<Stream> stream_;
};

}  // namespace

Task<void> run_watcher(Client& client) {
  // Messages under way name their watcher: it lives as long as the run.
  auto watcher = std::make_shared<Watcher>(client);
  client.clients().keep(watcher);
  co_await watcher->run();
}

}  // namespace lockstep::sim
