// Topics: messages that stay, in partitions by their key, read by any number of groups of consumers.
//
//   lockstep::Topic orders = client.topic("orders");
//   orders.create().wait();
//   orders.publish(TopicMessage("order-4711", "paid").event("/shop", "4711-paid")).wait();
//   …
//   auto claim = orders.group("mail").claim(TopicClaimOptions().max(64)).wait();  // waits for a message
//   for (const TopicDelivery& each : claim->messages()) tell_the_buyer(each);
//   claim->ack().wait();
//
// Guarantee: what was answered stays, until the topic's retention lets it go, and comes to every group at
// least once; messages of one key come in their order; one consumer of a group works on a partition at a
// time. What is not acknowledged comes again, alone, and with a larger token; after attempts_max deliveries
// it is a dead letter of the group, and the others go on.
//
// What can go wrong: a message comes twice, after a crash before its acknowledgement, or published again
// after an unknown outcome. Its identity() is the same then: have the effect only where it is new, in the
// same transaction that remembers it; or, in Lockstep's own store, together with held().
//
// Cost: publishing, one transaction for all that this client publishes to a partition meanwhile; a claim, two
// reads, a lease and a transaction; settling it, a transaction. Waiting costs nothing.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/kv.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
struct ClaimedMessages;
class Runtime;
}  // namespace detail

class TopicMessage {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  // An empty key: any partition, and no order.
  TopicMessage(std::string key, std::string payload) : key_(std::move(key)), payload_(std::move(payload)) {}
  // A name of letters, digits and '-', a value of printable ASCII; up to 32.
  TopicMessage& header(std::string name, std::string value) {
    headers_.emplace_back(std::move(name), std::move(value));
    return *this;
  }
  // Says which event this is, as CloudEvents do (ce-source, ce-id): published again, it is the same one.
  TopicMessage& event(std::string source, std::string id) {
    return header("ce-source", std::move(source)).header("ce-id", std::move(id));
  }

  [[nodiscard]] const std::string& key() const { return key_; }
  [[nodiscard]] const std::string& payload() const { return payload_; }
  [[nodiscard]] const Headers& headers() const { return headers_; }
  // Empty: there is none.
  [[nodiscard]] std::string header(std::string_view name) const;

 private:
  std::string key_;
  std::string payload_;
  Headers headers_;
};

struct TopicPosition {
  std::int64_t partition = 0;
  std::int64_t offset = 0;
  friend bool operator==(const TopicPosition&, const TopicPosition&) = default;
};

// A message where it lies in its topic.
class TopicDelivery {
 public:
  TopicDelivery(TopicMessage message, TopicPosition position, std::chrono::milliseconds published_at)
      : message_(std::move(message)), position_(position), published_at_(published_at) {}
  [[nodiscard]] const std::string& key() const { return message_.key(); }
  [[nodiscard]] const std::string& payload() const { return message_.payload(); }
  [[nodiscard]] std::string header(std::string_view name) const { return message_.header(name); }
  [[nodiscard]] const TopicMessage& message() const { return message_; }
  [[nodiscard]] TopicPosition position() const { return position_; }
  // Since the Unix epoch, by the publisher's clock.
  [[nodiscard]] std::chrono::milliseconds published_at() const { return published_at_; }
  // The same whenever this message comes: "<ce-source> <ce-id>" where it says which event it is, otherwise
  // where it lies ("0/17": a dead letter that is redriven is another one then).
  [[nodiscard]] std::string identity() const;

 private:
  TopicMessage message_;
  TopicPosition position_;
  std::chrono::milliseconds published_at_;
};

struct TopicDeadLetter {
  TopicDelivery message;
  std::int64_t attempts = 0;
  std::string reason;
};

// Messages of one partition, which nobody else of the group gets meanwhile; in their order, one at least.
// Destroyed while it is not settled, it is given back, with a pause that grows with its attempts (1 s to 32
// s); after a crash it comes again when its visibility is over. Move only. Threads: any, one at a time.
class TopicClaim {
 public:
  explicit TopicClaim(std::shared_ptr<detail::ClaimedMessages> claimed);
  TopicClaim(TopicClaim&&) noexcept = default;
  TopicClaim& operator=(TopicClaim&&) noexcept = default;

  [[nodiscard]] const std::vector<TopicDelivery>& messages() const;
  // How often the first message was delivered by now; the first time is 1. The others are new.
  [[nodiscard]] std::int64_t attempt() const;
  // Grows with each claim of the partition: whoever remembers it refuses claims that are over.
  [[nodiscard]] std::int64_t token() const;

  // ---- each ends the claim. failed_precondition: its time was over, what was not acknowledged comes again

  // All of it.
  Operation<void> ack(CallOptions options = {});
  // The first so many; the others come again, after the pause. The reason is for people.
  Operation<void> give_back(std::size_t acknowledged, std::chrono::nanoseconds pause, std::string reason = {},
                            CallOptions options = {});
  // The first so many; the one after them is a dead letter, and those after it come again at once.
  Operation<void> reject(std::size_t acknowledged, std::string reason, CallOptions options = {});

