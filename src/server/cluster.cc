#include "server/cluster.h"

#include <algorithm>
#include <utility>

#include "base/codec.h"
#include "replica/addresses.h"
#include "replica/naming.h"

namespace lockstep::server {
namespace {

constexpr Duration tick_interval = 500ms;
// Until the others know this member's addresses: clients ask for them as soon as it serves.
constexpr Duration unannounced_interval = 20ms;
constexpr Duration leader_poll_interval = 10ms;
constexpr int leader_timeouts = 8;

Status member_not_found() {
  return {Code::not_found, "etcdserver: member not found"};
}

// One address a member: what etcd allows beyond that nobody uses.
Result<std::string> single_address(const std::vector<std::string>& urls) {
  if (urls.size() != 1)
    return Status(Code::invalid_argument,
                  "etcdserver: given member URLs are invalid: one peer URL is expected");
  Result<std::string> address = parse_address(urls.front());
  if (!address.ok())
    return Status(Code::invalid_argument,
                  "etcdserver: given member URLs are invalid: " + std::string(address.status().message()));
  return address;
}

const replica::Member* find(const std::vector<replica::Member>& members, NodeId id) {
  const auto found = std::ranges::find(members, id, &replica::Member::id);
  return found == members.end() ? nullptr : &*found;
}

}  // namespace

ServerCluster::ServerCluster(replica::Replica& replica, engine::Engine& engine, env::Executor& executor,
                             env::Clock& clock, const ServerOptions& options)
    : replica_(replica),
      engine_(engine),
      executor_(executor),
      clock_(clock),
      options_(options),
      peer_scheme_(options.peer_tls_ca.empty() ? "http://" : "https://") {
  self_.id = replica.header().member;
  self_.address = options.peer_advertise;
  self_.name = options.name;
  self_.client_url = (options.tls_certificate.empty() ? "http://" : "https://") + options.advertise;
  replica_.peer_calls().set_handler(
      [this](NodeId from, std::string_view request, replica::PeerCalls::Answer done) {
        Result<Question> question = decode(request);
        if (!question.ok()) return done(question.status());
        if (!replica_.raft().is_leader()) return done(Status(Code::unavailable, "etcdserver: not leader"));
        if (!replica_.raft().configuration().contains(from)) return done(member_not_found());
        answer(*question, [done = std::move(done)](const Status& status) mutable {
          done(status.ok() ? Result<std::string>(std::string()) : Result<std::string>(status));
        });
      });
  on_tick();
}

ServerCluster::~ServerCluster() {
  *alive_ = false;
  executor_.cancel(timer_);
  replica_.peer_calls().set_handler(nullptr);
}

// ---- looking

store::Header ServerCluster::header() const {
  return replica_.header();
}

bool ServerCluster::has_leader() const {
  return replica_.raft().leader() != NodeId{};
}

bool ServerCluster::is_learner() const {
  return !replica_.raft().configuration().is_voter(self_.id);
}

std::vector<replica::Member> ServerCluster::known() const {
  const raft::Configuration& configuration = replica_.raft().configuration();
  Result<std::vector<replica::Member>> listed = replica::decode_addresses(configuration.context);
  std::vector<replica::Member> members;
  if (!listed.ok()) return members;
  for (replica::Member& member : *listed) {
    if (configuration.contains(member.id)) members.push_back(std::move(member));
  }
  return members;
}

gateway::MemberInfo ServerCluster::info_of(const replica::Member& member) const {
  gateway::MemberInfo info;
  info.id = member.id;
  info.name = member.name;
  if (!member.address.empty()) info.peer_urls.push_back(peer_scheme_ + member.address);
  if (!member.client_url.empty()) info.client_urls.push_back(member.client_url);
  info.learner = !replica_.raft().configuration().is_voter(member.id);
  return info;
}

std::vector<gateway::MemberInfo> ServerCluster::members() const {
  std::vector<gateway::MemberInfo> infos;
  for (const replica::Member& member : known()) infos.push_back(info_of(member));
  return infos;
}

gateway::ClusterStatus ServerCluster::status() const {
  const store::StateMachine& machine = replica_.machine();
  gateway::ClusterStatus status;
  status.leader = replica_.raft().leader();
  status.term = replica_.raft().term();
  status.commit = replica_.raft().commit_index();
  status.applied = machine.applied_index();
  status.compacted = machine.compacted_revision();
  status.learner = is_learner();
  status.used_bytes = machine.bytes_in_use();
  // What is not yet written behind will be.
  status.disk_bytes = std::max(engine_.stats().disk_bytes, status.used_bytes);
  status.quota_bytes = options_.quota_bytes;
  status.alarms = machine.alarms(store::AlarmKind::none);
  if (replica_.halted()) status.errors.emplace_back("this member halted: see its log");
  if (!replica_.raft().may_vote())
    status.errors.emplace_back("catching up after a loss of data; does not vote yet");
  return status;
}

// ---- changing

TimePoint ServerCluster::deadline_of(const store::CallOptions& options) const {
  return std::min(options.deadline, clock_.now() + options_.request_timeout);
}

void ServerCluster::ask(const Question& question, const store::CallOptions& options, Answered done) {
  const TimePoint deadline = deadline_of(options);
  const TimePoint leader_by = clock_.now() + leader_timeouts * options_.election_timeout;
  ask_leader(question, deadline, std::min(deadline, leader_by), std::move(done));
}

// An election is a pause, not an error.
void ServerCluster::ask_leader(const Question& question, TimePoint deadline, TimePoint leader_by,
                               Answered done) {
  if (replica_.raft().is_leader()) return answer(question, std::move(done));
  const NodeId leader = replica_.raft().leader();
  if (leader == NodeId{}) {
    if (clock_.now() >= leader_by) return done(Status(Code::unavailable, "etcdserver: no leader"));
    executor_.schedule(clock_.now() + leader_poll_interval, [this, alive = alive_, question, deadline,
                                                             leader_by, done = std::move(done)]() mutable {
      if (*alive) ask_leader(question, deadline, leader_by, std::move(done));
    });
    return;
  }
  replica_.peer_calls().call(
      leader, encode(question), deadline,
      [done = std::move(done)](const Result<std::string>& result) mutable { done(result.status()); });
}

void ServerCluster::answer(const Question& question, Answered done) {
  LS_MUST(replica_.raft().is_leader());
  const NodeId id = question.member.id;
  const raft::Configuration& configuration = replica_.raft().configuration();
  switch (question.ask) {
    case Ask::announce:
    case Ask::update:
      return answer_update(question, std::move(done));
    case Ask::add:
      return answer_add(question, std::move(done));
    case Ask::remove:
      if (!configuration.contains(id)) return done(member_not_found());
      return replica_.change_members({{raft::MemberChangeKind::remove, id}}, {}, std::move(done));
    case Ask::promote:
      if (!configuration.contains(id)) return done(member_not_found());
      if (configuration.is_voter(id))
        return done(Status(Code::failed_precondition, "etcdserver: can only promote a learner member"));
      return replica_.change_members({{raft::MemberChangeKind::promote, id}}, {}, std::move(done));
  }
  done(Status(Code::unimplemented, "this member does not know what is asked"));
}

void ServerCluster::answer_add(const Question& question, Answered done) {
  for (const replica::Member& member : known()) {
    if (member.id == question.member.id || member.address == question.member.address)
      return done(Status(Code::failed_precondition, "etcdserver: Peer URLs already exists"));
  }
  replica::Member added = question.member;
  added.promote = !question.learner;
  replica_.change_members({{raft::MemberChangeKind::add_learner, added.id}}, {added}, std::move(done));
}

// Whoever announces itself knows its name and client address; an update from outside knows the peer address.
void ServerCluster::answer_update(const Question& question, Answered done) {
  const std::vector<replica::Member> members = known();
  const replica::Member* present = find(members, question.member.id);
  if (present == nullptr) return done(member_not_found());
  replica::Member changed = *present;
  if (question.ask == Ask::announce) {
    changed.name = question.member.name;
    changed.client_url = question.member.client_url;
  }
  if (!question.member.address.empty()) changed.address = question.member.address;
  if (changed == *present) return done({});
  for (const replica::Member& other : members) {
    if (other.id != changed.id && other.address == changed.address && !changed.address.empty())
      return done(Status(Code::failed_precondition, "etcdserver: Peer URLs already exists"));
  }
  replica_.change_members({}, {changed}, std::move(done));
}

void ServerCluster::add_member(std::vector<std::string> peer_urls, bool learner, store::CallOptions options,
                               Done<gateway::MemberInfo> done) {
  const Result<std::string> address = single_address(peer_urls);
  if (!address.ok()) return done(address.status());
  Question question{Ask::add, {}, learner};
  question.member.id = replica::node_id_of(options_.cluster_token, *address);
  question.member.address = *address;
  ask(question, options,
      [this, alive = alive_, member = question.member, done = std::move(done)](const Status& status) mutable {
        if (!*alive) return;
        if (!status.ok()) return done(status);
        gateway::MemberInfo info = info_of(member);
        info.learner = true;
        done(std::move(info));
      });
}

void ServerCluster::remove_member(NodeId member, store::CallOptions options,
                                  std::move_only_function<void(Status)> done) {
  Question question{Ask::remove, {}, false};
  question.member.id = member;
  ask(question, options, std::move(done));
}

void ServerCluster::update_member(NodeId member, std::vector<std::string> peer_urls,
                                  store::CallOptions options, std::move_only_function<void(Status)> done) {
  const Result<std::string> address = single_address(peer_urls);
  if (!address.ok()) return done(address.status());
  Question question{Ask::update, {}, false};
  question.member.id = member;
  question.member.address = *address;
  ask(question, options, std::move(done));
}

void ServerCluster::promote_member(NodeId member, store::CallOptions options,
                                   std::move_only_function<void(Status)> done) {
  Question question{Ask::promote, {}, false};
  question.member.id = member;
  ask(question, options, std::move(done));
}

void ServerCluster::transfer_leadership(NodeId to, store::CallOptions options,
                                        std::move_only_function<void(Status)> done) {
  if (!replica_.raft().is_leader()) return done(Status(Code::failed_precondition, "etcdserver: not leader"));
  if (to == self_.id || !replica_.raft().configuration().is_voter(to))
    return done(Status(Code::failed_precondition, "etcdserver: bad leader transferee"));
  if (const Status begun = replica_.transfer_leadership(to); !begun.ok()) return done(begun);
  wait_for_leader(to, deadline_of(options), std::move(done));
}

void ServerCluster::wait_for_leader(NodeId to, TimePoint deadline, Answered done) {
  if (replica_.raft().leader() == to) return done({});
  if (clock_.now() >= deadline)
    return done(
        Status(Code::unknown_outcome, "etcdserver: request timed out, waiting for the leader to change"));
  executor_.schedule(clock_.now() + leader_poll_interval,
                     [this, alive = alive_, to, deadline, done = std::move(done)]() mutable {
                       if (*alive) wait_for_leader(to, deadline, std::move(done));
                     });
}

// ---- what goes on by itself

void ServerCluster::on_tick() {
  announce();
  promote_wanted();
  const std::vector<replica::Member> members = known();
  const replica::Member* listed = find(members, self_.id);
  const bool announced = listed != nullptr && listed->client_url == self_.client_url;
  timer_ = executor_.schedule(clock_.now() + (announced ? tick_interval : unannounced_interval),
                              [this] { on_tick(); });
}

void ServerCluster::announce() {
  const std::vector<replica::Member> members = known();
  const replica::Member* listed = find(members, self_.id);
  if (announcing_ || listed == nullptr || !has_leader()) return;
  // Its peer address once: whoever changes it while this member runs (member update) knows where it will be.
  const bool address_right = address_announced_ || self_.address.empty() || listed->address == self_.address;
  address_announced_ = address_announced_ || address_right;
  if (address_right && listed->name == self_.name && listed->client_url == self_.client_url) return;
  announcing_ = true;
  Question question{Ask::announce, self_, false};
  if (address_announced_) question.member.address.clear();
  ask(question, {}, [this, alive = alive_](const Status&) {
    if (*alive) announcing_ = false;  // refused or lost: the next tick asks again
  });
}

void ServerCluster::promote_wanted() {
  if (!replica_.raft().is_leader()) return;
  for (const replica::Member& member : known()) {
    if (!member.promote || replica_.raft().configuration().is_voter(member.id)) continue;
    // Refused, at once, until it has caught up: then perhaps the next one has.
    auto refused = std::make_shared<bool>(false);
    replica_.change_members({{raft::MemberChangeKind::promote, member.id}}, {},
                            [refused](const Status& status) { *refused = !status.ok(); });
    if (!*refused) return;
  }
}

// ---- between members

std::string ServerCluster::encode(const Question& question) {
  std::string bytes;
  Encoder encoder(&bytes);
  encoder.u8(static_cast<std::uint8_t>(question.ask));
  encoder.boolean(question.learner);
  encoder.bytes(replica::encode_addresses({question.member}));
  return bytes;
}

Result<ServerCluster::Question> ServerCluster::decode(std::string_view bytes) {
  Decoder decoder(bytes);
  Question question;
  const std::uint8_t ask = decoder.u8();
  question.learner = decoder.boolean();
  const std::string_view member = decoder.bytes();
  if (!decoder.done()) return Status(Code::corruption, "member question: malformed");
  if (ask < static_cast<std::uint8_t>(Ask::announce) || ask > static_cast<std::uint8_t>(Ask::promote))
    return Status(Code::unimplemented, "this member does not know what is asked");
  question.ask = static_cast<Ask>(ask);
  LS_ASSIGN_OR_RETURN(std::vector<replica::Member> members, replica::decode_addresses(member));
  if (members.size() != 1) return Status(Code::corruption, "member question: malformed");
  question.member = std::move(members.front());
  return question;
}

}  // namespace lockstep::server
