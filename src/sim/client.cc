#include "sim/client.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace lockstep::sim {

namespace {

constexpr std::uint32_t attempts_max = 12;
constexpr std::int64_t retry_pause_ns = 50'000'000;
constexpr std::uint64_t share_of_resets_noticed = 70;  // percent

// Says that this attempt did nothing, and nothing about the request itself: another attempt may succeed.
bool concerns_attempt(Code code) {
  return code == Code::unavailable || code == Code::deadline_exceeded || code == Code::cancelled ||
         code == Code::resource_exhausted;
}

std::size_t rough_bytes(const AnyRequest& request) {
  const auto* put = std::get_if<store::PutRequest>(&request);
  return 100 + (put != nullptr ? put->value.size() : 0);
}

}  // namespace

Clients::Clients(Cluster& cluster, Prng prng)
    : Recorder(cluster.options, cluster.coverage), cluster_(cluster), prng_(prng) {}

std::uint64_t Clients::add_call(Call call) {
  const std::uint64_t id = ++calls_made_;
  const bool mutation = call.mutation;
  const auto timeout = static_cast<std::int64_t>(cluster_.options.client_timeout.count());
  call.timeout = world().after(timeout, [this, id, mutation] {
    Answer late;
    late.outcome = mutation ? Outcome::unknown : Outcome::failed;
    late.status = Status(Code::deadline_exceeded, "no answer in time");
    finish_call(id, std::move(late));
  });
  calls_.emplace(id, std::move(call));
  return id;
}

void Clients::finish_call(std::uint64_t id, Answer answer) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  Call call = std::move(found->second);
  calls_.erase(found);
  world().cancel(call.timeout);
  if (answer.member == NodeId{}) answer.member = call.member;
  call.done(std::move(answer));
}

