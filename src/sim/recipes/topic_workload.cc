// What the machines do with topics.
#include <algorithm>
#include <utility>

#include "sim/recipes/topic_model.h"

namespace lockstep::sim {

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t patience_ns = 90'000 * ms;
constexpr std::int64_t attempts_max = 3;  // of the strict groups; the other one never buries
constexpr std::size_t read_max = 256;

class Installed final : public Installation {
 public:
  explicit Installed(FleetMachine& machine) : topics(machine.context()) {}
  service::Topics topics;
};

service::TopicConfig config() {
  service::TopicConfig config;
  config.partitions = TopicModel::partitions;
  config.retention_ms = 0;
  return config;
}

Task<void> publish(TopicModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  const TopicModel::Disturbing publishing(model);
  bool made = false;
  while (worker.wanted()) {
    co_await worker.pause(100, 3000);
    if (!made) {
      const Status created =
          co_await installed.topics.create(TopicModel::topic, config(), worker.within(500, 5000));
      made = created.ok();
      continue;
    }
    std::vector<service::TopicMessage> messages;
    const std::uint64_t count = worker.prng().between(1, 5);
    for (std::uint64_t i = 0; i < count; ++i)
      messages.push_back(model.begin_publish("k" + std::to_string(worker.prng().below(TopicModel::keys))));
    const std::int64_t invoked_ns = model.now_ns();
    worker.doing("publishing " + messages[0].payload);
    std::vector<service::TopicMessage> sent = messages;
    const auto positions =
        co_await installed.topics.publish(TopicModel::topic, std::move(sent), worker.within(500, 6000));
    if (positions.ok()) model.published(messages, *positions, invoked_ns);
  }
}

// What the consumer does with what it got; nothing: it forgets it.
std::optional<service::MessageSettlement> draw_settlement(FleetWorker& worker,
                                                          const TopicModel::Claimed& claimed) {
  service::MessageSettlement settlement;
  for (const service::DeliveredMessage& one : claimed.claim.messages) {
    if (TopicModel::is_poison(claimed.group, one.message)) {
      if (worker.chance(1, 4)) return std::nullopt;
      settlement.reason = "it does harm";
      settlement.reject = worker.chance(1, 4);
      return settlement;
    }
    if (worker.chance(1, 20)) {
      settlement.delay = std::chrono::milliseconds(worker.prng().below(1500));
      return settlement;
    }
    settlement.acknowledged_through = one.offset;
  }
  if (worker.chance(1, 20)) return std::nullopt;
  return settlement;
}

Task<void> consume_once(TopicModel& model, FleetWorker& worker, Installed& installed, std::string group) {
  service::MessageClaimRequest request;
  request.max = worker.prng().between(1, 8);
  request.visibility = std::chrono::milliseconds(worker.prng().between(1000, 4000));
  request.wait = std::chrono::milliseconds(worker.prng().below(1000));
  request.attempts_max = group == TopicModel::replaying ? service::message_attempts_max : attempts_max;
  TopicModel::Claimed claimed;
  claimed.group = group;
  claimed.invoked_ns = model.now_ns();
  claimed.visible_ns = request.visibility.count();
  worker.doing("claiming for " + group);
  Result<service::MessageClaim> claim =
      co_await installed.topics.claim(TopicModel::topic, group, request, worker.within(3000, 8000));
  if (!claim.ok()) {
    co_await worker.pause(50, 300);
    co_return;
  }
  claimed.claim = *std::move(claim);
  if (claimed.claim.messages.empty()) co_return;
  model.delivered(claimed);
  co_await worker.pause(0, worker.chance(1, 15) ? 5000 : 100);
  const std::optional<service::MessageSettlement> settlement = draw_settlement(worker, claimed);
  if (!settlement.has_value()) co_return;
  model.settling(claimed, *settlement);
  worker.doing("settling for " + group);
  const Status settled = co_await installed.topics.settle(TopicModel::topic, group, claimed.claim.token,
                                                          *settlement, worker.within(500, 6000));
  if (settled.ok()) model.settled(claimed, *settlement);
}

Task<void> consume(TopicModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  std::int64_t stopping_since_ns = 0;
  while (true) {
    if (!worker.wanted()) {
      if (stopping_since_ns == 0) stopping_since_ns = model.now_ns();
      if (model.all_done() || model.now_ns() > stopping_since_ns + patience_ns) co_return;
    }
    const std::string group = TopicModel::groups()[worker.prng().below(TopicModel::groups().size())];
    co_await consume_once(model, worker, installed, group);
  }
}

// True: no letters are left.
Task<bool> redrive_all(FleetWorker& worker, Installed& installed) {
  bool none = true;
  for (const std::string& group : TopicModel::groups()) {
    const auto letters =
        co_await installed.topics.dead(TopicModel::topic, group, 100, worker.within(1000, 5000));
    none = none && letters.ok() && letters->empty();
    if (!letters.ok()) continue;
    for (const service::DeadMessage& letter : *letters) {
      // Of an unknown outcome the next look tells.
      (void)co_await installed.topics.redrive(TopicModel::topic, group, {letter.partition, letter.offset},
                                              worker.within(1000, 5000));
    }
  }
  co_return none;
}

Task<void> read_all(TopicModel& model, FleetWorker& worker, Installed& installed) {
  for (std::int64_t partition = 0; partition < TopicModel::partitions; ++partition) {
    std::int64_t from = 0;
    for (int failures = 0; failures < 20;) {
      const auto read = co_await installed.topics.read(TopicModel::topic, partition, from, read_max,
                                                       worker.within(1000, 5000));
      failures += read.ok() ? 0 : 1;
      if (!read.ok()) continue;
      if (read->empty()) break;
      model.read(*read, partition);
      from = read->back().offset + 1;
    }
  }
}

// Brings dead letters back, and looks whether anything is left.
Task<void> operate(TopicModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  std::int64_t stopping_since_ns = 0;
  while (true) {
    co_await worker.pause(300, 3000);
    if (!worker.wanted()) {
      if (stopping_since_ns == 0) stopping_since_ns = model.now_ns();
      if (model.all_done() || model.now_ns() > stopping_since_ns + patience_ns) break;
    }
    worker.doing("looking at letters");
    const bool quiet = !model.disturbed();
    const auto before = co_await installed.topics.show(TopicModel::topic, worker.within(1000, 5000));
    const bool none = co_await redrive_all(worker, installed);
    const auto after = co_await installed.topics.show(TopicModel::topic, worker.within(1000, 5000));
    if (!quiet || !before.ok() || !after.ok()) continue;
    const auto is_behind = [](const auto& group) { return group.behind > 0; };
    const bool was_behind = std::ranges::any_of(before->groups, is_behind);
    model.seen(*after, !none || was_behind);
  }
  worker.doing("reading it all");
  co_await read_all(model, worker, installed);
}

Task<void> go_back(TopicModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  const TopicModel::Disturbing seeking(model);
  while (worker.wanted()) {
    co_await worker.pause(4000, 20'000);
    if (!worker.wanted()) co_return;
    const std::int64_t invoked_ns = model.now_ns();
    service::Topics::Seek to;
    worker.doing("going back");
    to.to = worker.chance(1, 2) ? service::Topics::Seek::To::first : service::Topics::Seek::To::time;
    const Status sought = co_await installed.topics.seek(TopicModel::topic, TopicModel::replaying, to,
                                                         worker.within(2000, 8000));
    if (sought.ok()) model.went_back(invoked_ns);
    worker.doing(sought.ok() ? "went back" : "did not go back");
  }
}

}  // namespace

void TopicModel::populate(FleetMachine& machine) {
  auto installed = std::make_unique<Installed>(machine);
  Installed& recipes = *installed;
  machine.install(std::move(installed));
  machine.run(publish(*this, machine, recipes));
  for (int i = 0; i < 2; ++i) machine.run(consume(*this, machine, recipes));
  machine.run(operate(*this, machine, recipes));
  machine.run(go_back(*this, machine, recipes));
}

}  // namespace lockstep::sim
