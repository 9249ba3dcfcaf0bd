#include "raft/test_cluster.h"

#include <algorithm>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "raft/wire.h"

namespace lockstep::raft {
namespace {

// What a driver does at its start: a snapshot newer than the log replaces it (its reset was not written yet).
void reconcile(TestDisk& disk) {
  if (disk.snapshot.index == LogIndex{} || disk.snapshot.index <= disk.base_index) return;
  const bool held = disk.snapshot.index <= disk.last_index() &&
                    disk.entries[disk.snapshot.index - disk.base_index - 1].term == disk.snapshot.term;
  if (held) return;
  disk.base_index = disk.snapshot.index;
  disk.base_term = disk.snapshot.term;
  disk.base_configuration = disk.snapshot.configuration;
  disk.entries.clear();
}

void apply_write(TestDisk& disk, const TestWrite& write) {
  if (write.reset.has_value()) {
    disk.base_index = write.reset->index;
    disk.base_term = write.reset->term;
    disk.base_configuration = write.reset_configuration;
    disk.entries.clear();
  }
  if (!write.entries.empty()) {
    const LogIndex first = write.entries.front().index;
    LS_MUST(first > disk.base_index && first <= disk.last_index().next());
    disk.entries.resize(first - disk.base_index - 1);
    disk.entries.insert(disk.entries.end(), write.entries.begin(), write.entries.end());
  }
  if (write.hard_state.has_value()) disk.hard_state = *write.hard_state;
  if (write.vote_restored) disk.may_vote = true;
}

}  // namespace

std::uint64_t chain_digest(std::uint64_t digest, const Entry& entry) {
  if (entry.kind != EntryKind::normal) return digest;
  return (digest ^ crc32c(entry.payload.view())) * 0x9e3779b97f4a7c15 + entry.index.value();
}

TestMember& TestCluster::member(NodeId id) {
  const auto found = members_.find(id);
  LS_MUST(found != members_.end(), "no such member");
  return found->second;
}

void TestCluster::add(NodeId id, Configuration configuration, std::vector<Entry> entries,
                      HardState hard_state, bool may_vote) {
  LS_MUST(!members_.contains(id));
  TestDisk& disk = members_[id].disk;
  disk.base_configuration = std::move(configuration);
  disk.entries = std::move(entries);
  disk.hard_state = hard_state;
  disk.may_vote = may_vote;
  start(id);
}

void TestCluster::start(NodeId id) {
  TestMember& m = member(id);
  LS_MUST(!m.up());
  reconcile(m.disk);
  Restored restored;
  restored.hard_state = m.disk.hard_state;
  restored.snapshot_configuration = m.disk.base_configuration;
  restored.snapshot_index = m.disk.base_index;
  restored.snapshot_term = m.disk.base_term;
  restored.entries = m.disk.entries;
  restored.applied = std::max(m.disk.snapshot.index, m.disk.base_index);
  restored.may_vote = m.disk.may_vote;
  LS_MUST(m.disk.base_index <= m.disk.snapshot.index || m.disk.base_index == LogIndex{});
  m.applied = restored.applied;
  m.digest = m.disk.snapshot_digest;
  Options options = options_;
  options.id = id;
  m.raft = std::make_unique<Raft>(options, std::move(restored), prng_.next(), now_);
  pump(id);
}

void TestCluster::crash(NodeId id, std::size_t writes_kept) {
  TestMember& m = member(id);
  for (std::size_t i = 0; i < std::min(writes_kept, m.writes.size()); ++i) apply_write(m.disk, m.writes[i]);
  m.raft.reset();
  m.writes.clear();
  m.held.clear();
  m.outgoing.clear();
  m.incoming.reset();
}

void TestCluster::restart(NodeId id) {
  if (member(id).up()) crash(id, 0);
  start(id);
}

void TestCluster::wipe(NodeId id) {
  if (member(id).up()) crash(id, 0);
  member(id).disk = TestDisk{};
  member(id).disk.may_vote = false;
}

void TestCluster::tick(NodeId id) {
  TestMember& m = member(id);
  if (!m.up()) return;
  m.raft->tick(now_);
  std::vector<NodeId> late;
  std::erase_if(m.outgoing, [&](const auto& transfer) {
    const auto peer = m.raft->peers().find(transfer.first);
    if (peer == m.raft->peers().end() || peer->second.state != ProgressState::snapshot) return true;
    if (now_ - transfer.second.sent > options_.election_timeout) late.push_back(transfer.first);
    return false;
  });
  for (const NodeId peer : late) send_chunk(m, peer);
  pump(id);
}

void TestCluster::deliver(const Message& message) {
  TestMember& m = member(message.to);
  if (!m.up()) return;
  std::string bytes;
  for (const SharedBytes& piece : encode(message)) bytes += piece.view();
  Result<Message> decoded = decode(SharedBytes(std::move(bytes)));
  LS_MUST(decoded.ok());
  LS_MUST(*decoded == message);
  m.raft->receive(now_, message.from, *std::move(decoded));
  pump(message.to);
}

void TestCluster::send(Message message) {
  message.eager = answers_leader(message.kind) && member(message.from).eager;
  if (hooks.sent) hooks.sent(message);
  network_.push_back(std::move(message));
}

void TestCluster::pump(NodeId id) {
  TestMember& m = member(id);
  while (m.up()) {
    Output output = m.raft->take_output();
    if (output.empty()) return;
    for (const std::string& line : output.trace) {
      if (hooks.trace) hooks.trace(id, line);
    }
    if (output.role_change.has_value() && hooks.role) hooks.role(id, *output.role_change);
    if (hooks.appended)
      std::for_each(output.entries.begin(), output.entries.end(),
                    [&](const Entry& e) { hooks.appended(id, e); });
    for (Message& message : output.messages) send(std::move(message));
    for (Message& message : output.messages_after_persist) {
      m.held.push_back({output.persist_id, std::move(message)});
    }
    if (output.must_persist() || output.hard_state.has_value() || output.vote_restored) {
      TestWrite write{output.persist_id,         output.reset,      {},
                      std::move(output.entries), output.hard_state, output.vote_restored};
      if (write.reset.has_value()) write.reset_configuration = m.disk.snapshot.configuration;
      m.writes.push_back(std::move(write));
    }
    for (const ReadResult& read : output.reads) {
      if (hooks.read) hooks.read(id, read);
    }
    handle_snapshots(m, output);
    apply(id, m, output.committed);
    // Nothing left to write means that all before is durable.
    persist(id, auto_persist || m.writes.empty() ? SIZE_MAX : 0);
    if (auto_persist && m.incoming.has_value() && m.incoming->complete) install(id);
  }
}

void TestCluster::apply(NodeId id, TestMember& m, const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    LS_MUST(entry.index == m.applied.next(), "entries are applied in order, each once");
    m.digest = chain_digest(m.digest, entry);
    m.applied = entry.index;
    if (hooks.applied) hooks.applied(id, entry);
  }
  if (!entries.empty()) m.raft->applied(now_, m.applied);
}