void Clients::on_death(Node& node) {
  for (const auto& entry : calls_) {
    const std::uint64_t id = entry.first;
    const bool mutation = entry.second.mutation;
    if (entry.second.member != node.id() || !prng_.chance(share_of_resets_noticed, 100)) continue;
    world().after(static_cast<std::int64_t>(prng_.between(100'000, 5'000'000)), [this, id, mutation] {
      Answer broken;
      broken.outcome = mutation ? Outcome::unknown : Outcome::failed;
      broken.status = Status(Code::unavailable, "connection reset");
      finish_call(id, std::move(broken));
    });
  }
}

Client::Client(Clients& clients, std::uint32_t number, Prng prng)
    : Actor(clients, number, prng), clients_(clients) {}

NodeId Client::pick_member() {
  if (favourite_ != NodeId{} && prng().chance(3, 4)) return favourite_;
  const std::vector<NodeId> members = clients_.cluster().members();
  return members[prng().below(members.size())];
}

Task<void> Client::sleep(std::int64_t ns) {
  co_await from_callback<bool>(
      [this, ns](auto done) { world().after(ns, [done = std::move(done)]() mutable { done(true); }); });
}

void Client::start_attempt(AnyRequest request, RequestId id, std::move_only_function<void(Answer)> done) {
  const NodeId to = pick_member();
  Clients::Call call;
  call.member = to;
  call.mutation = is_mutation(request);
  call.done = std::move(done);
  const std::uint64_t number = clients_.add_call(std::move(call));
  const std::size_t bytes = rough_bytes(request);
  world().carry(endpoint(), World::member_endpoint(to), bytes,
                [this, number, to, id, request = std::move(request)]() mutable {
                  deliver_request(number, to, std::move(request), id);
                });
}

void Client::deliver_request(std::uint64_t call, NodeId to, AnyRequest request, RequestId id) {
  Node& node = world().node(to);
  if (!node.running()) {
    // Connection refused: nothing was done. Sometimes even that does not come back.
    world().carry(World::member_endpoint(to), endpoint(), 50, [this, call] {
      Answer refused;
      refused.outcome = Outcome::failed;
      refused.status = Status(Code::unavailable, "connection refused");
      clients_.finish_call(call, std::move(refused));
    });
    return;
  }
  node.run_on_strand([this, call, to, id, request = std::move(request)]() mutable {
    replica::Replica* replica = clients_.cluster().replica(to);
    if (replica == nullptr) return;
    const std::uint64_t life = world().node(to).lives();
    store::CallOptions options;
    options.deadline = world().node(to).environment().clock.now() + clients_.cluster().options.client_timeout;
    options.request_id = id;
    issue(*replica, std::move(request), std::move(options),
          [this, call, to, life](Result<AnyResponse> result) {
            if (!world().node(to).running()) return;
            Answer answer;
            answer.member = to;
            answer.member_life = life;
            if (result.ok()) {
              answer.outcome = Outcome::ok;
              answer.response = *std::move(result);
            } else {
              answer.status = result.status();
              answer.outcome = is_unknown(answer.status) ? Outcome::unknown : Outcome::failed;
            }
            world().carry(World::member_endpoint(to), endpoint(), 100,
                          [this, call, answer = std::move(answer)]() mutable {
                            clients_.finish_call(call, std::move(answer));
                          });
          });
  });
}

Task<Answer> Client::attempt(AnyRequest request, RequestId id) {
  Answer answer = co_await from_callback<Answer>(
      [this, &request, id](auto done) { start_attempt(std::move(request), id, std::move(done)); });
  co_return answer;
}

Task<Operation*> Client::execute(AnyRequest request, bool retry) {
  Operation& operation = begin(request, world().now());
  RequestId id;
  if (retry && id_ != ClientId{} && is_mutation(request)) {
    id.client = id_;
    id.sequence = ++last_sequence_;
    id.unanswered_first = id.sequence;  // one at a time: everything before was answered or given up
  }
  operation.request_id = id;
  bool maybe_done = false;
  for (;;) {
    Answer answer = co_await attempt(operation.request, id);
    if (answer.outcome == Outcome::unknown) maybe_done = true;
    favourite_ = answer.outcome == Outcome::ok ? answer.member : NodeId{};
    const bool settled = answer.outcome == Outcome::ok ||
                         (answer.outcome == Outcome::failed && !concerns_attempt(answer.status.code()));
    const bool may_retry =
        id.present() && operation.attempts < attempts_max && !settled && (maybe_done || !clients_.stopping());
    if (!may_retry) {
      if (!settled && maybe_done) answer.outcome = Outcome::unknown;
      conclude(operation, std::move(answer));
      co_return &operation;
    }
    ++operation.attempts;
    clients_.coverage().add(Covered::retried_by_request_id);
    co_await sleep(retry_pause_ns);
  }
}

void Client::conclude(Operation& operation, Answer answer) {
  record(operation, std::move(answer), world().now());
  if (world().tracing()) world().trace(describe(operation));
}

void Client::start_registration(std::move_only_function<void(Answer)> done) {
  const NodeId to = pick_member();
  Clients::Call call;
  call.member = to;
  call.mutation = true;
  call.done = std::move(done);
  const std::uint64_t number = clients_.add_call(std::move(call));
  world().carry(endpoint(), World::member_endpoint(to), 50, [this, number, to] {
    Node& node = world().node(to);
    node.run_on_strand([this, number, to] {
      replica::Replica* replica = clients_.cluster().replica(to);
      if (replica == nullptr) return;
      replica->register_client({}, [this, number, to](Result<store::RegisterClientResponse> result) {
        Answer answer;
        answer.member = to;
        answer.outcome = result.ok() ? Outcome::ok : Outcome::failed;
        if (result.ok()) answer.response = *result;
        world().carry(World::member_endpoint(to), endpoint(), 50,
                      [this, number, answer]() mutable { clients_.finish_call(number, std::move(answer)); });
      });
    });
  });
}

Task<void> Client::register_client() {
  while (!clients_.stopping()) {
    Answer answer =
        co_await from_callback<Answer>([this](auto done) { start_registration(std::move(done)); });
    if (answer.outcome == Outcome::ok) {
      id_ = std::get<store::RegisterClientResponse>(answer.response).client;
      co_return;
    }
    co_await sleep(retry_pause_ns * 4);
  }
}

}  // namespace lockstep::sim
