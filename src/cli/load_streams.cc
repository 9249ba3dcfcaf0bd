#include "cli/load_streams.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "cli/wire_format.h"

namespace lockstep::cli {
namespace {

// Numbers of etcd's messages (src/proto/kv.proto).
constexpr int watch_created = 3;
constexpr int watch_events = 11;
constexpr int event_kv = 2;
constexpr int kv_value = 5;

std::string_view field_of(std::string_view message, int field) {
  for (WireReader reader(message); reader.next();) {
    if (reader.field() == field) return reader.bytes();
  }
  return {};
}

}  // namespace

class WatchLoad::Handler final : public rpc::ClientStreamHandler {
 public:
  explicit Handler(WatchLoad& load) : load_(load) {}
  void on_message(std::string_view message) override { load_.on_message(message); }
  void on_end(const rpc::CallResult& result) override { load_.on_end(result); }

 private:
  WatchLoad& load_;
};

WatchLoad::WatchLoad(env::Clock& clock, LoadConnections& connections, const LoadOptions& options,
                     std::size_t watchers)
    : clock_(clock), connections_(connections), options_(options), streams_(watchers), uncreated_(watchers) {}

WatchLoad::~WatchLoad() {
  for (const auto& stream : streams_) {
    if (stream != nullptr) stream->cancel();
  }
}

void WatchLoad::open(std::move_only_function<void(Status)> done) {
  opened_ = std::move(done);
  std::string create;
  WireWriter(create).bytes(1, bench_key(options_, 0));
  std::string request;
  WireWriter(request).bytes(1, create);
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    const std::size_t connection = i % connections_.size();
    streams_[i] = connections_.endpoint(connection)
                      .stream("/etcdserverpb.Watch/Watch", connections_.metadata(connection),
                              std::make_unique<Handler>(*this));
    streams_[i]->send(request);
  }
}

void WatchLoad::on_message(std::string_view message) {
  const TimePoint now = clock_.now();
  for (WireReader answer(message); answer.next();) {
    if (answer.field() == watch_created && answer.number() != 0) {
      LS_MUST(uncreated_ > 0);
      if (--uncreated_ == 0 && opened_) std::exchange(opened_, nullptr)(Status());
    }
    if (answer.field() != watch_events || !counting_) continue;
    const std::string_view value = field_of(field_of(answer.bytes(), event_kv), kv_value);
    std::int64_t sent_at = 0;
    if (value.size() < sizeof sent_at) continue;
    std::memcpy(&sent_at, value.data(), sizeof sent_at);
    delays_.add(now - TimePoint(Duration(sent_at)));
  }
}

void WatchLoad::on_end(const rpc::CallResult& result) {
  if (opened_) std::exchange(opened_, nullptr)(Status(Code::unavailable, result.status.message));
}

class RenewalLoad::Handler final : public rpc::ClientStreamHandler {
 public:
  Handler(RenewalLoad& load, Stream& stream) : load_(load), stream_(stream) {}
  void on_message(std::string_view message) override { load_.on_message(stream_, message); }
  void on_end(const rpc::CallResult& result) override { load_.on_end(stream_, result.status.message); }

 private:
  RenewalLoad& load_;
  Stream& stream_;
};

RenewalLoad::RenewalLoad(env::Executor& executor, env::Clock& clock, LoadConnections& connections,
                         const LoadOptions& options, std::size_t streams)
    : executor_(executor),
      clock_(clock),
      connections_(connections),
      options_(options),
      streams_(connections.size() * std::min(streams == 0 ? options.in_flight : streams, options.in_flight)),
      slots_(connections.size() * options.in_flight) {
  LS_MUST(streams_.size() % connections.size() == 0, "a stream belongs to one connection");
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].connection = i % connections.size();
    slots_[i].stream = &streams_[i % streams_.size()];
  }
}

RenewalLoad::~RenewalLoad() {
  executor_.cancel(end_timer_);
  for (const Stream& stream : streams_) {
    if (stream.stream != nullptr) stream.stream->cancel();
  }
}

void RenewalLoad::run(std::move_only_function<void()> done) {
  done_ = std::move(done);
  ungranted_ = slots_.size();
  for (Slot& slot : slots_) grant(slot);
}

void RenewalLoad::grant(Slot& slot) {
  constexpr std::uint64_t ttl_s = 120;
  WireWriter(slot.request).number(1, ttl_s);
  connections_.endpoint(slot.connection)
      .unary("/etcdserverpb.Lease/LeaseGrant", slot.request, connections_.metadata(slot.connection),
             no_deadline, [this, &slot](const rpc::CallResult& result) {
               for (WireReader answer(result.message); answer.next();) {
                 if (answer.field() == 2) slot.lease = answer.number();
               }
               if (slot.lease == 0) fail(result.status.message);
               if (--ungranted_ == 0) begin();
             });
}

void RenewalLoad::begin() {
  begun_ = clock_.now();
  processor_from_ = processor_time();
  if (options_.requests == 0)
    end_timer_ = executor_.schedule(begun_ + options_.duration, [this] { stopping_ = true; });
  for (const Slot& slot : slots_) running_ += slot.lease != 0 ? 1 : 0;
  if (running_ == 0) return std::exchange(done_, nullptr)();
  for (Slot& slot : slots_) {
    if (slot.lease == 0) continue;
    WireWriter(slot.request).number(1, slot.lease);
    if (slot.stream->stream == nullptr) {
      slot.stream->stream =
          connections_.endpoint(slot.connection)
              .stream("/etcdserverpb.Lease/LeaseKeepAlive", connections_.metadata(slot.connection),
                      std::make_unique<Handler>(*this, *slot.stream));
    }
    send(slot, clock_.now());
  }
}

void RenewalLoad::send(Slot& slot, TimePoint now) {
  slot.sent_at = now;
  slot.stream->asked.push_back(&slot);
  slot.stream->stream->send(slot.request);
}

void RenewalLoad::on_message(Stream& stream, std::string_view message) {
  if (stream.asked.empty()) return fail("an answer to no question");
  Slot& slot = *stream.asked.front();
  stream.asked.pop_front();
  std::uint64_t lease = 0;
  bool alive = false;
  for (WireReader answer(message); answer.next();) {
    if (answer.field() == 2) lease = answer.number();
    alive = alive || (answer.field() == 3 && answer.number() != 0);
  }
  if (lease != slot.lease) fail("an answer to another question");
  ++result_.requests;
  if (!alive) ++result_.misses;
  const TimePoint now = clock_.now();
  result_.latencies.add(now - slot.sent_at);
  if (!stopping_ && (options_.requests == 0 || result_.requests + running_ <= options_.requests))
    return send(slot, now);
  if (stream.asked.empty()) std::exchange(stream.stream, nullptr)->cancel();
  ended();
}

void RenewalLoad::on_end(Stream& stream, const std::string& why) {
  stream.stream = nullptr;
  std::size_t unanswered = std::exchange(stream.asked, {}).size();  // the last ended() may be this one's end
  while (unanswered-- > 0) {
    fail(why);
    ended();
  }
}

void RenewalLoad::fail(const std::string& why) {
  ++result_.failures;
  ++result_.errors[why];
}

void RenewalLoad::ended() {
  LS_MUST(running_ > 0);
  if (--running_ > 0) return;
  result_.elapsed = clock_.now() - begun_;
  result_.processor = processor_time() - processor_from_;
  std::exchange(done_, nullptr)();
}

}  // namespace lockstep::cli