void TestCluster::persist(NodeId id, std::size_t count) {
  TestMember& m = member(id);
  if (!m.up()) return;
  PersistId durable = m.writes.empty() ? PersistId::max() : PersistId{};
  while (count > 0 && !m.writes.empty()) {
    apply_write(m.disk, m.writes.front());
    durable = m.writes.front().id;
    m.writes.pop_front();
    --count;
  }
  if (durable == PersistId{}) return;
  if (durable != PersistId::max()) m.raft->persisted(now_, durable);
  while (!m.held.empty() && (m.held.front().after <= durable || m.writes.empty())) {
    send(std::move(m.held.front().message));
    m.held.pop_front();
  }
}

std::string TestCluster::content(std::uint64_t digest) const {
  std::string bytes;
  Encoder(&bytes).u64(digest);
  bytes.resize(std::max<std::size_t>(8, snapshot_bytes), '.');
  return bytes;
}

void TestCluster::snapshot(NodeId id, std::uint64_t keep) {
  TestMember& m = member(id);
  const Raft& raft = *m.raft;
  if (m.applied <= m.disk.snapshot.index) return;
  m.disk.snapshot = {
      SnapshotId{}, m.applied, *raft.log().term_at(m.applied), raft.configuration_at(m.applied), 0, 0};
  m.disk.snapshot_digest = m.digest;
  const LogIndex base(m.applied.value() > keep ? m.applied.value() - keep : 0);
  if (base <= m.disk.base_index) return;
  m.disk.base_configuration = raft.configuration_at(base);
  m.disk.base_term = *raft.log().term_at(base);
  LS_MUST(m.disk.last_index() >= base, "what is applied is durable (R6)");
  m.disk.entries.erase(m.disk.entries.begin(),
                       m.disk.entries.begin() + static_cast<std::ptrdiff_t>(base - m.disk.base_index));
  m.disk.base_index = base;
  m.raft->compact(base);
  pump(id);
}

