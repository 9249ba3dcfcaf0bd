// Questions from member to member that are not raft's and not the store's: whoever owns the replica asks the
// leader to change the membership, wherever its client connected.
//
// A call may be lost, and may arrive twice: what handlers do must bear that. One answer comes, or an error:
// unavailable (it was not sent, or refused unheard), unknown_outcome (no answer by the deadline, or the peer
// was lost). Bounded (I11): calls waiting by number, requests and answers by bytes.
//
// Strand only. Destroying it drops pending callbacks without calling them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"
#include "base/strong_integer.h"
#include "base/time.h"
#include "env/network.h"
#include "replica/peer_message.h"

namespace lockstep::replica {

using PeerCallId = StrongInteger<struct PeerCallIdTag, std::uint64_t>;

class PeerCalls {
 public:
  using Answer = std::move_only_function<void(Result<std::string>)>;
  // Calls `answer` once, perhaps later.
  using Handler = std::function<void(NodeId from, std::string_view request, Answer answer)>;

  // Kinds of peer_message.h's first byte.
  static constexpr std::uint8_t call_kind = 8;
  static constexpr std::uint8_t answer_kind = 9;

  static constexpr std::size_t bytes_max = 64 * limits::kibibyte;
  static constexpr std::size_t waiting_max = 1024;

  // `random` draws the first id, so that an answer to an earlier life of this member answers nothing.
  PeerCalls(env::Network& network, std::uint64_t random)
      : network_(network), last_id_(first_forward_id(random).value()) {}
  ~PeerCalls() { *alive_ = false; }
  PeerCalls(const PeerCalls&) = delete;
  PeerCalls& operator=(const PeerCalls&) = delete;

  // Without one every call is refused.
  void set_handler(Handler handler) { handler_ = std::move(handler); }

  void call(NodeId to, std::string_view request, TimePoint deadline, Answer done);

  // False: malformed.
  [[nodiscard]] bool on_call(NodeId from, const SharedBytes& message);
  [[nodiscard]] bool on_answer(NodeId from, const SharedBytes& message);
  void peer_lost(NodeId peer);
  void expire(TimePoint present);
  [[nodiscard]] TimePoint next_deadline() const;

 private:
  struct Waiting {
    NodeId peer;
    TimePoint deadline;
    Answer done;
  };
  void send_answer(NodeId to, PeerCallId id, const Result<std::string>& answer);
  template <class Predicate>
  void fail_where(Predicate predicate, std::string_view why);

  env::Network& network_;
  PeerCallId last_id_;
  Handler handler_;
  std::map<PeerCallId, Waiting> waiting_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // false for answers that come after this
};

}  // namespace lockstep::replica
