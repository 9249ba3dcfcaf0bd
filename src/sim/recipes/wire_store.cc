#include "sim/recipes/wire_store.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <stop_token>
#include <utility>

#include "base/assert.h"
#include "sim/recipes/wire_subscription.h"

namespace lockstep::sim {

namespace {
constexpr std::size_t message_bytes = 150;
constexpr std::uint64_t share_of_resets_noticed = 70;  // percent
}  // namespace

void Wires::on_death(Node& node) {
  for (WireStore* store : stores_) store->on_death(node.id());
}

// One call under way, whatever its type.
class WireStore::Call {
 public:
  NodeId member;
  bool mutation = false;
  env::TimerId timer;
  std::move_only_function<void(Status)> fail;
  std::optional<std::stop_callback<std::function<void()>>> stop;

  [[nodiscard]] Status broken(const char* why) const {
    return {mutation ? Code::unknown_outcome : Code::unavailable, why};
  }
};

WireStore::WireStore(Wires& wires, Node& machine, std::size_t client, Prng prng)
    : wires_(wires),
      machine_(machine),
      client_(client),
      prng_(prng),
      self_(std::make_shared<WireStore*>(this)) {
  wires_.stores_.push_back(this);
}

WireStore::~WireStore() {
  *self_ = nullptr;
  std::erase(wires_.stores_, this);
}

store::Capabilities WireStore::capabilities() const {
  store::Capabilities result;
  result.lease_ttl_min = std::chrono::milliseconds(100);
  result.lease_renewals_survive_failover = true;
  return result;
}

NodeId WireStore::pick_member() {
  if (favourite_ != NodeId{} && prng_.chance(3, 4)) return favourite_;
  const std::vector<NodeId> members = wires_.cluster().members();
  return members[prng_.below(members.size())];
}

void WireStore::on_death(NodeId member) {
  for (const auto& entry : calls_) {
    const std::uint64_t id = entry.first;
    if (entry.second->member != member || !prng_.chance(share_of_resets_noticed, 100)) continue;
    const auto delay = static_cast<std::int64_t>(prng_.between(100'000, 5'000'000));
    wires_.world().schedule_for(machine_.id(), delay, EventKind::strand, [this, id] {
      const auto found = calls_.find(id);
      if (found != calls_.end()) found->second->fail(found->second->broken("connection reset"));
    });
  }
}

template <class Request, class Response>
void WireStore::call(void (store::Store::*method)(Request, store::CallOptions, store::Callback<Response>),
                     Request request, bool mutation, const store::CallOptions& options,
                     store::Callback<Response> done) {
  if (!machine_.running()) return;  // the dead say nothing and hear nothing
  const std::uint64_t id = ++calls_made_;
  auto call = std::make_shared<Call>();
  calls_.emplace(id, call);
  call->member = pick_member();
  call->mutation = mutation;
  // Ends the call, once.
  auto finish = std::make_shared<std::move_only_function<void(Result<Response>)>>(
      [this, id, done = std::move(done)](Result<Response> result) mutable {
        const auto found = calls_.find(id);
        LS_MUST(found != calls_.end());
        const std::shared_ptr<Call> ended = found->second;
        calls_.erase(found);
        environment().executor.cancel(ended->timer);
        ended->stop.reset();
        favourite_ = result.ok() ? ended->member : NodeId{};
        done(std::move(result));
      });
  const auto finish_once = [finish](Result<Response> result) {
    if (*finish) std::exchange(*finish, nullptr)(std::move(result));
  };
  call->fail = [finish_once](Status why) { finish_once(Result<Response>(std::move(why))); };

  const TimePoint patience = environment().clock.now() + wires_.cluster().options.client_timeout;
  const TimePoint deadline = std::min(options.deadline, patience);
  call->timer = environment().executor.schedule(deadline, [call] {
    call->fail(Status(call->mutation ? Code::unknown_outcome : Code::deadline_exceeded, "no answer in time"));
  });
  call->stop.emplace(options.cancellation, [this, call, self = self_] {
    environment().executor.post([call, self] {
      if (*self != nullptr && call->fail)
        call->fail(Status(call->mutation ? Code::unknown_outcome : Code::cancelled, "cancelled"));
    });
  });

  // Answers find the store only while its process lives: they run on the machine's strand.
  const auto answer = [wires = &wires_, machine = &machine_, life = machine_.lives(), from = call->member,
                       to = endpoint(), finish_once](Result<Response> result) {
    wires->world().carry(World::member_endpoint(from), to, message_bytes,
                         [machine, life, finish_once, result = std::move(result)]() mutable {
                           if (!machine->running() || machine->lives() != life) return;
                           machine->run_on_strand([finish_once, result = std::move(result)]() mutable {
                             finish_once(std::move(result));
                           });
                         });
  };
  wires_.world().carry(
      endpoint(), World::member_endpoint(call->member), message_bytes,
      [wires = &wires_, to = call->member, method, answer, timeout = wires_.cluster().options.client_timeout,
       request = std::move(request)]() mutable {
        Node& node = wires->world().node(to);
        if (!node.running()) return answer(Status(Code::unavailable, "connection refused"));
        node.run_on_strand([wires, to, method, answer, timeout, request = std::move(request)]() mutable {
          replica::Replica* replica = wires->cluster().replica(to);
          if (replica == nullptr) return;
          store::CallOptions there;
          there.deadline = wires->world().node(to).environment().clock.now() + timeout;
          (replica->*method)(std::move(request), std::move(there),
                             [wires, to, answer](Result<Response> result) mutable {
                               if (wires->world().node(to).running()) answer(std::move(result));
                             });
        });
      });
}

void WireStore::range(store::RangeRequest request, store::CallOptions options,
                      store::Callback<store::RangeResponse> done) {
  call(&store::Store::range, std::move(request), false, options, std::move(done));
}

void WireStore::put(store::PutRequest request, store::CallOptions options,
                    store::Callback<store::PutResponse> done) {
  call(&store::Store::put, std::move(request), true, options, std::move(done));
}

void WireStore::delete_range(store::DeleteRangeRequest request, store::CallOptions options,
                             store::Callback<store::DeleteRangeResponse> done) {
  call(&store::Store::delete_range, std::move(request), true, options, std::move(done));
}

void WireStore::txn(store::TxnRequest request, store::CallOptions options,
                    store::Callback<store::TxnResponse> done) {
  call(&store::Store::txn, std::move(request), true, options, std::move(done));
}

void WireStore::compact(store::CompactRequest request, store::CallOptions options,
                        store::Callback<store::CompactResponse> done) {
  call(&store::Store::compact, request, true, options, std::move(done));
}

void WireStore::lease_grant(store::LeaseGrantRequest request, store::CallOptions options,
                            store::Callback<store::LeaseGrantResponse> done) {
  call(&store::Store::lease_grant, request, true, options, std::move(done));
}

void WireStore::lease_revoke(store::LeaseRevokeRequest request, store::CallOptions options,
                             store::Callback<store::LeaseRevokeResponse> done) {
  call(&store::Store::lease_revoke, request, true, options, std::move(done));
}

void WireStore::lease_keep_alive(store::LeaseKeepAliveRequest request, store::CallOptions options,
                                 store::Callback<store::LeaseKeepAliveResponse> done) {
  call(&store::Store::lease_keep_alive, request, true, options, std::move(done));
}

void WireStore::lease_time_to_live(store::LeaseTimeToLiveRequest request, store::CallOptions options,
                                   store::Callback<store::LeaseTimeToLiveResponse> done) {
  call(&store::Store::lease_time_to_live, request, false, options, std::move(done));
}

void WireStore::lease_leases(store::CallOptions /*options*/,
                             store::Callback<store::LeaseLeasesResponse> done) {
  done(Status(Code::unimplemented, "no recipe asks for every lease"));
}

void WireStore::alarm(store::AlarmRequest /*request*/, store::CallOptions /*options*/,
                      store::Callback<store::AlarmResponse> done) {
  done(Status(Code::unimplemented, "no recipe raises alarms"));
}

void WireStore::register_client(store::CallOptions /*options*/,
                                store::Callback<store::RegisterClientResponse> done) {
  done(Status(Code::unimplemented, "these wires know no request ids"));
}

Result<std::unique_ptr<store::Subscription>> WireStore::watch(store::WatchRequest request,
                                                              store::CallOptions /*options*/) {
  return std::unique_ptr<store::Subscription>(std::make_unique<WireSubscription>(*this, std::move(request)));
}

}  // namespace lockstep::sim
