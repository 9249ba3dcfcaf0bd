#include "cli/load_timers.h"

#include <utility>

#include "base/assert.h"
#include "service/waiting.h"

namespace lockstep::cli {
namespace {

constexpr Duration pending_after = std::chrono::hours(24 * 365);
constexpr Duration pause_when_nothing_is_due = 5ms;
constexpr std::uint64_t failures_max = 1000;

}  // namespace

TimerLoad::TimerLoad(Client& client, const TimerLoadOptions& options) : client_(client), options_(options) {
  LS_MUST(options.connections > 0 && options.in_flight > 0 && options.queues > 0);
  const std::vector<std::string>& endpoints = client.settings().endpoints;
  for (std::size_t i = 0; i < options.connections; ++i) {
    Line& line = lines_.emplace_back();
    line.connections = client.connections_to(endpoints[i % endpoints.size()], false);
    line.store = std::make_unique<remote::Store>(*line.connections);
    line.timers = std::make_unique<service::Timers>(
        service::Context{*line.store, client.executor(), client.clock(), client.random()});
  }
}

TimerLoad::~TimerLoad() {
  for (Line& line : lines_) line.connections->close();
}

std::string TimerLoad::queue_of(std::size_t number) const {
  return "bench-" + std::to_string(number % options_.queues);
}

void TimerLoad::all(Work work, std::size_t on_each) {
  const Status ended = client_.wait<Status>([&](auto done) {
    done_ = std::move(done);
    running_ = lines_.size() * on_each + 1;
    for (std::size_t i = 0; i < lines_.size() * on_each; ++i) {
      run_one(this, work, &lines_[i % lines_.size()], i).detach();
    }
    if (--running_ == 0) done_(Status());
  });
  LS_MUST(ended.ok());
}

Task<void> TimerLoad::run_one(TimerLoad* load, Work work, Line* line, std::size_t number) {
  co_await work(load, line, number);
  if (--load->running_ == 0) load->done_(Status());
}

void TimerLoad::failed(const Status& why) {
  if (result_.failures++ == 0) result_.first_failure = why.to_string();
}

Task<void> TimerLoad::set(TimerLoad* load, Line* line, std::size_t /*number*/) {
  const std::size_t total = load->options_.pending + load->options_.due;
  while (load->next_ < total && load->result_.failures < failures_max) {
    const std::size_t mine = load->next_++;
    const bool waits = mine < load->options_.pending;
    service::TimerSpec spec;
    spec.name = "order/" + std::to_string(mine);
    spec.after = waits ? pending_after : Duration{};
    spec.payload = std::string(load->options_.payload_bytes, 'x');
    const Result<service::TimerPlaced> placed =
        co_await line->timers->set(waits ? std::string("bench-pending") : load->queue_of(mine),
                                   std::move(spec), load->client_.options());
    if (!placed.ok()) load->failed(placed.status());
  }
}

Task<void> TimerLoad::work_off(TimerLoad* load, Line* line, std::size_t number) {
  service::TimerClaim claim;
  claim.max = service::timers_per_claim;
  while (load->result_.acknowledged < load->options_.due && load->result_.failures < failures_max) {
    const std::string queue = load->queue_of(number);
    const Result<std::vector<service::TimerDelivery>> due =
        co_await line->timers->claim(queue, claim, load->client_.options());
    ++load->result_.claims;
    if (!due.ok()) {
      load->failed(due.status());
      continue;
    }
    if (due->empty()) {
      ++load->result_.empty_claims;
      number += load->lines_.size();
      const TimePoint later = load->client_.clock().now() + pause_when_nothing_is_due;
      static_cast<void>(co_await service::pause_until(
          {*line->store, load->client_.executor(), load->client_.clock(), load->client_.random()}, later,
          {}));
      continue;
    }
    std::vector<service::TimerSettlement> settlements;
    for (const service::TimerDelivery& one : *due) {
      settlements.push_back({service::TimerSettlement::Kind::ack, one.name, one.token, {}});
    }
    const Result<std::vector<service::TimerSettled>> settled =
        co_await line->timers->settle(queue, std::move(settlements), load->client_.options());
    if (!settled.ok()) {
      load->failed(settled.status());
      continue;
    }
    for (const service::TimerSettled& one : *settled) {
      if (one.status.ok()) ++load->result_.acknowledged;
      if (!one.status.ok()) load->failed(one.status);
    }
  }
}

Result<TimerLoadResult> TimerLoad::run() {
  const TimePoint began = client_.clock().now();
  all(&TimerLoad::set, options_.in_flight);
  if (result_.failures > 0) return Status(Code::unavailable, result_.first_failure);
  const TimePoint set = client_.clock().now();
  result_.setting = set - began;
  // Until the timer clock has passed them all.
  const Status waited = client_.wait<Status>([&](auto done) {
    client_.executor().schedule(set + 2s, [done = std::move(done)]() mutable { done(Status()); });
  });
  LS_MUST(waited.ok());
  const TimePoint from = client_.clock().now();
  all(&TimerLoad::work_off, 2);  // one claims while the other acknowledges
  result_.working = client_.clock().now() - from;
  return result_;
}

}  // namespace lockstep::cli
