// Inside the topics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "service/topic/topics.h"
#include "service/waiting.h"

namespace lockstep::service {

// Messages of one call that go to one partition.
struct PublishPart {
  explicit PublishPart(const Context& context) : settled(context) {}
  std::vector<TopicMessage> messages;
  std::size_t bytes = 0;
  std::string dead_letter;  // redriven: the key that goes when these come
  Revision dead_letter_revision;
  Signal settled;
  std::optional<Result<std::int64_t>> outcome;  // the first one's offset
};

// What one process publishes to one partition, one transaction after the other.
struct PublishLane {
  std::deque<std::shared_ptr<PublishPart>> waiting;
  bool runs = false;
  Revision head_revision;
  TopicHead head;
  bool head_is_known = false;
  TimePoint trimmed_at{};
};

class Topics::Core {
 public:
  explicit Core(const Context& context) : context_(context) {}
  [[nodiscard]] const Context& context() const { return context_; }
  [[nodiscard]] bool closed() const { return closed_; }
  void close();

  struct KnownTopic {
    TopicConfig config;
    Revision revision;
  };
  // As it was read last, or read now.
  static Task<Result<KnownTopic>> topic(std::shared_ptr<Core> core, std::string name,
                                        store::CallOptions options);
  void forget(const std::string& topic) { topics_.erase(topic); }

  using LaneName = std::tuple<store::Principal, std::string, std::int64_t>;
  PublishLane& lane(const LaneName& name) { return lanes_[name]; }
  void drop_lane(const LaneName& name) { lanes_.erase(name); }
  std::size_t messages_waiting = 0;
  std::uint64_t turn = 0;  // messages without a key go round, and claims
  std::uint64_t last_claim = 0;

  std::map<std::uint64_t, Signal> waiting_claims;  // woken when the topics close

 private:
  Context context_;
  std::map<std::string, KnownTopic> topics_;
  std::map<LaneName, PublishLane> lanes_;
  bool closed_ = false;
};

// Publishing, one transaction of a lane at a time; bounded by publishes_waiting_max.
class Topics::Publishing {
 public:
  static Task<Result<std::vector<MessagePosition>>> publish(std::shared_ptr<Core> core, std::string topic,
                                                            std::vector<TopicMessage> messages,
                                                            store::CallOptions options);
  // Puts a part into its lane; and what became of it: the offset of its first message.
  static void enqueue(const std::shared_ptr<Core>& core, const Core::LaneName& name,
                      std::shared_ptr<PublishPart> part);
  static Task<Result<std::int64_t>> outcome_of(std::shared_ptr<PublishPart> part, store::CallOptions options);

 private:
  static Task<void> run(std::shared_ptr<Core> core, Core::LaneName name);
  static std::vector<std::shared_ptr<PublishPart>> take(Core& core, PublishLane& lane);
  static Task<Result<std::int64_t>> commit(std::shared_ptr<Core> core, Core::LaneName name, TopicBlock block,
                                           std::vector<std::shared_ptr<PublishPart>> parts);
  static Task<Status> learn_head(std::shared_ptr<Core> core, Core::LaneName name);
  static Status take_head(PublishLane& lane, const store::RangeResponse& found);
  static Result<bool> refused(Core& core, const std::string& topic, PublishLane& lane,
                              const store::TxnResponse& answer, const std::string& id,
                              const std::vector<std::shared_ptr<PublishPart>>& parts);
  static Task<void> trim(std::shared_ptr<Core> core, Core::LaneName name);
};

// ---- reading (read.cc)

// From `offset` on and before `end`: at most `max` messages and about claim_bytes_max.
struct MessagesRead {
  std::vector<DeliveredMessage> messages;
  std::int64_t next = 0;  // the offset after the last one that was looked at
  // What stands before `next` cannot be read, and there is no message before it.
  struct Damage {
    std::int64_t offset = 0;
    std::string stored;  // as far as a message holds it
  };
  std::optional<Damage> damage;
};
Task<Result<MessagesRead>> read_messages(Context context, std::string topic, std::int64_t partition,
                                         std::int64_t offset, std::int64_t end, std::size_t max,
                                         store::CallOptions options);
struct BlockAt {
  std::int64_t offset = 0;  // of its first message
  TopicBlock block;
};
// The block that holds `offset`; nothing if there is none that can be read.
Task<Result<std::optional<BlockAt>>> block_at(Context context, std::string topic, std::int64_t partition,
                                              std::int64_t offset, store::CallOptions options);
// Of the first message published at `at_ms` or later, as far as the publishers' clocks agree; at most
// head.next.
Task<Result<std::int64_t>> offset_at_time(Context context, std::string topic, std::int64_t partition,
                                          TopicHead head, std::int64_t at_ms, store::CallOptions options);

// ---- claims (claim.cc, settle.cc)

class Topics::Claiming {
 public:
  static Task<Result<MessageClaim>> claim(std::shared_ptr<Core> core, std::string topic, std::string group,
                                          MessageClaimRequest request, store::CallOptions options);
  static Task<Status> settle(std::shared_ptr<Core> core, std::string topic, std::string group,
                             ClaimToken token, MessageSettlement settlement, store::CallOptions options);
  static Task<Status> seek(std::shared_ptr<Core> core, std::string topic, std::string group, Seek to,
                           store::CallOptions options);

 private:
  // A partition that the group may work on now.
  struct Candidate {
    std::int64_t partition = 0;
    TopicHead head;
    GroupCursor cursor;
    Revision cursor_revision;
    Revision config_revision;
  };
  struct Look {
    std::vector<Candidate> candidates;
    Status damaged;  // of what is left out
    Revision at;
  };
  struct Who {
    std::string topic;
    std::string group;
    MessageClaimRequest request;
    store::CallOptions options;
  };
  static Task<Result<Look>> look(std::shared_ptr<Core> core, const Who& who);
  // Nothing: somebody else was faster.
  static Task<Result<std::optional<MessageClaim>>> take(std::shared_ptr<Core> core, const Who& who,
                                                        Candidate candidate);
  static Task<Result<std::optional<MessageClaim>>> deliver(std::shared_ptr<Core> core, const Who& who,
                                                           Candidate candidate, MessageClaim claim);
  static Task<Status> bury(std::shared_ptr<Core> core, const Who& who, Candidate candidate);
  static Task<Status> wait_for_change(std::shared_ptr<Core> core, const Who& who, Revision after);
};
// What a transaction that steps over messages that cannot be read does: a letter that says so, and the cursor
// behind them; the cursor alone where there is nothing.
std::vector<store::RequestOperation> step_over(const TopicKeys& keys, const std::string& group,
                                               std::int64_t partition, MessagesRead read);
// What a transaction that buries a message does: the letter, and the cursor behind it.
std::vector<store::RequestOperation> burial(const TopicKeys& keys, const std::string& group,
                                            const DeadMessage& dead);

// A call without a request id: recipes make several of one.
store::CallOptions plain(const store::CallOptions& options);
// All keys that begin so.
store::RangeRequest under(std::string prefix);

}  // namespace lockstep::service
