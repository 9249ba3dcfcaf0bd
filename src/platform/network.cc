#include "platform/network.h"

#include <list>
#include <map>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "platform/link.h"
#include "platform/tcp_streams.h"

namespace lockstep::platform {
namespace {

// Connections that did not say hello yet. A full house makes the oldest leave, so that a flood of silent ones
// cannot keep a member out for longer than its hello takes to arrive.
constexpr std::size_t unknown_connections_max = 64;

// Without port and brackets.
std::string host_of(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return host;
}

}  // namespace

class TcpNetwork::Core final : public LinkOwner, public std::enable_shared_from_this<Core> {
 public:
  Core(AsioExecutor& executor, RealRandom& random, const NetworkOptions& options,
       std::shared_ptr<env::Streams> streams)
      : context_{executor, std::move(streams), options, Prng(random.next()), EventLog(options.log), {}} {
    LS_MUST(options.self != NodeId());
    LS_MUST(context_.streams != nullptr);
  }

  Result<std::uint16_t> listen(const std::string& address) {
    LS_MUST(listener_ == nullptr);
    LS_ASSIGN_OR_RETURN(listener_,
                        context_.streams->listen(address, [this](std::unique_ptr<env::Stream> stream) {
                          on_accepted(std::move(stream));
                        }));
    return listener_->port();
  }

  void close() {
    listener_.reset();
    receiver_ = nullptr;
    for (auto& [id, peer] : peers_) close_peer(peer);
    for (const auto& link : unknown_) link->close();
    unknown_.clear();
  }

  void set_peer(NodeId id, const std::string& address) {
    LS_MUST(id != NodeId());
    LS_MUST(id != context_.options.self, "a member is not its own peer");
    Peer& peer = peers_[id];
    if (peer.outgoing != nullptr) {
      if (peer.address == address) return;
      peer.outgoing->close();
    }
    peer.address = address;
    peer.lost_reported = false;
    peer.outgoing = std::make_shared<OutgoingLink>(context_, *this, id, address);
    peer.outgoing->start();
  }

  void remove_peer(NodeId id) {
    const auto found = peers_.find(id);
    if (found == peers_.end()) return;
    close_peer(found->second);
    peers_.erase(found);
  }

  void send(NodeId to, Pieces pieces) {
    const auto found = peers_.find(to);
    if (found == peers_.end()) {
      ++context_.metrics.dropped_unknown_peer;
      return;
    }
    found->second.outgoing->send(std::move(pieces));
  }

  void flush() {
    for (const auto& link : std::exchange(unflushed_, {})) link->flush();
  }

  void on_dialled(NodeId id) override { peer_of(id).lost_reported = false; }
  void on_dialled_lost(NodeId id) override { report_lost(id); }

  void on_unflushed(OutgoingLink& link) override {
    unflushed_.push_back(link.shared_from_this());
    if (std::exchange(flush_at_turn_end_, true)) return;
    context_.executor.at_turn_end([weak = weak_from_this()] {
      const auto core = weak.lock();
      if (core == nullptr) return;
      core->flush_at_turn_end_ = false;
      core->flush();
    });
  }

  BadInput admit(IncomingLink& link, const Hello& hello) override {
    const auto found = peers_.find(hello.from);
    if (found == peers_.end()) return BadInput::unknown_peer;
    Peer& peer = found->second;
    // Not by the address it comes from: that is a claim of the network's, not a proof of its own.
    if (!link.peer_is(host_of(peer.address))) return BadInput::wrong_certificate;
    if (peer.incoming != nullptr) peer.incoming->close();  // the peer dialled anew: this one is stale
    peer.incoming = link.shared_from_this();
    peer.incarnation = hello.incarnation;
    peer.lost_reported = false;
    std::erase(unknown_, peer.incoming);
    peer.outgoing->hurry();
    return BadInput::none;
  }

  void on_message(NodeId from, SharedBytes message) override {
    Peer& peer = peer_of(from);
    peer.heard_since_loss = peer.lost_reported;
    if (receiver_ != nullptr) receiver_->on_message(from, std::move(message));
  }

  void on_accepted_lost(IncomingLink& link) override {
    const auto self = link.shared_from_this();
    if (link.peer() == NodeId()) {
      std::erase(unknown_, self);
      return;
    }
    Peer& peer = peer_of(link.peer());
    LS_MUST(peer.incoming == self);
    peer.incoming.reset();
    peer.incarnation = {};
    // A dead peer's last words are read after the other connection has told of its end, and are believed:
    // only now is it silent.
    if (std::exchange(peer.heard_since_loss, false)) peer.lost_reported = false;
    report_lost(link.peer());
  }

