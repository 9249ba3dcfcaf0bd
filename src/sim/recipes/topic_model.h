// Topics under faults: machines publish, consume for groups, give back, forget, go back and look at dead
// letters; the verdict is at the consumers:
//
//   lost        what was published for certain is acknowledged in the end by every group, as it came or as
//               it was redriven from the dead letters
//   twice       what is acknowledged for certain is not delivered to that group again
//   order       a group gets each partition in the order of its offsets, for the first time
//   exclusive   of a group one claim at a time has a partition, as long as its visibility lasts
//   offsets     a message has one offset, an offset one message, whoever published and whatever was repeated;
//               of one key the later message has the larger offset
//   replay      a group that went back gets everything again
//   stuck       in the end nothing is left to any group
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "service/topic/topics.h"
#include "sim/recipes/fleet.h"

namespace lockstep::sim {

class TopicModel final : public Model {
 public:
  static constexpr const char* topic = "orders";
  static constexpr const char* replaying = "again";  // the group that goes back now and then
  static constexpr std::int64_t partitions = 3;
  static constexpr std::int64_t keys = 5;
  static const std::vector<std::string>& groups();  // the strict ones, then the replaying one

  explicit TopicModel(Fleet& fleet) : fleet_(fleet) {}
  [[nodiscard]] std::string_view name() const override { return "topic"; }
  void populate(FleetMachine& machine) override;
  [[nodiscard]] std::uint64_t achieved() const override { return acknowledged_; }
  Violations check(const History& history) override;

  // What workers tell.
  service::TopicMessage begin_publish(const std::string& key);
  void published(const std::vector<service::TopicMessage>& messages,
                 const std::vector<service::MessagePosition>& positions, std::int64_t invoked_ns);
  struct Claimed {
    std::string group;
    service::MessageClaim claim;
    std::int64_t invoked_ns = 0;
    std::int64_t visible_ns = 0;  // for so long it is nobody else's
  };
  void delivered(const Claimed& claimed);
  // It is about to be settled: whatever is acknowledged may be so from now on.
  void settling(const Claimed& claimed, const service::MessageSettlement& settlement);
  void settled(const Claimed& claimed, const service::MessageSettlement& settlement);
  void went_back(std::int64_t invoked_ns) { went_back_ns_ = std::max(went_back_ns_, invoked_ns); }
  void read(const std::vector<service::DeliveredMessage>& messages, std::int64_t partition);
  // The state as somebody saw it when nobody disturbed any more.
  void seen(const service::TopicState& state, bool letters);
  // Of the strict groups, which redrive what died: some messages are poison until then.
  static bool is_poison(const std::string& group, const service::TopicMessage& message);

  // Whoever publishes or goes back: while there is one, nothing is over.
  struct Disturbing {
    explicit Disturbing(TopicModel& model) : model_(model) { ++model_.disturbing_; }
    ~Disturbing() { --model_.disturbing_; }
    Disturbing(const Disturbing&) = delete;
    Disturbing& operator=(const Disturbing&) = delete;

   private:
    TopicModel& model_;
  };
  [[nodiscard]] bool disturbed() const { return disturbing_ > 0; }
  [[nodiscard]] bool all_done() const { return done_; }
  [[nodiscard]] std::int64_t now_ns() { return fleet_.world().now(); }

 private:
  using Position = std::pair<std::int64_t, std::int64_t>;  // partition, offset
  struct Record {
    std::string key;
    bool certain = false;
  };
  struct GroupRecord {
    std::map<std::string, std::int64_t> delivered_ns;  // by message: the last time
    std::set<std::string> acknowledged;                // by message: perhaps
    std::map<Position, std::int64_t> settled_ns;       // for certain, since then
    std::map<std::int64_t, Position> furthest;         // by partition: the largest offset, and when it came
    std::set<Position> seen;
    struct Holding {
      std::int64_t until_ns = 0;
      std::int64_t revision = 0;
    };
    std::map<std::int64_t, Holding> holding;  // by partition
  };
  void place(const service::TopicMessage& message, Position at);
  void judge_order(GroupRecord& group, const Claimed& claimed);
  void judge_holding(GroupRecord& group, const Claimed& claimed);
  static void acknowledge(const Claimed& claimed, const service::MessageSettlement& settlement,
                          const std::function<void(const service::DeliveredMessage&)>& each);

  Fleet& fleet_;
  std::map<std::string, Record> messages_;     // by payload
  std::map<Position, std::string> positions_;  // what is there: payload, and "+" if it was redriven
  std::map<std::string, Position> placed_;     // of messages as they were published
  struct Answered {
    std::int64_t answered_ns = 0;
    Position furthest;  // of all that were answered until then
  };
  std::map<std::string, std::vector<Answered>> answered_;  // by key, in order
  std::map<std::string, GroupRecord> groups_;
  std::int64_t went_back_ns_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::int64_t disturbing_ = 0;
  bool done_ = false;
};

}  // namespace lockstep::sim
