#include "service/transaction/term.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "service/transaction/keys.h"

namespace lockstep::service::transaction {
namespace {

constexpr Duration tick_interval = 1s;
constexpr Duration call_time_max = 5s;
// Steps of one turn: others on the strand have their turn, too.
constexpr int steps_per_pump_max = 256;
constexpr std::size_t gone_max_min = 1024;
constexpr std::int64_t idle_clock_step_ms = 60'000;
constexpr std::int64_t wake_distance_max_ms = 3'600'000;

}  // namespace

Term::Term(const Context& context, env::HttpClient& client, CoordinatorOptions options, Revision epoch,
           std::int64_t clock_ms, CoordinatorFigures& figures, Signal over)
    : context_(context),
      client_(client),
      options_(std::move(options)),
      epoch_(epoch),
      clock_ms_(LS_PLANTED(transaction_early_after_jump) ? std::max(clock_ms, wall_ms()) : clock_ms),
      clock_at_(context.clock.now()),
      clock_written_ms_(clock_ms),
      figures_(figures),
      over_signal_(std::move(over)),
      documents_(options_.machine_bytes_max),
      gate_(options_.calls_max, options_.calls_per_host_max) {}

Term::~Term() {
  stop();
}

void Term::start() {
  figures_.epoch = epoch_;
  tick_timer_ = context_.executor.schedule(context_.clock.now() + tick_interval, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->tick();
  });
}

void Term::stop() {
  if (std::exchange(stopped_, true)) return;
  if (wake_timer_ != env::TimerId()) context_.executor.cancel(wake_timer_);
  if (tick_timer_ != env::TimerId()) context_.executor.cancel(tick_timer_);
  figures_.unfinished = 0;
  figures_.need_operator = 0;
  figures_.calls_under_way = 0;
}

// The epoch is another's, or nothing can be known any more.
void Term::end(bool lost) {
  if (over_) return;
  over_ = true;
  if (lost) figures_.conflicts += 1;
  stop();
  over_signal_.set();
}

std::int64_t Term::now_ms() const {
  return clock_ms_ + std::chrono::floor<std::chrono::milliseconds>(context_.clock.now() - clock_at_).count();
}

std::int64_t Term::wall_ms() const {
  return std::max<std::int64_t>(context_.clock.wall_now() / 1ms, 0);
}

store::CallOptions Term::call() const {
  store::CallOptions options;
  options.principal = options_.principal;
  options.deadline = context_.clock.now() + call_time_max;
  return options;
}

Active* Term::find(std::uint64_t serial) {
  const auto found = active_.find(serial);
  return found == active_.end() ? nullptr : found->second.get();
}

Active& Term::make(std::string_view gid) {
  auto active = std::make_unique<Active>();
  active->gid = gid;
  active->serial = ++last_serial_;
  Active& made = *active;
  serials_[made.gid] = made.serial;
  active_.emplace(made.serial, std::move(active));
  figures_.unfinished = active_.size();
  return made;
}

// Calls that are under way come to nothing.
void Term::drop(Active& active) {
  schedule(active, -1);
  unsaved_.erase(active.serial);
  use_room(active);
  forget_machine(active);
  if (active.alarmed) --figures_.need_operator;
  documents_.erase(active.gid);
  serials_.erase(active.gid);
  const std::uint64_t serial = active.serial;
  active_.erase(serial);
  figures_.unfinished = active_.size();
}

void Term::schedule(Active& active, std::int64_t due_ms) {
  if (active.due_ms == due_ms) return;
  if (active.due_ms >= 0) due_.erase({active.due_ms, active.serial});
  active.due_ms = due_ms >= never_ms ? -1 : due_ms;
  if (active.due_ms >= 0) due_.insert({active.due_ms, active.serial});
}

void Term::see_definition(const store::KeyValue& kv) {
  const std::string_view name = std::string_view(kv.key).substr(definitions_prefix.size());
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) {
    documents_.put(std::string(name), {kv.value, {}}, kv.mod_revision);
  } else {
    documents_.add(std::string(name.substr(0, slash)), kv.value, kv.mod_revision);
  }
}

void Term::see_unfinished(const store::KeyValue& kv) {
  const std::string_view gid = std::string_view(kv.key).substr(unfinished_prefix.size());
  const auto known = serials_.find(std::string(gid));
  if (known == serials_.end()) {
    if (!check_gid(gid).ok()) return;  // an ordinary key that somebody put here
    const auto gone = gone_.find(std::string(gid));
    if (gone != gone_.end() && kv.mod_revision < gone->second) return;
    Active& active = make(gid);
    active.newer = kv;
    active.maybe_sent_known = kv.create_revision > epoch_;
  } else {
    Active& active = *find(known->second);
    if (kv.mod_revision <= active.revision) return;
    if (active.newer.has_value() && kv.mod_revision <= active.newer->mod_revision) return;
    active.newer = kv;
    if (active.writing || active.loading) return;
  }
  Active& active = *find(serials_.at(std::string(gid)));
  use_room(active);  // it may be due much later
  take_newer(active);
  rest_unless_due(active);
}

