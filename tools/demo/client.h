// A client of the three members: numbered writes under RequestIds, repeated at whoever leads until they are
// answered. It speaks the members' forwarding messages; the gateways' protocols come later.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "env/network.h"
#include "platform/platform.h"
#include "processes.h"
#include "replica/peer_message.h"
#include "store/command.h"

namespace lockstep::demo {

// One command, sent again under the same RequestId until some member answers it.
class Client final : private env::Receiver {
 public:
  using Done = std::move_only_function<void(store::CommandResult)>;
  // Puts the command into a batch.
  using Add = std::move_only_function<void(store::BatchBuilder&)>;

  Client(platform::Platform& platform, const std::vector<replica::Member>& members);
  ~Client() override;

  // Calls `done` on the strand with the answer of whoever led. `urgent_after`: sent elsewhere when not
  // answered.
  void call(Add add, Done done);
  [[nodiscard]] NodeId leader() const { return leader_; }
  [[nodiscard]] std::uint64_t repeated() const { return repeated_; }

 private:
  struct Call {
    Add add;
    Done done;
    TimePoint sent_at;
    std::uint64_t attempts = 0;
  };
  void on_message(NodeId from, SharedBytes message) override;
  void on_peer_lost(NodeId peer) override;
  void send(replica::ForwardId id, Call call);
  void repeat(replica::ForwardId id);
  void look_for_late();
  void try_another();

  platform::Platform& platform_;
  std::vector<NodeId> members_;
  NodeId leader_;
  replica::ForwardId last_id_;
  std::map<replica::ForwardId, Call> calls_;
  std::vector<Call> waiting_;  // refused: sent again by look_for_late()
  std::uint64_t repeated_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace lockstep::demo
