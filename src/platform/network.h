// The Network port over TCP: framed, versioned, checksummed messages between the members of one cluster.
//
// Each member dials every peer and sends on the connection it dialled; what it receives comes on the
// connections it accepted (docs/decisions/0012-peer-connections.md). A connection opens with hello and
// welcome, which settle cluster, sender, addressee and protocol version; any bad input closes the connection
// it came on, is counted and logged, and has no other effect.
//
// Invariants: 1. messages of one peer arrive in the order it sent them, or not at all; 2. memory is bounded
// (I11): per peer by its send queue and one frame being read, per unknown connection by a buffer for one
// hello, unknown connections by number; 3. send() never blocks and never fails: what has no place is dropped
// and counted; 4. messages of one loop turn share their system calls. Threads: strand only (or before the
// executor runs). The executor outlives the network.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "env/network.h"
#include "env/stream.h"
#include "platform/executor.h"
#include "platform/frame.h"

namespace lockstep::platform {

struct NetworkMetrics {
  std::uint64_t messages_sent = 0;  // handed to the operating system completely
  std::uint64_t messages_received = 0;
  std::uint64_t bytes_sent = 0;  // frames with headers
  std::uint64_t bytes_received = 0;
  std::uint64_t writes = 0;  // system calls, about
  std::uint64_t reads = 0;
  std::uint64_t dropped_queue_full = 0;
  std::uint64_t dropped_not_connected = 0;  // also: queued when the connection was lost
  std::uint64_t dropped_unknown_peer = 0;
  std::uint64_t connections_made = 0;
  std::uint64_t connections_lost = 0;
  std::uint64_t connects_failed = 0;
  std::uint64_t connections_accepted = 0;
  std::uint64_t peers_admitted = 0;  // accepted connections whose hello was good
  std::array<std::uint64_t, bad_input_count> bad_input{};

  [[nodiscard]] std::uint64_t bad(BadInput reason) const {
    return bad_input[static_cast<std::size_t>(reason)];
  }
};

struct NetworkOptions {
  ClusterId cluster;
  NodeId self;
  IncarnationId incarnation;  // zero: not stated
  // Receives at most one line a second for each kind of event. Empty: standard error.
  std::function<void(std::string_view line)> log;
  // A peer says hello at once; whoever does not is not one.
  Duration hello_deadline = 2s;
  // A frame that makes no end within one to two of these is being dribbled at us.
  Duration stall_interval = 15s;
};

class TcpNetwork final : public env::Network {
 public:
  // Over plain TCP.
  TcpNetwork(AsioExecutor& executor, RealRandom& random, const NetworkOptions& options);
  // Over streams of another kind, TLS above all.
  TcpNetwork(AsioExecutor& executor, RealRandom& random, const NetworkOptions& options,
             std::shared_ptr<env::Streams> streams);
  ~TcpNetwork() override;

  // Accepts peers at "host:port"; port 0 takes a free one. Returns the port.
  Result<std::uint16_t> listen(const std::string& address);

  void set_receiver(env::Receiver* receiver) override;
  void set_peer(NodeId peer, const std::string& address) override;
  void remove_peer(NodeId peer) override;
  void send(NodeId to, Pieces pieces) override;

  // Both directions are established.
  [[nodiscard]] bool connected(NodeId peer) const;
  // What the peer said in its last hello; zero if it is not connected or stated none.
  [[nodiscard]] IncarnationId incarnation_of(NodeId peer) const;
  // Bytes waiting in the peer's send queue.
  [[nodiscard]] std::size_t queued_bytes(NodeId peer) const;
  // Connections that did not introduce themselves yet.
  [[nodiscard]] std::size_t unknown_connections() const;
  [[nodiscard]] const NetworkMetrics& metrics() const;

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::platform