// An edit of somebody else, or what was found: it counts, instead of what stood here.
void Term::take_newer(Active& active) {
  LS_MUST(active.newer.has_value() && !active.writing);
  const store::KeyValue kv = *std::exchange(active.newer, std::nullopt);
  Result<State> state = parse_state(kv.value);
  forget_machine(active);
  active.revision = kv.mod_revision;
  active.created = kv.create_revision;
  if (!state.ok()) {
    active.state.reset();
    schedule(active, -1);
    tell_of(active, Mode::saga, std::string(state.status().message()));
    return;
  }
  active.state = *std::move(state);
  // Attempts that are written down and were not sent are sent, and not counted once more.
  std::erase_if(active.recorded, [&](const SentCall& attempt) {
    const CallState* row = find_call(*active.state, attempt.branch, attempt.operation);
    return row == nullptr || row->attempts != attempt.attempt;
  });
  if (active.state->deadline_ms == 0) active.state->deadline_ms = active.deadline_ms;
  active.deadline_ms = active.state->deadline_ms;
  const bool waits_for_owner = active.state->verdict == Verdict::waiting && active.deadline_ms > 0 &&
                               active.state->calls.empty() && active.state->mode != Mode::message;
  std::int64_t due_ms = waits_for_owner ? active.deadline_ms : active.state->next_ms;
  if (!active.arrived.empty()) due_ms = 0;
  look_at_alarm(active);
  schedule(active, due_ms);
}

void Term::see_removed(std::string_view gid, Revision revision) {
  const auto known = serials_.find(std::string(gid));
  if (known == serials_.end()) return;
  Active& active = *find(known->second);
  if (active.revision > revision || active.writing) return;
  if (active.newer.has_value() && active.newer->mod_revision > revision) return;
  finished_.add({active.gid, revision, now_ms(), true});
  drop(active);
}

void Term::see_progress(Revision revision) {
  watched_ = std::max(watched_, revision);
  if (gone_.size() <= gone_max_) return;
  // order: which goes first does not show
  std::erase_if(gone_, [&](const auto& gone) { return gone.second <= watched_; });
  gone_max_ = std::max<std::size_t>(2 * gone_.size(), gone_max_min);
}

void Term::note_gone(const std::string& gid, Revision revision) {
  if (revision > watched_) gone_[gid] = revision;
}

void Term::see_remembered(FinishedOnes::One one, std::int64_t since_ms) {
  one.at_ms = std::clamp<std::int64_t>(since_ms, 0, now_ms());
  finished_.add(std::move(one));
}

void Term::see_finished(std::string gid, Revision revision) {
  finished_.add({std::move(gid), revision, now_ms(), true});
}

// Of whatever room there is.
void Term::tell_waiters() {
  for (auto all = gate_.hand_out(); !all.empty(); all = gate_.hand_out()) {
    for (const CallGate::Told& told : all) {
      Active* active = find(told.who);
      if (active == nullptr) {
        gate_.looked(told.host);
        continue;
      }
      std::erase(active->hosts_waited_for, std::pair(told.host, told.urgent));
      active->hosts_with_room.push_back(told.host);
      if (!active->writing && !active->loading) schedule(*active, 0);
    }
  }
}

// It takes its room now, or leaves it.
void Term::use_room(Active& active) {
  for (const std::string& host : std::exchange(active.hosts_with_room, {})) gate_.looked(host);
}

void Term::pump() {
  if (over_ || stopped_ || pumping_) return;
  pumping_ = true;
  int steps = 0;
  bool more = true;
  while (more && !over_) {
    tell_waiters();
    more = !due_.empty() && due_.begin()->first <= now_ms() && ++steps <= steps_per_pump_max;
    if (!more) break;
    Active& active = *find(due_.begin()->second);
    schedule(active, -1);
    step(active);
  }
  pumping_ = false;
  figures_.calls_under_way = gate_.taken();
  set_wake_timer();
  at_turn_end();
}

void Term::set_wake_timer() {
  if (over_ || stopped_) return;
  const std::int64_t due_ms = due_.empty() ? never_ms : due_.begin()->first;
  if (due_ms == wake_ms_ && wake_timer_ != env::TimerId()) return;
  if (wake_timer_ != env::TimerId()) context_.executor.cancel(std::exchange(wake_timer_, {}));
  wake_ms_ = due_ms;
  if (due_ms == never_ms) return;
  // What is further away is looked at again: its distance in nanoseconds may be more than there are.
  const std::int64_t until_ms = std::min(due_ms, now_ms() + wake_distance_max_ms);
  const TimePoint when =
      clock_at_ + std::chrono::milliseconds(std::max<std::int64_t>(until_ms - clock_ms_, 0));
  wake_timer_ = context_.executor.schedule(std::max(when, context_.clock.now()), [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr) return;
    self->wake_timer_ = {};
    self->pump();
  });
}

void Term::tick() {
  tick_timer_ = context_.executor.schedule(context_.clock.now() + tick_interval, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->tick();
  });
  if (LS_PLANTED(transaction_early_after_jump)) clock_ms_ += std::max<std::int64_t>(wall_ms() - now_ms(), 0);
  for (const std::uint64_t serial : std::exchange(unsaved_, {})) {
    Active* active = find(serial);
    if (active == nullptr || !active->unsaved || active->writing || active->loading) continue;
    if (active->state.has_value()) want_write(*active);
  }
  // What is remembered has its time counted, too, though nobody is in a hurry.
  const bool idle_tick = finished_.size() > 0 && now_ms() - clock_written_ms_ >= idle_clock_step_ms;
  tick_due_ = !active_.empty() || idle_tick;
  sweep();
  at_turn_end();
}

void Term::at_turn_end() {
  if (over_ || stopped_ || std::exchange(turn_end_asked_, true)) return;
  context_.executor.at_turn_end([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr) return;
    self->turn_end_asked_ = false;
    if (self->over_ || self->stopped_) return;
    self->load_wanted();
    self->write_wanted();
  });
}

}  // namespace lockstep::service::transaction
