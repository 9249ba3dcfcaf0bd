// Topics: messages that stay, in partitions by their key, read by any number of groups of consumers.
//
//   1. A message whose publishing was answered stays until the topic's retention lets it go, and every group
//   is
//      delivered it at least once (I1). Publishing with an unknown outcome may have been done; done again,
//      the messages are there twice: consumers know them by their headers (CloudEvents' source and id).
//   2. Messages of one partition have one order; those of one key are in one partition. A group works on each
//      partition with one claim at a time, in that order: a later message of a key is not delivered before
//      the earlier ones were acknowledged, or are dead letters.
//   3. A claim ends with settle(), or when its visibility time is over (counted by the store: never early,
//   also when
//      the server that handed it out is gone). Then what was not acknowledged is delivered again, to anybody,
//      with a larger token; settling the old claim is refused (errors::claim_lost()). held() fences what a
//      consumer writes.
//   4. A message that was delivered attempts_max times without an acknowledgement is moved to the group's
//   dead letters,
//      with the reason, by the same transaction that lets the partition go on. redrive() publishes it again,
//      for that group only.
//   5. A message that comes again comes alone, so that the one that does harm is found.
//
// Cost: publishing, one transaction for everything of a partition that this process publishes meanwhile (up
// to 256 messages or 512 KiB). A claim: two reads, a lease, a transaction. settle(): a transaction. Waiting
// costs nothing.
//
// Retention is done by whoever publishes: what is older than the topic's retention goes when more comes.
//
// Permissions: reading and writing "lockstep/topics/TOPIC/". Ownership: destroying it is safe at any time;
// calls that wait end with errors::topics_closed(). Strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/context.h"
#include "service/topic/values.h"
#include "store/store.h"

namespace lockstep::service {

inline constexpr std::size_t messages_per_publish_max = 1024;
inline constexpr std::size_t messages_per_claim_max = 256;
inline constexpr std::size_t claim_bytes_max = 1024 * 1024;
inline constexpr std::size_t publishes_waiting_max = 16'384;  // messages, in this process
inline constexpr std::size_t topic_claims_waiting_max = 16'384;
inline constexpr Duration claim_visibility_max = std::chrono::hours(24);
inline constexpr std::int64_t message_attempts_max = 1000;

struct MessagePosition {
  std::int64_t partition = 0;
  std::int64_t offset = 0;
  friend bool operator==(const MessagePosition&, const MessagePosition&) = default;
};

struct DeliveredMessage {
  std::int64_t offset = 0;
  std::int64_t at_ms = 0;  // when it was published, by the publisher's wall clock
  TopicMessage message;
};

struct MessageClaimRequest {
  std::size_t max = 1;  // messages
  Duration visibility = 30s;
  Duration wait{};  // for a message, if there is none
  std::int64_t attempts_max = 16;
};

struct MessageClaim {
  ClaimToken token;  // of no use if there are no messages
  std::vector<DeliveredMessage> messages;
};

struct MessageSettlement {
  std::optional<std::int64_t> acknowledged_through;  // an offset of the claim; those after it come again
  Duration delay{};                                  // until they do
  std::string reason;                                // why they are given back, for people
  bool reject = false;                               // the first of them is a dead letter at once
};

struct TopicState {
  std::string name;
  TopicConfig config;
  std::vector<TopicHead> heads;  // by partition
  struct Group {
    std::string name;
    std::vector<GroupCursor> cursors;  // by partition
    std::int64_t behind = 0;           // messages not acknowledged
  };
  std::vector<Group> groups;
};

namespace errors {
Status topic_not_found();          // not_found
Status topic_exists();             // already_exists: with another configuration
Status no_such_partition();        // invalid_argument
Status too_many_messages();        // invalid_argument: in one call
Status too_much_waiting();         // resource_exhausted
Status message_claim_wrong();      // invalid_argument: max, visibility, wait or attempts_max out of bounds
Status settlement_wrong();         // invalid_argument: an offset that is none of the claim's
Status claim_lost();               // failed_precondition
Status dead_letter_not_found();    // not_found
Status partition_full();           // out_of_range
Status publish_too_contended();    // unavailable
Status publish_outcome_unknown();  // unknown_outcome
Status topic_outcome_unknown();    // unknown_outcome
Status topics_closed();            // cancelled
}  // namespace errors

// What a broker of messages must be able to do: other brokers may stand behind the same face.
class MessageBroker {
 public:
  virtual ~MessageBroker() = default;
  // All of them, or an error: unknown_outcome if some may be there. The positions are in the order of the
  // messages.
  [[nodiscard]] virtual Task<Result<std::vector<MessagePosition>>> publish(std::string topic,
                                                                           std::vector<TopicMessage> messages,
                                                                           store::CallOptions options) = 0;
  // Messages of one partition; none if there was none by the end of `wait`.
  [[nodiscard]] virtual Task<Result<MessageClaim>> claim(std::string topic, std::string group,
                                                         MessageClaimRequest request,
                                                         store::CallOptions options) = 0;
  [[nodiscard]] virtual Task<Status> settle(std::string topic, std::string group, ClaimToken token,
                                            MessageSettlement settlement, store::CallOptions options) = 0;
  // The claim's visibility begins anew; what it is then.
  [[nodiscard]] virtual Task<Result<Duration>> extend(std::string topic, std::string group, ClaimToken token,
                                                      store::CallOptions options) = 0;
};

class Topics final : public MessageBroker {
 public:
  explicit Topics(const Context& context);
  ~Topics() override;
  Topics(const Topics&) = delete;
  Topics& operator=(const Topics&) = delete;

