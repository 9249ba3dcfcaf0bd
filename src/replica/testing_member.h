// One real member whose peers are the test: it says what they send and sees what it sends to them.
//
// Time, closures and work beside the strand run only when the test says so, in their order; the directory and
// the engine outlive the member, so it can be started again.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/codec.h"
#include "engine/memory_engine.h"
#include "raft/wire.h"
#include "replica/addresses.h"
#include "replica/peer_message.h"
#include "replica/replica.h"
#include "sim/disk.h"
#include "sim/secrets.h"

namespace lockstep::replica {

inline SharedBytes joined(const Pieces& pieces) {
  std::string all;
  for (const SharedBytes& piece : pieces) all += piece.view();
  return SharedBytes(std::move(all));
}

class TestMember final : private env::Clock,
                         private env::Random,
                         private env::Executor,
                         private env::Worker,
                         private env::Network {
 public:
  TestMember(NodeId node, const std::vector<NodeId>& founders)
      : disk_(1, [this](std::int64_t, env::Closure closure) { closures_.push_back(std::move(closure)); }),
        medium_(std::make_shared<engine::MemoryMedium>()) {
    options.cluster = ClusterId(7);
    options.node = node;
    for (const NodeId founder : founders) options.founders.push_back({founder, "x:1"});
    options.on_fatal = [this](const Status& why) { fatal = why; };
    options.log.segment_bytes = 1 * limits::mebibyte;
    options.log.entry_bytes_max = 128 * limits::kibibyte;
  }
  ~TestMember() override { stop(); }

  void start() {
    const Status started = try_start();
    ASSERT_TRUE(started.ok()) << started.to_string();
    settle();
  }
  Status try_start() {
    engine_ = engine::open_memory_engine(medium_);
    options.engine = engine_.get();
    Result<std::unique_ptr<Replica>> opened =
        Replica::open({*this, *this, *this, disk_, *this, *this, &secrets_}, options);
    if (!opened.ok()) return opened.status();
    replica_ = *std::move(opened);
    return Status();
  }
  // While it is stopped.
  void lose_engine() { medium_ = std::make_shared<engine::MemoryMedium>(); }
  // The process ends; the machine only for a loss of power.
  void stop(sim::Loss loss = sim::Loss::process) {
    replica_.reset();
    receiver_ = nullptr;
    closures_.clear();
    work_.clear();
    timers_.clear();
    engine_.reset();
    Prng prng(crash_seed);
    disk_.crash(loss, prng);
  }
  [[nodiscard]] Replica& replica() { return *replica_; }
  [[nodiscard]] sim::SimDisk& disk() { return disk_; }
  [[nodiscard]] engine::Engine& engine() { return *engine_; }

  // Runs what is due, until nothing is left.
  void settle() {
    while (true) {
      if (!closures_.empty()) {
        env::Closure closure = std::move(closures_.front());
        closures_.pop_front();
        closure();
      } else if (!work_.empty() && !worker_stands_still) {
        auto [work, done] = std::move(work_.front());
        work_.pop_front();
        work();
        work = nullptr;
        closures_.push_back(std::move(done));
      } else if (!timers_.empty() && timers_.begin()->first.first <= now_) {
        env::Closure closure = std::move(timers_.begin()->second);
        timers_.erase(timers_.begin());
        closure();
      } else {
        return;
      }
    }
  }
  void pass(Duration time) {
    const TimePoint end = now_ + time;
    settle();
    while (!timers_.empty() && timers_.begin()->first.first <= end) {
      now_ = std::max(now_, timers_.begin()->first.first);
      settle();
    }
    now_ = end;
    settle();
  }

  // Time passes and nothing runs.
  void stand_still(Duration time) { now_ += time; }

  void receive(NodeId from, SharedBytes message) {
    if (receiver_ != nullptr) receiver_->on_message(from, std::move(message));
    settle();
  }
  void lose(NodeId peer) {
    if (receiver_ != nullptr) receiver_->on_peer_lost(peer);
    settle();
  }
  void receive(raft::Message message) {
    message.to = options.node;
    if (message.boot == raft::BootId{}) message.boot = raft::BootId(message.from.value());
    const NodeId from = message.from;
    receive(from, joined(wrap_raft(raft::encode(message))));
  }
  void heartbeat(NodeId leader, Term term) {
    raft::Message message;
    message.kind = raft::MessageKind::heartbeat;
    message.from = leader;
    message.term = term;
    message.round = raft::Round(1);
    receive(std::move(message));
  }
  // What was sent since the last call: messages of this kind to this peer.
  std::vector<SharedBytes> taken(NodeId to, PeerMessageKind kind) {
    std::vector<SharedBytes> result;
    for (auto it = sent_.begin(); it != sent_.end();) {
      const bool wanted =
          it->first == to && peer_message_kind(it->second.view()) == static_cast<std::uint8_t>(kind);
      if (wanted) result.push_back(std::move(it->second));
      it = wanted ? sent_.erase(it) : std::next(it);
    }
    return result;
  }
  std::vector<raft::Message> taken_raft(NodeId to, raft::MessageKind kind) {
    std::vector<raft::Message> result;
    for (const SharedBytes& bytes : taken(to, PeerMessageKind::raft)) {
      Result<raft::Message> message = raft::decode(bytes.slice(1, bytes.size() - 1));
      EXPECT_TRUE(message.ok());
      if (message->kind == kind) result.push_back(*std::move(message));
    }
    return result;
  }

  // As one of three founders whose others say yes to all: makes it the leader, with `voter` as its majority.
  void lead(NodeId voter, NodeId other) {
    // Born first: the registrar, once both others spoke to this life of it.
    const std::vector<SharedBytes> asked_birth = taken(voter, PeerMessageKind::birth);
    ASSERT_FALSE(asked_birth.empty());
    const IncarnationId own(Decoder(asked_birth.back().view().substr(1)).u64());
    for (const NodeId peer : {voter, other}) receive(peer, question(IncarnationId(peer.value()), own));
    replica_->campaign();
    settle();
    for (const raft::MessageKind kind : {raft::MessageKind::pre_vote, raft::MessageKind::vote}) {
      for (const raft::Message& asked : taken_raft(voter, kind)) {
        raft::Message yes;
        yes.kind = kind == raft::MessageKind::vote ? raft::MessageKind::vote_response
                                                   : raft::MessageKind::pre_vote_response;
        yes.from = voter;
        yes.term = asked.term;
        yes.round = asked.round;
        receive(std::move(yes));
      }
    }
    ASSERT_TRUE(replica_->raft().is_leader());
    acknowledge(voter);
  }
  // With an empty directory.
  void start_new() {
    disk_.wipe();
    medium_ = std::make_shared<engine::MemoryMedium>();
    start();
  }
  // As one of three founders: the registrar has heard all.
  void be_born(NodeId registrar) {
    const std::vector<SharedBytes> asked = taken(registrar, PeerMessageKind::birth);
    ASSERT_FALSE(asked.empty());
    Decoder decoder(asked.back().view().substr(1));
    const IncarnationId own(decoder.u64());
    Certificate certificate;
    for (const Member& founder : options.founders)
      certificate[founder.id] = IncarnationId(founder.id.value());
    certificate[options.node] = own;
    std::string bytes(1, static_cast<char>(PeerMessageKind::birth));
    Encoder encoder(&bytes);
    encoder.u64(registrar.value());
    encoder.u64(own.value());
    encoder.varint(certificate.size());
    for (const auto& [node, incarnation] : certificate) {
      encoder.id(node);
      encoder.u64(incarnation.value());
    }
    receive(registrar, SharedBytes(std::move(bytes)));
    ASSERT_TRUE(replica_->raft().may_vote());
  }
  static SharedBytes question(IncarnationId incarnation, IncarnationId to) {
    std::string bytes(1, static_cast<char>(PeerMessageKind::birth));
    Encoder encoder(&bytes);
    encoder.u64(incarnation.value());
    encoder.u64(to.value());
    encoder.varint(0);
    return SharedBytes(std::move(bytes));
  }
  // The peer has everything in the leader's log.
  void acknowledge(NodeId peer) {
    raft::Message message;
    message.kind = raft::MessageKind::append_response;
    message.from = peer;
    message.term = replica_->raft().term();
    message.index = replica_->raft().log().last_index();
    receive(std::move(message));
  }
  // The peer lives, and has `index`.
  void answer_heartbeat(NodeId peer, LogIndex index = {}) {
    raft::Message message;
    message.kind = raft::MessageKind::heartbeat_response;
    message.from = peer;
    message.term = replica_->raft().term();
    message.index = index;
    receive(std::move(message));
  }

  // Puts, and notes the outcome when it comes ("" until then).
  std::shared_ptr<std::string> put(const std::string& key, const std::string& value, RequestId id = {}) {
    auto outcome = std::make_shared<std::string>();
    store::PutRequest request;
    request.key = key;
    request.value = value;
    store::CallOptions call;
    call.request_id = id;
    replica_->put(std::move(request), call, [outcome](const Result<store::PutResponse>& result) {
      *outcome = result.ok() ? "done" : result.status().to_string();
    });
    settle();
    return outcome;
  }
  std::int64_t version_of(const std::string& key) {
    const auto row = replica_->machine().get(key);
    return row.has_value() ? row->version : 0;
  }

  Options options;
  Status fatal;
  std::map<NodeId, std::string> addresses;  // as the member told its network
  bool worker_stands_still = false;
  std::uint64_t crash_seed = 1;  // what a loss of power leaves

 private:
  TimePoint now() override { return now_; }
  Duration wall_now() override { return Duration{}; }
  std::uint64_t next() override { return prng_.next(); }
  void post(env::Closure closure) override { closures_.push_back(std::move(closure)); }
  void post_from_any_thread(env::Closure closure) override { post(std::move(closure)); }
  env::TimerId schedule(TimePoint deadline, env::Closure closure) override {
    timers_.emplace(std::pair(deadline, ++last_timer_), std::move(closure));
    return env::TimerId(last_timer_);
  }
  void cancel(env::TimerId timer) override {
    std::erase_if(timers_, [&](const auto& entry) { return entry.first.second == timer.value(); });
  }
  void submit(env::Closure work, env::Closure done) override {
    LS_MUST(!disk_.at_work(), "the engine never gets what the log may lose");
    work_.emplace_back(std::move(work), std::move(done));
  }
  void set_receiver(env::Receiver* receiver) override { receiver_ = receiver; }
  void set_peer(NodeId peer, const std::string& address) override { addresses[peer] = address; }
  void remove_peer(NodeId peer) override { addresses.erase(peer); }
  void send(NodeId to, Pieces pieces) override { sent_.emplace_back(to, joined(pieces)); }

  TimePoint now_{std::chrono::hours(1)};
  Prng prng_{1};
  std::deque<env::Closure> closures_;
  std::deque<std::pair<env::Closure, env::Closure>> work_;
  std::map<std::pair<TimePoint, std::uint64_t>, env::Closure> timers_;
  std::uint64_t last_timer_ = 0;
  env::Receiver* receiver_ = nullptr;
  std::vector<std::pair<NodeId, SharedBytes>> sent_;
  sim::SimSecrets secrets_;
  sim::SimDisk disk_;
  std::shared_ptr<engine::MemoryMedium> medium_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<Replica> replica_;
};

}  // namespace lockstep::replica
