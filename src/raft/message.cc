#include "raft/message.h"

#include "base/assert.h"
#include "base/limits.h"

namespace lockstep::raft {
namespace {

Status invalid(std::string_view what) {
  return Status(Code::invalid_argument, "raft message: " + std::string(what));
}

Status validate_entries(const Message& message) {
  if (message.entries.size() > message_entries_max) return invalid("too many entries");
  LogIndex index = message.index;
  Term term = message.log_term;
  for (const Entry& entry : message.entries) {
    if (entry.index != index.next()) return invalid("gap between entries");
    if (entry.term < term || entry.term == Term{}) return invalid("terms of entries fall");
    if (entry.term > message.term) return invalid("term of an entry above the message's");
    if (entry.payload.size() > limits::entry_bytes_max) return invalid("entry too large");
    if (entry.kind == EntryKind::empty && !entry.payload.empty())
      return invalid("empty entry with a payload");
    if (entry.kind == EntryKind::configuration)
      LS_RETURN_IF_ERROR(decode_configuration(entry.payload.view()).status());
    index = entry.index;
    term = entry.term;
  }
  return {};
}

Status validate_chunk(const Message& message) {
  if (!message.chunk.has_value()) return invalid("snapshot chunk missing");
  const SnapshotChunk& chunk = *message.chunk;
  const SnapshotDescription& snapshot = chunk.snapshot;
  if (snapshot.id == SnapshotId{}) return invalid("snapshot without id");
  if (snapshot.index == LogIndex{} || snapshot.index > index_max)
    return invalid("snapshot index out of range");
  if (snapshot.term == Term{}) return invalid("snapshot term zero");
  if (snapshot.term > message.term) return invalid("snapshot term above the message's");
  LS_RETURN_IF_ERROR(validate(snapshot.configuration));
  if (chunk.bytes.size() > limits::snapshot_chunk_bytes_max) return invalid("snapshot chunk too large");
  if (chunk.offset > snapshot.total_bytes) return invalid("snapshot chunk beyond its end");
  if (chunk.bytes.size() > snapshot.total_bytes - chunk.offset)
    return invalid("snapshot chunk beyond its end");
  if (chunk.bytes.empty() && !chunk.last()) return invalid("empty snapshot chunk");
  return {};
}

bool has_position(MessageKind kind) {
  return kind == MessageKind::pre_vote || kind == MessageKind::vote || kind == MessageKind::append;
}

void describe_entries(std::string& out, const std::vector<Entry>& entries) {
  out += " entries [";
  for (const Entry& entry : entries) {
    if (&entry != &entries.front()) out += ' ';
    out += std::to_string(entry.index.value()) + "@" + std::to_string(entry.term.value());
    if (entry.kind == EntryKind::configuration) out += "(configuration)";
    if (entry.kind == EntryKind::empty) out += "(empty)";
  }
  out += ']';
}

}  // namespace

bool answers_leader(MessageKind kind) {
  return kind == MessageKind::append_response || kind == MessageKind::heartbeat_response ||
         kind == MessageKind::snapshot_chunk_response;
}

std::string_view to_string(MessageKind kind) {
  switch (kind) {
    case MessageKind::pre_vote:
      return "PreVote";
    case MessageKind::pre_vote_response:
      return "PreVoteResponse";
    case MessageKind::vote:
      return "Vote";
    case MessageKind::vote_response:
      return "VoteResponse";
    case MessageKind::append:
      return "Append";
    case MessageKind::append_response:
      return "AppendResponse";
    case MessageKind::heartbeat:
      return "Heartbeat";
    case MessageKind::heartbeat_response:
      return "HeartbeatResponse";
    case MessageKind::snapshot_chunk:
      return "SnapshotChunk";
    case MessageKind::snapshot_chunk_response:
      return "SnapshotChunkResponse";
    case MessageKind::timeout_now:
      return "TimeoutNow";
    case MessageKind::read_index:
      return "ReadIndex";
    case MessageKind::read_index_response:
      return "ReadIndexResponse";
  }
  LS_UNREACHABLE("no such kind of message");
}

std::string to_string(const Message& message) {
  const Message& m = message;
  std::string out = std::to_string(m.from.value()) + "->" + std::to_string(m.to.value()) + " ";
  out += to_string(m.kind);
  const auto field = [&](std::string_view name, std::uint64_t value) {
    out += " " + std::string(name) + " " + std::to_string(value);
  };
  field("term", m.term.value());
  if (m.reject) out += " reject";
  if (m.transfer) out += " transfer";
  if (m.kind == MessageKind::append) {
    out += " after " + std::to_string(m.index.value()) + "@" + std::to_string(m.log_term.value());
    describe_entries(out, m.entries);
  } else if (has_position(m.kind)) {
    out += " last " + std::to_string(m.index.value()) + "@" + std::to_string(m.log_term.value());
  } else if (m.kind == MessageKind::pre_vote_response && m.index != LogIndex{}) {
    out += " removed by " + std::to_string(m.index.value()) + "@" + std::to_string(m.log_term.value());
  } else if (m.index != LogIndex{}) {
    field("index", m.index.value());
  }
  if (m.kind == MessageKind::append || m.kind == MessageKind::heartbeat) field("commit", m.commit.value());
  if (m.kind == MessageKind::append_response && m.reject) {
    out += " hint " + std::to_string(m.hint_index.value()) + "@" + std::to_string(m.hint_term.value());
  }
  if (m.round != Round{} && m.kind != MessageKind::read_index && m.kind != MessageKind::read_index_response) {
    field("round", m.round.value());
  }
  if (m.in_doubt) out += " in-doubt";
  if (m.eager) out += " eager";
  if (m.restored_index != LogIndex{}) field("restored", m.restored_index.value());
  if (m.chunk.has_value()) {
    const SnapshotChunk& chunk = *m.chunk;
    field("snapshot", chunk.snapshot.id.value());
    out += " at " + std::to_string(chunk.snapshot.index.value()) + "@" +
           std::to_string(chunk.snapshot.term.value());
    out += " bytes " + std::to_string(chunk.offset) + ".." + std::to_string(chunk.end_offset()) + " of " +
           std::to_string(chunk.snapshot.total_bytes);
  }
  if (m.kind == MessageKind::snapshot_chunk_response) {
    field("snapshot", m.snapshot.value());
    field("stored", m.offset);
  }
  return out;
}

Status validate(const Message& message) {
  const Message& m = message;
  if (m.kind < MessageKind::pre_vote) return invalid("unknown kind");
  if (static_cast<std::uint8_t>(m.kind) > message_kind_max) return invalid("unknown kind");
  if (m.from == NodeId{}) return invalid("no sender");
  if (m.to == NodeId{}) return invalid("no receiver");
  if (m.from == m.to) return invalid("from its receiver");
  if (m.term == Term{}) return invalid("term zero");
  if (m.term > term_max) return invalid("term out of range");
  if (m.boot == BootId{}) return invalid("no boot");
  for (const LogIndex index : {m.index, m.commit, m.hint_index, m.restored_index}) {
    if (index > index_max) return invalid("index out of range");
  }
  if (has_position(m.kind)) {
    if ((m.index == LogIndex{}) != (m.log_term == Term{})) return invalid("position without term");
    if (m.log_term > m.term) return invalid("log term above the message's");
  }
  if (m.kind == MessageKind::pre_vote_response) {
    if ((m.index == LogIndex{}) != (m.log_term == Term{})) return invalid("position without term");
    if (m.index != LogIndex{} && !m.reject) return invalid("removed, and granted a pre-vote");
  }
  if (m.hint_term > m.term) return invalid("hint term above the message's");
  if (m.kind == MessageKind::append) {
    LS_RETURN_IF_ERROR(validate_entries(m));
  } else if (!m.entries.empty()) {
    return invalid("entries in a message that has none");
  }
  if (m.kind == MessageKind::snapshot_chunk) return validate_chunk(m);
  if (m.chunk.has_value()) return invalid("snapshot chunk in a message that has none");
  return {};
}

}  // namespace lockstep::raft
