#include "cli/load.h"

#include <utility>

#include <sys/resource.h>

#include "base/assert.h"

namespace lockstep::cli {
namespace {

constexpr std::size_t error_kinds_max = 8;
constexpr Duration pause_after_failure = 20ms;

Duration duration_of(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

Duration processor_time() {
  rusage usage{};
  LS_MUST(getrusage(RUSAGE_SELF, &usage) == 0);
  return duration_of(usage.ru_utime) + duration_of(usage.ru_stime);
}

LoadConnections::LoadConnections(std::size_t count, const std::vector<std::string>& endpoints,
                                 const Make& make)
    : lines_(count) {
  LS_MUST(!endpoints.empty());
  for (std::size_t i = 0; i < count; ++i) connections_.push_back(make(endpoints[i % endpoints.size()]));
}

void LoadConnections::open(TimePoint deadline, std::move_only_function<void(Status)> done) {
  opened_ = std::move(done);
  missing_ = connections_.size();
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    connections_[i]->line(deadline, {}, [this, i](Result<remote::Connections::Line> line) {
      if (!opened_) return;
      if (!line.ok()) return std::exchange(opened_, nullptr)(line.status());
      lines_[i].endpoint = line->endpoint;
      for (const rpc::MetadataField& field : line->metadata) {
        LS_MUST(field.name == "token");
        lines_[i].token = field.value;
        lines_[i].fields = {{"token", lines_[i].token}};
      }
      if (--missing_ == 0) std::exchange(opened_, nullptr)(Status());
    });
  }
}

bool LoadConnections::up(std::size_t index) const {
  return lines_[index].endpoint->state() == remote::Endpoint::State::up;
}

Load::Load(env::Executor& executor, env::Clock& clock, LoadConnections& connections, LoadOperation& operation,
           const LoadOptions& options)
    : executor_(executor),
      clock_(clock),
      connections_(connections),
      operation_(operation),
      options_(options),
      prng_(options.seed),
      slots_(options.calls != 0 ? options.calls : connections.size() * options.in_flight) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].number = i;
    slots_[i].connection = i % connections.size();
  }
}

Load::~Load() {
  executor_.cancel(end_timer_);
  executor_.cancel(warm_up_timer_);
}

void Load::run(std::move_only_function<void()> done) {
  done_ = std::move(done);
  if (options_.warm_up > Duration::zero()) {
    warm_up_timer_ = executor_.schedule(clock_.now() + options_.warm_up, [this] { begin_counting(); });
  } else {
    begin_counting();
  }
  running_ = slots_.size();
  for (LoadSlot& slot : slots_) send(slot, clock_.now());
}

void Load::begin_counting() {
  counting_ = true;
  counted_from_ = clock_.now();
  processor_from_ = processor_time();
  if (options_.requests == 0)
    end_timer_ = executor_.schedule(counted_from_ + options_.duration, [this] { stopping_ = true; });
}

void Load::send(LoadSlot& slot, TimePoint now) {
  const bool enough = stopping_ || (options_.requests != 0 && begun_ >= options_.requests);
  if (enough && !slot.unfinished) return idle();
  if (!connections_.up(slot.connection)) return pause(slot);
  if (counting_ && !slot.unfinished) ++begun_;
  if (!slot.unfinished) slot.sent_at = now;
  operation_.write(slot, prng_);
  connections_.endpoint(slot.connection)
      .unary(operation_.path(slot), slot.request, connections_.metadata(slot.connection), no_deadline,
             [this, &slot](const rpc::CallResult& result) { answered(slot, result); });
}

void Load::answered(LoadSlot& slot, const rpc::CallResult& result) {
  ++answered_;
  if (result.status.ok()) {
    const TimePoint now = clock_.now();
    const Answer answer = operation_.look_at(slot, result.message);
    slot.unfinished = answer == Answer::unfinished;
    const bool counts = answer == Answer::good || answer == Answer::miss;
    if (answer == Answer::aside && counting_) --begun_;
    // What was sent before the warm-up ended is not counted.
    if (counts && counting_ && slot.sent_at >= counted_from_) {
      ++result_.requests;
      if (answer == Answer::miss) ++result_.misses;
      result_.latencies.add(now - slot.sent_at);
    }
    return send(slot, now);
  }
  ++result_.failures;
  if (result_.errors.size() < error_kinds_max || result_.errors.contains(result.status.message))
    ++result_.errors[result.status.message];
  pause(slot);
}

void Load::pause(LoadSlot& slot) {
  executor_.schedule(clock_.now() + pause_after_failure, [this, &slot] { send(slot, clock_.now()); });
}

void Load::idle() {
  LS_MUST(running_ > 0);
  if (--running_ > 0) return;
  result_.elapsed = clock_.now() - counted_from_;
  result_.processor = processor_time() - processor_from_;
  std::exchange(done_, nullptr)();
}

}  // namespace lockstep::cli
