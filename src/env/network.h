// The port to the other members: whole messages, best effort.
//
// A message may be lost, delayed, doubled or overtaken, but never altered or misaddressed: the implementation
// frames, checks and authenticates. Called on the strand only; the receiver is called on the strand only.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/ids.h"

namespace lockstep::env {

class Receiver {
 public:
  virtual ~Receiver() = default;
  virtual void on_message(NodeId from, SharedBytes message) = 0;
  // The connection to a peer was lost or refused: a hint that it is down, so that elections need not wait for
  // a timer. May be wrong.
  virtual void on_peer_lost(NodeId peer) = 0;
};

class Network {
 public:
  virtual ~Network() = default;
  // Must be called before anything is sent; null stops delivery.
  virtual void set_receiver(Receiver* receiver) = 0;
  // Makes a peer known, or changes its address ("host:port").
  virtual void set_peer(NodeId peer, const std::string& address) = 0;
  virtual void remove_peer(NodeId peer) = 0;
  // Sends one message made of `pieces`, at most limits::frame_bytes_max together. Never blocks; drops when
  // the peer's bounded queue is full. Unknown peers are dropped.
  virtual void send(NodeId to, Pieces pieces) = 0;
};

}  // namespace lockstep::env
