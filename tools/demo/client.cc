#include "client.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace lockstep::demo {
namespace {

constexpr Duration look_interval = 5ms;
constexpr Duration late_after = 400ms;

}  // namespace

Client::Client(platform::Platform& platform, const std::vector<replica::Member>& members)
    : platform_(platform) {
  for (const replica::Member& member : members) {
    members_.push_back(member.id);
    platform.network().set_peer(member.id, member.address);
  }
  leader_ = members_.front();
  platform.network().set_receiver(this);
  look_for_late();
}

Client::~Client() {
  *alive_ = false;
  platform_.network().set_receiver(nullptr);
}

void Client::call(Add add, Done done) {
  ++last_id_;
  send(last_id_, Call{std::move(add), std::move(done), {}, 0});
}

void Client::send(replica::ForwardId id, Call call) {
  store::BatchBuilder builder;
  builder.start({});
  call.add(builder);
  platform_.network().send(leader_,
                           replica::encode(replica::Forward{id, Term{}, SharedBytes(builder.take())}));
  call.sent_at = platform_.executor().clock().now();
  if (call.attempts++ > 0) ++repeated_;
  calls_.emplace(id, std::move(call));
}

// An attempt's answer must not be taken for another's, so each has a fresh id.
void Client::repeat(replica::ForwardId id) {
  auto found = calls_.extract(id);
  LS_MUST(!found.empty());
  waiting_.push_back(std::move(found.mapped()));
}

void Client::on_message(NodeId, SharedBytes message) {
  Result<replica::ForwardAnswer> answer = replica::decode_forward_answer(message);
  if (!answer.ok()) return;
  const auto found = calls_.find(answer->id);
  if (found == calls_.end()) return;  // repeated meanwhile; that attempt's answer says the same
  if (!answer->refused.ok()) {
    if (answer->leader != NodeId{}) leader_ = answer->leader;
    return repeat(answer->id);
  }
  LS_MUST(answer->results.size() == 1);
  Done done = std::move(found->second.done);
  calls_.erase(found);
  done(std::move(answer->results.front()));
}

void Client::on_peer_lost(NodeId peer) {
  if (peer == leader_) try_another();
}

// Whoever is asked names the leader, if it knows one.
void Client::try_another() {
  const auto at = std::ranges::find(members_, leader_);
  leader_ = at == members_.end() || std::next(at) == members_.end() ? members_.front() : *std::next(at);
  std::vector<replica::ForwardId> ids;
  for (const auto& [id, call] : calls_) ids.push_back(id);
  for (const replica::ForwardId id : ids) repeat(id);
}

void Client::look_for_late() {
  const TimePoint now = platform_.executor().clock().now();
  const bool late = !calls_.empty() && calls_.begin()->second.sent_at + late_after < now;
  if (late) try_another();
  for (Call& call : std::exchange(waiting_, {})) {
    ++last_id_;
    send(last_id_, std::move(call));
  }
  platform_.executor().schedule(now + look_interval, [this, alive = alive_] {
    if (*alive) look_for_late();
  });
}

}  // namespace lockstep::demo