  // Its visibility begins anew.
  Operation<void> extend(CallOptions options = {});
  // The transaction takes effect only while this claim is ours.
  Txn& held(Txn& txn) const;

 private:
  std::shared_ptr<detail::ClaimedMessages> claimed_;
};

class TopicClaimOptions {
 public:
  // 1 to 256. 1.
  TopicClaimOptions& max(std::size_t messages) {
    max_ = messages;
    return *this;
  }
  // 30 s; 1 s to 24 h.
  TopicClaimOptions& visibility(std::chrono::nanoseconds time) {
    visibility_ = time;
    return *this;
  }
  // Deliveries of a message before it is a dead letter. 16.
  TopicClaimOptions& attempts_max(std::int64_t attempts) {
    attempts_max_ = attempts;
    return *this;
  }
  [[nodiscard]] std::size_t max() const { return max_; }
  [[nodiscard]] std::chrono::nanoseconds visibility() const { return visibility_; }
  [[nodiscard]] std::int64_t attempts_max() const { return attempts_max_; }

 private:
  std::size_t max_ = 1;
  std::chrono::nanoseconds visibility_ = std::chrono::seconds(30);
  std::int64_t attempts_max_ = 16;
};

// Consumers who share what comes. A group begins to exist when somebody claims for it, with the first message
// that is kept.
class TopicGroup {
 public:
  TopicGroup(std::shared_ptr<detail::Runtime> runtime, std::string topic, std::string group)
      : runtime_(std::move(runtime)), topic_(std::move(topic)), group_(std::move(group)) {}

  // Waits for messages. deadline_exceeded: none came in time. not_found: there is no such topic.
  Operation<TopicClaim> claim(CallOptions options = {}) const;
  Operation<TopicClaim> claim(const TopicClaimOptions& claim, CallOptions options = {}) const;

  // ---- replay: the group goes on there; claims that are under way are lost

  Operation<void> seek_to_first(CallOptions options = {}) const;
  Operation<void> seek_to_end(CallOptions options = {}) const;
  // The first message that was published then or later.
  Operation<void> seek_to(std::chrono::system_clock::time_point moment, CallOptions options = {}) const;

  // ---- dead letters

  // The oldest; up to 1000.
  Operation<std::vector<TopicDeadLetter>> dead(std::size_t limit = 100, CallOptions options = {}) const;
  // Published again, for this group only, with all its attempts. not_found.
  Operation<void> redrive(TopicPosition which, CallOptions options = {}) const;
  Operation<void> drop(TopicPosition which, CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string topic_;
  std::string group_;
};

class TopicOptions {
 public:
  // 1 to 64; it stays as it is. 8.
  TopicOptions& partitions(std::int64_t partitions) {
    partitions_ = partitions;
    return *this;
  }
  // Messages may go when they are older. A week; zero: never.
  TopicOptions& retention(std::chrono::milliseconds time) {
    retention_ = time;
    return *this;
  }
  // Of each partition the newest so many stay. Zero: all.
  TopicOptions& retention_messages(std::int64_t messages) {
    retention_messages_ = messages;
    return *this;
  }
  [[nodiscard]] std::int64_t partitions() const { return partitions_; }
  [[nodiscard]] std::chrono::milliseconds retention() const { return retention_; }
  [[nodiscard]] std::int64_t retention_messages() const { return retention_messages_; }

 private:
  std::int64_t partitions_ = 8;
  std::chrono::milliseconds retention_ = std::chrono::hours(7 * 24);
  std::int64_t retention_messages_ = 0;
};

class Topic {
 public:
  Topic(std::shared_ptr<detail::Runtime> runtime, std::string name)
      : runtime_(std::move(runtime)), name_(std::move(name)) {}

  // Done if it is there already with the same options; already_exists: with others.
  Operation<void> create(TopicOptions topic = {}, CallOptions options = {}) const;
  // With everything in it.
  Operation<void> remove(CallOptions options = {}) const;

  // Up to 1024 messages of up to 256 KiB: all of them, or none if it is refused. Where the outcome is unknown
  // publish them again: those of one event() are one to whoever goes by identity().
  Operation<TopicPosition> publish(const TopicMessage& message, CallOptions options = {}) const;
  Operation<std::vector<TopicPosition>> publish(const std::vector<TopicMessage>& messages,
                                                CallOptions options = {}) const;

  // Without a group: of one partition, from an offset on, or from the first one kept; at most so many (256).
  Operation<std::vector<TopicDelivery>> read(TopicPosition from, std::size_t max,
                                             CallOptions options = {}) const;

  [[nodiscard]] TopicGroup group(std::string name) const {
    return TopicGroup(runtime_, name_, std::move(name));
  }

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string name_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