void TestCluster::handle_snapshots(TestMember& m, Output& output) {
  for (const SnapshotRequest& request : output.snapshot_requests) {
    const Raft& raft = *m.raft;
    LS_MUST(m.applied >= request.index_min);
    std::string bytes = content(m.digest);
    SnapshotDescription description{
        SnapshotId(++snapshots_made_),    m.applied,    *raft.log().term_at(m.applied),
        raft.configuration_at(m.applied), bytes.size(), crc32c(bytes)};
    m.outgoing[request.peer] = {std::move(description), std::move(bytes), 0, now_};
    send_chunk(m, request.peer);
  }
  for (const SnapshotProgress& progress : output.snapshot_progress) {
    const auto transfer = m.outgoing.find(progress.peer);
    if (transfer == m.outgoing.end() || transfer->second.snapshot.id != progress.id) continue;
    if (!progress.rewind && progress.offset <= transfer->second.stored) continue;
    transfer->second.stored = progress.offset;
    if (progress.offset < transfer->second.content.size()) send_chunk(m, progress.peer);
  }
  if (output.snapshot_abandoned.has_value() && m.incoming.has_value() &&
      m.incoming->snapshot.id == *output.snapshot_abandoned) {
    LS_MUST(!m.incoming->complete);
    m.incoming.reset();
  }
  for (SnapshotChunk& chunk : output.snapshot_chunks) {
    if (chunk.offset == 0) m.incoming = TestMember::Incoming{chunk.snapshot, {}, false};
    LS_MUST(m.incoming.has_value() && m.incoming->snapshot == chunk.snapshot);
    LS_MUST(m.incoming->content.size() == chunk.offset);
    m.incoming->content += chunk.bytes.view();
    m.raft->snapshot_stored(now_, chunk.snapshot.id, chunk.end_offset());
    m.incoming->complete = chunk.last();
  }
}

void TestCluster::send_chunk(TestMember& m, NodeId peer) {
  TestMember::Outgoing& transfer = m.outgoing.at(peer);
  const std::uint64_t offset = std::min<std::uint64_t>(transfer.stored, transfer.content.size());
  SnapshotChunk chunk{transfer.snapshot, offset, SharedBytes(transfer.content.substr(offset, chunk_bytes))};
  transfer.sent = now_;
  if (!m.raft->send_snapshot_chunk(now_, peer, std::move(chunk)).ok()) {
    m.raft->report_snapshot_failed(now_, peer);
    m.outgoing.erase(peer);
  }
}

void TestCluster::install(NodeId id) {
  TestMember& m = member(id);
  if (!m.up() || !m.incoming.has_value() || !m.incoming->complete) return;
  LS_MUST(crc32c(m.incoming->content) == m.incoming->snapshot.digest);
  m.disk.snapshot = m.incoming->snapshot;
  m.disk.snapshot_digest = Decoder(m.incoming->content).u64();
  m.applied = m.disk.snapshot.index;
  m.digest = m.disk.snapshot_digest;
  m.incoming.reset();
  if (hooks.installed) hooks.installed(id, m.applied, m.digest);
  m.raft->snapshot_installed(now_, m.disk.snapshot.id);
  pump(id);
}

void TestCluster::refuse(NodeId id) {
  TestMember& m = member(id);
  if (!m.up() || !m.incoming.has_value()) return;
  const SnapshotId snapshot = m.incoming->snapshot.id;
  m.incoming.reset();
  m.raft->snapshot_refused(now_, snapshot);
  pump(id);
}

}  // namespace lockstep::raft
