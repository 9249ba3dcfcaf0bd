#include "sim/cluster.h"

#include <utility>

#include "base/crc32c.h"

namespace lockstep::sim {

namespace {

constexpr ClusterId cluster_id{0x10c5};
constexpr std::size_t violations_max = 50;

std::string address_of(NodeId id) {
  return "node-" + std::to_string(id.value()) + ":1";
}

std::string name_of(NodeId id) {
  return "member " + std::to_string(id.value());
}

}  // namespace

Member::Member(Node& node, Cluster& cluster) {
  Machine& machine = cluster.machine(node.id());
  cluster.open_engine(node.id());
  auto opened = replica::Replica::open(node.environment(), cluster.replica_options(node));
  if (!opened.ok()) {
    machine.open_failed = true;
    cluster.on_fatal(node, opened.status());
    return;
  }
  replica_ = *std::move(opened);
}

Member::~Member() {
  kept_.clear();
}

Cluster::Cluster(World& in_world, const RunOptions& with_options, Coverage& noting)
    : world(in_world), options(with_options), coverage(noting) {
  world.on_event([this](Node& node) { observe(node); });
}

NodeId Cluster::add_machine(bool founder) {
  const NodeId id = world.next_node_id();
  auto storage = std::make_unique<SimDiskStorage>(world, id);
  storage->sim().set_delay(options.disk_delay_ns_max / 10, options.disk_delay_ns_max);
  machines_[id].storage = storage.get();
  machines_[id].founder = founder;
  machines_[id].medium = std::make_shared<engine::MemoryMedium>();
  world.add_node(std::move(storage), [this](Node& node) { return std::make_unique<Member>(node, *this); });
  return id;
}

void Cluster::start(NodeId id) {
  if (world.node(id).running()) return;
  world.start(id);
}

replica::Options Cluster::replica_options(Node& node) {
  replica::Options result;
  result.cluster = cluster_id;
  result.node = node.id();
  // As an operator's configuration file: the same at every start.
  if (machines_.at(node.id()).founder) {
    for (const auto& [id, other] : machines_) {
      if (other.founder) result.founders.push_back({id, address_of(id)});
    }
  } else {
    for (const auto& [id, other] : machines_) {
      if (id != node.id()) result.contacts.push_back({id, address_of(id)});
    }
  }
  for (const auto& [id, other] : machines_) {
    if (id != node.id() && !other.removed) result.contacts.push_back({id, address_of(id)});
  }
  result.election_timeout = options.election_timeout;
  result.heartbeat_interval = options.heartbeat_interval;
  result.commit_notice_delay = options.commit_notice_delay;
  result.log.inline_bytes_max = options.log_inline_bytes_max;
  result.log_inline_bytes_max_alone = options.log_inline_bytes_max;
  result.log.segment_bytes = options.log_segment_bytes;
  result.log.entry_bytes_max = options.log_segment_bytes / 2;
  result.log_memory_bytes_max = options.log_memory_bytes_max;
  result.log_memory_settled_bytes_max = options.log_memory_bytes_max / 2;
  result.engine = machines_.at(node.id()).engine.get();
  result.persistence.window_bytes = options.window_bytes;
  result.persistence.fold_bytes = options.fold_bytes;
  result.persistence.flush_bytes = options.flush_bytes;
  result.persistence.snapshot_slice_bytes = options.snapshot_slice_bytes;
  result.on_fatal = [this, &node](const Status& why) { on_fatal(node, why); };
  if (world.tracing()) {
    result.trace = true;
    result.on_trace = [this](const std::string& line) { world.trace(line); };
  }
  return result;
}

void Cluster::open_engine(NodeId id) {
  Machine& machine = machines_.at(id);
  machine.engine = nullptr;
  machine.medium->fail(Status());
  // An engine without a log of its own loses the same in a dead process as in a power cut: any suffix of what
  // was not made durable.
  const engine::Position durable = machine.medium->durable();
  const auto at_risk = machine.medium->written() - durable;
  machine.medium->crash(durable + machine.storage->prng().below(at_risk + 1));
  machine.engine = engine::open_memory_engine(machine.medium);
}

Directory Cluster::save_directory(NodeId id) {
  Machine& machine = machines_.at(id);
  Directory directory;
  directory.files = machine.storage->sim().save();
  const std::unique_ptr<engine::View> view = machine.engine->view();
  for (const engine::Table table : engine::all_tables) {
    for (auto cursor = view->scan(table, "", "", engine::Direction::forward); cursor->valid();
         cursor->next()) {
      directory.rows.emplace_back(table, cursor->key(), cursor->value());
    }
  }
  return directory;
}

void Cluster::restore_directory(NodeId id, const Directory& directory) {
  wipe_directory(id);
  Machine& machine = machines_.at(id);
  machine.storage->sim().restore(directory.files);
  machine.engine = engine::open_memory_engine(machine.medium);
  auto replacement = machine.engine->begin_replacement();
  LS_MUST(replacement.ok());
  for (const auto& [table, key, value] : directory.rows) {
    const Status added = (*replacement)->add(table, key, value);
    LS_MUST(added.ok());
  }
  const Status committed = (*replacement)->commit();
  LS_MUST(committed.ok());
}

void Cluster::wipe_directory(NodeId id) {
  Machine& machine = machines_.at(id);
  LS_MUST(!world.node(id).running());
  machine.storage->sim().wipe();
  machine.engine = nullptr;
  machine.medium = std::make_shared<engine::MemoryMedium>();
  // Several founders ask each other whether the cluster was born; a lone one has nobody to ask and would
  // found a second cluster. Its operator says that it joins.
  if (options.members == 1) machine.founder = false;
}

void Cluster::on_fatal(Node& node, const Status& why) {
  if (world.tracing()) world.trace("fatal: " + why.to_string());
  // After doom() nothing counts: a disk that stopped in the middle of a step makes its caller fail as well.
  if (!node.doomed() && !machines_.at(node.id()).excused(node.lives())) {
    report("fatal", name_of(node.id()) + " halted without an injected fault: " + why.to_string());
  }
  machines_.at(node.id()).halted_life = node.lives();
  node.doom(DeathKind::killed);
}

Member* Cluster::member(NodeId id) {
  Node& node = world.node(id);
  return node.running() ? dynamic_cast<Member*>(node.process()) : nullptr;
}

replica::Replica* Cluster::replica(NodeId id) {
  Member* found = member(id);
  return found == nullptr ? nullptr : found->replica();
}

std::vector<NodeId> Cluster::members() const {
  std::vector<NodeId> result;
  for (const auto& [id, machine] : machines_) {
    if (!machine.removed) result.push_back(id);
  }
  return result;
}

NodeId Cluster::leader() {
  NodeId found;
  Term term;
  for (const auto& [id, machine] : machines_) {
    replica::Replica* candidate = replica(id);
    if (candidate == nullptr || !candidate->raft().is_leader() || candidate->raft().term() <= term) continue;
    found = id;
    term = candidate->raft().term();
  }
  return found;
}

raft::Configuration Cluster::configuration() {
  // A leader's is the one that counts; without a leader, the newest anybody knows, committed or not.
  const NodeId leading = leader();
  if (leading != NodeId{}) return replica(leading)->raft().configuration();
  raft::Configuration newest;
  LogIndex index;
  for (const auto& [id, machine] : machines_) {
    replica::Replica* candidate = replica(id);
    if (candidate == nullptr) continue;
    const bool newer = candidate->raft().configuration_index() >= index;
    if (newer && !candidate->raft().configuration().empty()) {
      newest = candidate->raft().configuration();
      index = candidate->raft().configuration_index();
    }
  }
  return newest;
}

std::string Cluster::describe() {
  std::string text;
  for (const auto& [id, machine] : machines_) {
    text += (text.empty() ? "" : ", ") + name_of(id);
    replica::Replica* found = replica(id);
    if (machine.removed) text += " removed";
    if (machine.damaged) text += " damaged";
    if (found == nullptr) {
      text += " down";
      continue;
    }
    const raft::Raft& raft = found->raft();
    text += " " + std::string(raft::to_string(raft.role())) + " term " + std::to_string(raft.term().value()) +
            " leader " + std::to_string(raft.leader().value()) + " last " +
            std::to_string(raft.log().last_index().value()) + " commit " +
            std::to_string(raft.commit_index().value()) + " applied " +
            std::to_string(found->machine().applied_index().value()) + (raft.may_vote() ? "" : " in doubt") +
            " [" + raft::to_string(raft.configuration()) + "]";
  }
  return text;
}

void Cluster::report(std::string checker, std::string text) {
  if (world.tracing()) world.trace("VIOLATION " + checker + ": " + text);
  if (violations_.size() < violations_max) violations_.push_back({std::move(checker), std::move(text)});
}

void Cluster::observe(Node& node) {
  auto* found = dynamic_cast<Member*>(node.process());
  if (found == nullptr || found->replica() == nullptr || found->replica()->halted()) return;
  observe_leader(node, *found);
  const store::StateMachine* machine = &found->replica()->machine();
  if (found->machine_seen_ != nullptr && found->machine_seen_ != machine) {
    coverage.add(Covered::snapshot_installed);
  }
  found->machine_seen_ = machine;
  if (machine->applied_index() == found->applied_seen_) return;
  observe_effects(node, *found);
  observe_entries(node, *found);
}

void Cluster::observe_leader(Node& node, Member& member) {
  const raft::Raft& raft = member.replica()->raft();
  if (!raft.is_leader() || raft.term() == member.led_term_seen_) return;
  member.led_term_seen_ = raft.term();
  if (!leaders_.empty()) coverage.add(Covered::leader_change);
  leaders_[raft.term()] = node.id();
  observed_.leaders.push_back({raft.term(), node.id(), world.now()});
  if (world.tracing()) world.trace("leads term " + std::to_string(raft.term().value()));
}

void Cluster::observe_effects(Node& node, Member& member) {
  store::StateMachine& machine = member.replica()->machine();
  std::int64_t& seen = member.revision_seen_;
  seen = std::max(seen, machine.compacted_revision().value());
  while (seen < machine.revision().value()) {
    const auto block = machine.history().block_containing(Revision(seen + 1));
    if (!block.ok()) {
      seen = machine.revision().value();
      return;
    }
    const store::EffectBlock& effects = **block;
    for (Revision revision(seen + 1); revision <= effects.last_revision(); ++revision) {
      RevisionEffects found;
      found.revision = revision;
      found.first_seen_ns = world.now();
      for (std::size_t i = effects.begin_of(revision); i < effects.end_of(revision); ++i) {
        const store::EffectView view = effects.effect(i);
        store::Event event;
        event.kind = view.kind == store::EffectKind::put ? store::EventKind::put : store::EventKind::remove;
        event.kv = view.row.to_key_value();
        found.events.push_back(std::move(event));
      }
      const auto [known, fresh] = effects_.try_emplace(revision.value(), found);
      if (!fresh && known->second.events != found.events) {
        report("agreement", name_of(node.id()) + " has other effects at revision " +
                                std::to_string(revision.value()) + " than another member");
      }
    }
    seen = effects.last_revision().value();
  }
}

void Cluster::observe_entries(Node& node, Member& member) {
  const replica::Replica& replica = *member.replica();
  const raft::RaftLog& log = replica.raft().log();
  const LogIndex applied = member.replica()->machine().applied_index();
  for (LogIndex index = std::max(member.applied_seen_, log.base_index()).next(); index <= applied; ++index) {
    if (index > log.last_index()) break;
    const raft::Entry& entry = log.at(index);
    CommitObservation seen{node.id(), index, entry.term, crc32c(entry.payload.view())};
    const auto [known, fresh] = commits_.try_emplace(index, seen);
    if (!fresh && (known->second.term != seen.term || known->second.checksum != seen.checksum)) {
      observed_.commits.push_back(known->second);
      observed_.commits.push_back(seen);
    }
  }
  DigestObservation seen{node.id(), applied, member.replica()->machine().digest()};
  const auto [known, fresh] = digests_.try_emplace(applied, seen);
  if (!fresh && known->second.digest != seen.digest) {
    observed_.digests.push_back(known->second);
    observed_.digests.push_back(seen);
  }
  member.applied_seen_ = applied;
  highest_applied_ = std::max(highest_applied_, applied);
}

void Cluster::finish(History& history) {
  history.leaders = std::move(observed_.leaders);
  history.commits = std::move(observed_.commits);
  history.digests = std::move(observed_.digests);
  for (auto& [revision, effects] : effects_) history.effects.push_back(std::move(effects));
  effects_.clear();
}

}  // namespace lockstep::sim
