#include "service/combiner/combiner.h"

#include <utility>

#include "base/assert.h"
#include "service/combiner/core.h"
#include "service/waiting.h"

namespace lockstep::service {

namespace errors {
Status combiner_closed() {
  return {Code::cancelled, "lockstep: closed before it was done"};
}
Status too_many_updates() {
  return {Code::resource_exhausted, "lockstep: too many updates wait already"};
}
Status too_contended() {
  return {Code::unavailable, "lockstep: other processes changed the key again and again"};
}
Status update_outcome_unknown() {
  return {Code::unknown_outcome, "lockstep: it may have taken effect, or may do so later"};
}
}  // namespace errors

void Combiner::Core::enqueue(const std::string& name, std::shared_ptr<CombinedUpdate> update,
                             store::CallOptions options,
                             std::move_only_function<void(Result<Revision>)> done) {
  if (closed_) return done(errors::combiner_closed());
  if (waiting_ >= updates_waiting_max) return done(errors::too_many_updates());
  const std::shared_ptr<Lane> lane = lane_of({options.principal, name});
  const std::uint64_t id = ++last_id_;
  auto waiting = std::make_shared<Waiting>();
  waiting->update = std::move(update);
  waiting->options = std::move(options);
  waiting->done = std::move(done);
  ++waiting_;
  if (waiting->options.cancellation.stop_possible()) {
    waiting->stop.emplace(
        waiting->options.cancellation,
        [weak = weak_from_this(), weak_lane = std::weak_ptr(lane), id, &executor = context_.executor] {
          executor.post_from_any_thread([weak, weak_lane, id] {
            const std::shared_ptr<Core> self = weak.lock();
            const std::shared_ptr<Lane> lane = weak_lane.lock();
            if (self != nullptr && lane != nullptr)
              self->give_up(*lane, id, service::errors::wait_cancelled());
          });
        });
  }
  const TimePoint deadline = waiting->options.deadline;
  lane->queue.emplace(id, std::move(waiting));
  watch_deadline(lane, deadline);
  if (lane->working) return;
  lane->working = true;
  idle_.erase(lane->idle_since);
  // At the end of the turn, so that whatever this turn brings goes together.
  context_.executor.at_turn_end([self = shared_from_this(), lane] { work(self, lane).detach(); });
}

std::shared_ptr<Combiner::Lane> Combiner::Core::lane_of(const LaneKey& key) {
  std::shared_ptr<Lane>& lane = lanes_[key];
  if (lane != nullptr) return lane;
  lane = std::make_shared<Lane>();
  lane->key = key;
  std::shared_ptr<Lane> made = lane;
  if (lanes_.size() > combined_keys_max && !idle_.empty()) {
    const auto oldest = idle_.begin();
    const auto dropped = lanes_.find(oldest->second);
    LS_MUST(dropped != lanes_.end());
    LS_MUST(!dropped->second->working);
    context_.executor.cancel(dropped->second->timer);
    lanes_.erase(dropped);
    idle_.erase(oldest);
  }
  return made;
}

void Combiner::Core::rest(Lane& lane) {
  LS_MUST(lane.queue.empty());
  lane.working = false;
  lane.idle_since = ++last_id_;
  idle_.emplace(lane.idle_since, lane.key);
}

void Combiner::Core::answer(Waiting& waiting, Result<Revision> outcome) {
  if (waiting.answered()) return;
  LS_MUST(waiting_ > 0);
  --waiting_;
  waiting.stop.reset();
  auto done = std::exchange(waiting.done, nullptr);
  done(std::move(outcome));
}

void Combiner::Core::give_up(Lane& lane, std::uint64_t id, const Status& why) {
  if (const auto queued = lane.queue.find(id); queued != lane.queue.end()) {
    const std::shared_ptr<Waiting> waiting = queued->second;
    lane.queue.erase(queued);
    return answer(*waiting, why);
  }
  const auto under_way = lane.batch.find(id);
  if (under_way == lane.batch.end()) return;
  const std::shared_ptr<Waiting> waiting = under_way->second;
  answer(*waiting, waiting->sent ? errors::update_outcome_unknown() : why);
}

void Combiner::Core::watch_deadline(const std::shared_ptr<Lane>& lane, TimePoint deadline) {
  if (deadline == no_deadline) return;
  if (lane->timer != env::TimerId() && lane->timer_at <= deadline) return;
  context_.executor.cancel(lane->timer);
  lane->timer_at = deadline;
  lane->timer =
      context_.executor.schedule(deadline, [weak = weak_from_this(), weak_lane = std::weak_ptr(lane)] {
        const std::shared_ptr<Core> self = weak.lock();
        const std::shared_ptr<Lane> lane = weak_lane.lock();
        if (self == nullptr || lane == nullptr) return;
        lane->timer = env::TimerId();
        self->on_timer(lane);
      });
}

void Combiner::Core::on_timer(const std::shared_ptr<Lane>& lane) {
  const TimePoint now = context_.clock.now();
  TimePoint next = no_deadline;
  std::vector<std::uint64_t> over;
  for (const auto* waiting : {&lane->queue, &lane->batch}) {
    for (const auto& [id, one] : *waiting) {
      if (one->answered()) continue;
      if (one->options.deadline <= now) {
        over.push_back(id);
      } else {
        next = std::min(next, one->options.deadline);
      }
    }
  }
  for (const std::uint64_t id : over) give_up(*lane, id, service::errors::wait_deadline_over());
  watch_deadline(lane, next);
}

void Combiner::Core::close() {
  closed_ = true;
  for (const auto& [key, lane] : lanes_) {
    const auto queue = std::exchange(lane->queue, {});
    for (const auto& [id, waiting] : queue) answer(*waiting, errors::combiner_closed());
  }
}

Task<void> Combiner::Core::work(std::shared_ptr<Core> core, std::shared_ptr<Lane> lane) {
  while (!lane->queue.empty()) {
    std::size_t companions = 0;
    while (!lane->queue.empty() && lane->batch.size() < updates_per_batch_max &&
           companions < companions_per_batch_max) {
      if (lane->queue.begin()->second->update->companion.has_value()) ++companions;
      lane->batch.insert(lane->queue.extract(lane->queue.begin()));
    }
    Commit commit(*core, *lane);
    const Result<Revision> outcome = co_await commit.run();
    const auto batch = std::exchange(lane->batch, {});
    for (const auto& [id, waiting] : batch) core->answer(*waiting, outcome);
  }
  core->rest(*lane);
}

Combiner::Combiner(const Context& context, CombinerOptions options)
    : core_(std::make_shared<Core>(context, std::move(options))) {}

Combiner::~Combiner() {
  core_->close();
}

Task<Result<Revision>> Combiner::submit(std::string name, std::shared_ptr<CombinedUpdate> update,
                                        store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status wanted = still_wanted(core->context(), options); !wanted.ok()) co_return wanted;
  auto start = [&](auto done) {
    core->enqueue(name, std::move(update), std::move(options), std::move(done));
  };
  co_return co_await from_callback<Result<Revision>>(std::move(start));
}

std::size_t Combiner::waiting() const {
  return core_->waiting();
}

std::size_t Combiner::keys_remembered() const {
  return core_->lanes();
}

}  // namespace lockstep::service
