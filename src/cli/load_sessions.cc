#include "cli/load_sessions.h"

#include <chrono>
#include <utility>

#include "base/assert.h"
#include "cli/wire_format.h"

namespace lockstep::cli {
namespace {

// Being opened at once on a connection; there are many connections.
constexpr std::size_t openings_max = 4;
constexpr int renewals_per_ttl = 3;

std::uint64_t number_in(std::string_view message, int field) {
  for (WireReader reader(message); reader.next();) {
    if (reader.field() == field) return reader.number();
  }
  return 0;
}

}  // namespace

class SessionLoad::Handler final : public rpc::ClientStreamHandler {
 public:
  Handler(SessionLoad& load, std::size_t line) : load_(load), line_(line) {}
  void on_message(std::string_view message) override { load_.on_message(line_, message); }
  void on_end(const rpc::CallResult& result) override {
    load_.lines_[line_].stream = nullptr;
    ++load_.result_.failures;
    ++load_.result_.errors[result.status.message];
  }

 private:
  SessionLoad& load_;
  std::size_t line_;
};

SessionLoad::SessionLoad(env::Executor& executor, env::Clock& clock, LoadConnections& connections,
                         const LoadOptions& options, std::size_t sessions, Duration ttl)
    : executor_(executor),
      clock_(clock),
      connections_(connections),
      options_(options),
      sessions_(sessions),
      ttl_(ttl),
      lines_(connections.size()) {
  for (std::size_t i = 0; i < sessions_; ++i) ++lines_[i % lines_.size()].wanted;
}

SessionLoad::~SessionLoad() {
  *alive_ = false;
  executor_.cancel(end_timer_);
  for (const Line& line : lines_) {
    executor_.cancel(line.timer);
    if (line.stream != nullptr) line.stream->cancel();
  }
}

void SessionLoad::open(std::move_only_function<void(Status)> done) {
  opening_ = std::move(done);
  for (std::size_t line = 0; line < lines_.size(); ++line) {
    for (std::size_t i = 0; i < openings_max; ++i) open_next(line);
  }
}

void SessionLoad::open_next(std::size_t line) {
  Line& of = lines_[line];
  if (!opening_ || of.leases.size() + of.being_opened == of.wanted) return;
  ++of.being_opened;
  WireWriter(request_).number(
      1, static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::seconds>(ttl_).count()));
  connections_.endpoint(line).unary("/etcdserverpb.Lease/LeaseGrant", request_, connections_.metadata(line),
                                    no_deadline, [this, alive = alive_, line](const rpc::CallResult& result) {
                                      if (!*alive) return;
                                      const std::uint64_t lease = number_in(result.message, 2);
                                      if (lease == 0)
                                        return finish_opening({Code::unavailable, result.status.message});
                                      take_lock(line, lease);
                                    });
}

void SessionLoad::take_lock(std::size_t line, std::uint64_t lease) {
  WireWriter request(request_);
  request.bytes(1, options_.key_prefix + "session-" + std::to_string(lease));
  request.number(2, lease);
  connections_.endpoint(line).unary("/v3lockpb.Lock/Lock", request_, connections_.metadata(line), no_deadline,
                                    [this, alive = alive_, line, lease](const rpc::CallResult& result) {
                                      if (!*alive) return;
                                      if (!result.status.ok())
                                        return finish_opening({Code::unavailable, result.status.message});
                                      Line& of = lines_[line];
                                      --of.being_opened;
                                      of.leases.push_back(lease);
                                      if (++opened_ == sessions_) return finish_opening(Status());
                                      open_next(line);
                                    });
}

void SessionLoad::finish_opening(const Status& status) {
  if (opening_) std::exchange(opening_, nullptr)(status);
}

void SessionLoad::run(std::move_only_function<void()> done) {
  done_ = std::move(done);
  begun_ = clock_.now();
  processor_from_ = processor_time();
  const Duration interval = ttl_ / renewals_per_ttl;
  for (std::size_t line = 0; line < lines_.size(); ++line) {
    lines_[line].stream =
        connections_.endpoint(line).stream("/etcdserverpb.Lease/LeaseKeepAlive", connections_.metadata(line),
                                           std::make_unique<Handler>(*this, line));
    const Duration turn = interval * static_cast<int>(line) / static_cast<int>(lines_.size());
    lines_[line].timer = executor_.schedule(begun_ + turn, [this, line] { renew(line); });
  }
  end_timer_ = executor_.schedule(begun_ + options_.duration, [this] { end(); });
}

void SessionLoad::renew(std::size_t line) {
  Line& of = lines_[line];
  of.sent_at = clock_.now();
  of.timer = executor_.schedule(of.sent_at + ttl_ / renewals_per_ttl, [this, line] { renew(line); });
  if (of.stream == nullptr) return;
  for (const std::uint64_t lease : of.leases) {
    WireWriter(request_).number(1, lease);
    of.stream->send(request_);
  }
}

void SessionLoad::on_message(std::size_t line, std::string_view message) {
  ++result_.requests;
  if (number_in(message, 3) == 0) ++result_.misses;
  result_.latencies.add(clock_.now() - lines_[line].sent_at);
}

void SessionLoad::end() {
  result_.elapsed = clock_.now() - begun_;
  result_.processor = processor_time() - processor_from_;
  std::exchange(done_, nullptr)();
}

}  // namespace lockstep::cli