  [[nodiscard]] bool connected(NodeId id) const {
    const auto found = peers_.find(id);
    return found != peers_.end() && found->second.incoming != nullptr &&
           found->second.outgoing->established();
  }
  [[nodiscard]] IncarnationId incarnation_of(NodeId id) const {
    const auto found = peers_.find(id);
    return found == peers_.end() ? IncarnationId() : found->second.incarnation;
  }
  [[nodiscard]] std::size_t queued_bytes(NodeId id) const {
    const auto found = peers_.find(id);
    return found == peers_.end() ? 0 : found->second.outgoing->queued_bytes();
  }
  [[nodiscard]] std::size_t unknown_connections() const { return unknown_.size(); }
  [[nodiscard]] const NetworkMetrics& metrics() const { return context_.metrics; }
  void set_receiver(env::Receiver* receiver) { receiver_ = receiver; }

 private:
  struct Peer {
    std::string address;
    std::shared_ptr<OutgoingLink> outgoing;
    std::shared_ptr<IncomingLink> incoming;
    IncarnationId incarnation;
    bool lost_reported = false;  // since the last connection in either direction
    bool heard_since_loss = false;
  };

  static void close_peer(Peer& peer) {
    peer.outgoing->close();
    if (peer.incoming != nullptr) peer.incoming->close();
  }

  Peer& peer_of(NodeId id) {
    const auto found = peers_.find(id);
    LS_MUST(found != peers_.end(), "links of removed peers are closed and silent");
    return found->second;
  }

  void on_accepted(std::unique_ptr<env::Stream> stream) {
    ++context_.metrics.connections_accepted;
    if (unknown_.size() >= unknown_connections_max) {
      const auto oldest = unknown_.front();
      oldest->refuse(BadInput::flood);
    }
    LS_MUST(unknown_.size() < unknown_connections_max);
    unknown_.push_back(std::make_shared<IncomingLink>(context_, *this, std::move(stream)));
    unknown_.back()->start();
  }

  void report_lost(NodeId id) {
    if (std::exchange(peer_of(id).lost_reported, true)) return;
    if (receiver_ != nullptr) receiver_->on_peer_lost(id);
  }

  LinkContext context_;
  env::Receiver* receiver_ = nullptr;
  std::unique_ptr<env::Listener> listener_;
  std::map<NodeId, Peer> peers_;
  std::list<std::shared_ptr<IncomingLink>> unknown_;  // the oldest first
  std::vector<std::shared_ptr<OutgoingLink>> unflushed_;
  bool flush_at_turn_end_ = false;
};

TcpNetwork::TcpNetwork(AsioExecutor& executor, RealRandom& random, const NetworkOptions& options)
    : TcpNetwork(executor, random, options, std::make_shared<TcpStreams>(executor, TcpOptions::for_peers())) {
}

TcpNetwork::TcpNetwork(AsioExecutor& executor, RealRandom& random, const NetworkOptions& options,
                       std::shared_ptr<env::Streams> streams)
    : core_(std::make_shared<Core>(executor, random, options, std::move(streams))) {}

TcpNetwork::~TcpNetwork() {
  core_->close();
}

Result<std::uint16_t> TcpNetwork::listen(const std::string& address) {
  return core_->listen(address);
}

void TcpNetwork::set_receiver(env::Receiver* receiver) {
  core_->set_receiver(receiver);
}

void TcpNetwork::set_peer(NodeId peer, const std::string& address) {
  core_->set_peer(peer, address);
}

void TcpNetwork::remove_peer(NodeId peer) {
  core_->remove_peer(peer);
}

void TcpNetwork::send(NodeId to, Pieces pieces) {
  core_->send(to, std::move(pieces));
}

bool TcpNetwork::connected(NodeId peer) const {
  return core_->connected(peer);
}

IncarnationId TcpNetwork::incarnation_of(NodeId peer) const {
  return core_->incarnation_of(peer);
}

std::size_t TcpNetwork::queued_bytes(NodeId peer) const {
  return core_->queued_bytes(peer);
}

std::size_t TcpNetwork::unknown_connections() const {
  return core_->unknown_connections();
}

const NetworkMetrics& TcpNetwork::metrics() const {
  return core_->metrics();
}

}  // namespace lockstep::platform
