#include "sim/node.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "sim/world.h"

namespace lockstep::sim {

namespace {
constexpr std::int64_t million = 1'000'000;
// 2026-01-01 in nanoseconds since the Unix epoch: where every wall clock starts.
constexpr std::int64_t wall_epoch_ns = 1'767'225'600'000'000'000;
// Monotonic clocks of different machines start far apart, so that mixing them up shows.
constexpr std::uint64_t clock_start_ns_max = 1'000'000'000'000'000;
// A post runs up to this much later.
constexpr std::uint64_t post_delay_ns_max = 1'000;
constexpr std::int64_t far_future_ns = std::numeric_limits<std::int64_t>::max() / 2;

std::int64_t scaled(std::int64_t elapsed, std::int64_t numerator, std::int64_t denominator) {
  return static_cast<std::int64_t>(static_cast<__int128>(elapsed) * numerator / denominator);
}
}  // namespace

DriftingClock::DriftingClock(std::int64_t true_ns, std::int64_t local_ns, std::int32_t rate_ppm)
    : true_anchor_(true_ns), local_anchor_(local_ns), rate_ppm_(rate_ppm) {
  LS_MUST(rate_ppm >= -rate_ppm_max);
  LS_MUST(rate_ppm <= rate_ppm_max);
}

void DriftingClock::set_rate(std::int64_t true_ns, std::int32_t rate_ppm) {
  *this = DriftingClock(true_ns, local_at(true_ns), rate_ppm);
}

std::int64_t DriftingClock::local_at(std::int64_t true_ns) const {
  return local_anchor_ + scaled(true_ns - true_anchor_, million + rate_ppm_, million);
}

std::int64_t DriftingClock::true_at(std::int64_t local_ns) const {
  if (local_ns <= local_anchor_) return true_anchor_;
  if (local_ns - local_anchor_ > far_future_ns) return far_future_ns;
  // Both conversions round down, so the first guess may be a nanosecond or two early.
  std::int64_t result = true_anchor_ + scaled(local_ns - local_anchor_, million, million + rate_ppm_);
  while (local_at(result) < local_ns) ++result;
  return result;
}

Node::Node(World& world, Owner owner, NodeId id, Prng prng, std::unique_ptr<Storage> storage,
           ProcessFactory factory)
    : world_(world),
      owner_(owner),
      id_(id),
      prng_(prng),
      storage_(std::move(storage)),
      factory_(std::move(factory)),
      environment_{*this, *this, *this, storage_->disk(), *this, *this, &secrets_},
      clock_(world.now(), static_cast<std::int64_t>(prng_.below(clock_start_ns_max)), 0),
      wall_offset_ns_(wall_epoch_ns) {}

Node::~Node() = default;

std::int64_t Node::local_now_ns() const {
  return clock_.local_at(world_.now());
}

TimePoint Node::now() {
  return TimePoint(Duration(local_now_ns()));
}

Duration Node::wall_now() {
  return Duration(world_.now() + wall_offset_ns_);
}

void Node::post(env::Closure closure) {
  if (!running()) return;
  strand_time_ = std::max(
      strand_time_, world_.now() + static_cast<std::int64_t>(world_.post_prng_.below(post_delay_ns_max)));
  world_.queue().add(strand_time_, EventKind::strand, owner_, std::move(closure));
}

void Node::run_on_strand(env::Closure closure) {
  post(std::move(closure));
}

env::TimerId Node::schedule(TimePoint deadline, env::Closure closure) {
  if (!running()) return env::TimerId{};
  const std::int64_t local_ns = deadline.time_since_epoch().count();
  const std::int64_t time = std::max(clock_.true_at(local_ns), world_.now());
  return env::TimerId(world_.queue().add_timer(time, owner_, local_ns, std::move(closure)));
}

void Node::cancel(env::TimerId timer) {
  world_.queue().cancel(timer.value());
}

void Node::submit(env::Closure work, env::Closure done) {
  if (!running()) return;
  const auto delay = static_cast<std::int64_t>(
      prng_.below(static_cast<std::uint64_t>(std::max<std::int64_t>(worker_delay_max_ns_, 1))));
  worker_time_ = std::max(worker_time_, world_.now() + delay);
  world_.queue().add(worker_time_, EventKind::worker, owner_,
                     [this, work = std::move(work), done = std::move(done)]() mutable {
                       work();
                       if (!running()) return;
                       world_.queue().add(world_.now(), EventKind::worker_done, owner_, std::move(done));
                     });
}

void Node::set_peer(NodeId peer, const std::string& /*address*/) {
  if (!running() || std::find(peers_.begin(), peers_.end(), peer) != peers_.end()) return;
  peers_.push_back(peer);
}

void Node::remove_peer(NodeId peer) {
  if (running()) std::erase(peers_, peer);
}

void Node::send(NodeId to, Pieces pieces) {
  if (!running() || std::find(peers_.begin(), peers_.end(), to) == peers_.end()) return;
  LS_MUST(size_of(pieces) <= limits::frame_bytes_max);
  world_.send(*this, to, std::move(pieces));
}

void Node::doom(DeathKind kind) {
  if (!alive_) return;
  if (!doomed_ || kind == DeathKind::power_cut) death_ = kind;
  doomed_ = true;
}

void Node::resume() {
  if (!paused_) return;
  paused_ = false;
  for (const std::uint32_t slot : std::exchange(held_slots_, {})) {
    world_.queue().put_back(world_.now(), slot);
  }
}

void Node::set_clock_rate(std::int32_t rate_ppm) {
  // Timers already set keep their moment; one that comes too early is put back when it fires.
  clock_.set_rate(world_.now(), rate_ppm);
  world_.clock_rate_ppm_most_ = std::max(world_.clock_rate_ppm_most_, std::abs(rate_ppm));
}

void Node::start() {
  LS_MUST(!alive_, "a node runs one process at a time");
  ++lives_;
  alive_ = true;
  doomed_ = false;
  paused_ = false;
  strand_time_ = world_.now();
  worker_time_ = world_.now();
  world_.queue().add(world_.now(), EventKind::strand, owner_, [this] { process_ = factory_(*this); });
}

void Node::die() {
  LS_MUST(alive_);
  const DeathKind kind = doomed_ ? death_ : DeathKind::killed;
  doomed_ = true;
  storage_->crash(kind);
  receiver_ = nullptr;
  peers_.clear();
  std::vector<env::Closure> closures = world_.queue().take_closures_of(owner_);
  for (const std::uint32_t slot : std::exchange(held_slots_, {})) world_.queue().release(slot);
  process_ = nullptr;
  closures.clear();
  alive_ = false;
  paused_ = false;
  if (kind == DeathKind::power_cut) {
    // The machine starts anew, and so does its monotonic clock.
    clock_ = DriftingClock(world_.now(), static_cast<std::int64_t>(prng_.below(clock_start_ns_max)),
                           clock_.rate_ppm());
  }
}

bool Node::hold_if_paused(std::uint32_t slot) {
  if (!paused_) return false;
  held_slots_.push_back(slot);
  return true;
}

void Node::run(std::uint32_t slot) {
  Event& event = world_.queue().at(slot);
  if (event.kind == EventKind::timer && local_now_ns() < event.deadline_local_ns) {
    world_.queue().put_back(std::max(clock_.true_at(event.deadline_local_ns), world_.now() + 1), slot);
    return;
  }
  const EventKind kind = event.kind;
  const NodeId from = event.from;
  const SharedBytes message = std::move(event.message);
  env::Closure closure = std::exchange(event.closure, nullptr);
  world_.queue().release(slot);
  if (kind == EventKind::message) {
    if (receiver_ != nullptr) receiver_->on_message(from, message);
  } else if (kind == EventKind::peer_lost) {
    if (receiver_ != nullptr) receiver_->on_peer_lost(from);
  } else {
    closure();
  }
}

}  // namespace lockstep::sim