  // Done again with the same configuration, it is ok.
  [[nodiscard]] Task<Status> create(std::string topic, TopicConfig config, store::CallOptions options);
  // With everything in it.
  [[nodiscard]] Task<Status> remove(std::string topic, store::CallOptions options);
  [[nodiscard]] Task<Result<TopicState>> show(std::string topic, store::CallOptions options);
  // Names above `after`, in order, at most `limit` (up to 1000).
  [[nodiscard]] Task<Result<std::vector<std::string>>> list(std::string after, std::size_t limit,
                                                            store::CallOptions options);

  [[nodiscard]] Task<Result<std::vector<MessagePosition>>> publish(std::string topic,
                                                                   std::vector<TopicMessage> messages,
                                                                   store::CallOptions options) override;
  [[nodiscard]] Task<Result<MessageClaim>> claim(std::string topic, std::string group,
                                                 MessageClaimRequest request,
                                                 store::CallOptions options) override;
  [[nodiscard]] Task<Status> settle(std::string topic, std::string group, ClaimToken token,
                                    MessageSettlement settlement, store::CallOptions options) override;
  [[nodiscard]] Task<Result<Duration>> extend(std::string topic, std::string group, ClaimToken token,
                                              store::CallOptions options) override;
  // Holds as long as the claim does: for a transaction of the consumer's.
  [[nodiscard]] static store::Compare held(const std::string& topic, const std::string& group,
                                           const ClaimToken& token);

  // Without a group: from an offset on, or from the first one kept.
  [[nodiscard]] Task<Result<std::vector<DeliveredMessage>>> read(std::string topic, std::int64_t partition,
                                                                 std::int64_t from, std::size_t max,
                                                                 store::CallOptions options);
  // Where a group goes on, in every partition; claims that are under way are lost.
  struct Seek {
    enum class To : std::uint8_t { first, end, time };
    To to = To::first;
    std::int64_t at_ms = 0;  // time: the first message published then or later
  };
  [[nodiscard]] Task<Status> seek(std::string topic, std::string group, Seek to, store::CallOptions options);

  // The oldest `limit` (up to 1000).
  [[nodiscard]] Task<Result<std::vector<DeadMessage>>> dead(std::string topic, std::string group,
                                                            std::size_t limit, store::CallOptions options);
  // Publishes it again, for its group only, and takes it off the dead letters, in one transaction.
  [[nodiscard]] Task<Status> redrive(std::string topic, std::string group, MessagePosition which,
                                     store::CallOptions options);
  [[nodiscard]] Task<Status> drop_dead(std::string topic, std::string group, MessagePosition which,
                                       store::CallOptions options);

 private:
  class Core;
  class Publishing;
  class Claiming;
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::service
