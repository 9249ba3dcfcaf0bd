#include "server/metrics.h"

#include <array>
#include <string>
#include <string_view>

#include "platform/frame.h"

namespace lockstep::server {
namespace {

using gateway::MetricsText;

// Names of etcd that dashboards and alerts draw, with etcd's meaning and, where that is odd, etcd's type.
void write_etcd_names(const MemberSample& sample, MetricsText& text) {
  const replica::ReplicaMetrics& replica = sample.replica;
  text.counter("etcd_server_leader_changes_seen_total", "How often a leader became known.",
               replica.leader_changes);
  text.gauge("etcd_server_proposals_pending", "Batches of mutations that are not decided.",
             replica.proposals_pending);
  text.counter("etcd_server_proposals_failed_total", "Mutations answered with an error of the cluster.",
               replica.proposals_failed);
  text.histogram("etcd_disk_wal_fsync_duration_seconds", "Writing and syncing one group of the log.",
                 sample.disk.syncs);
  text.gauge("etcd_debugging_mvcc_keys_total", "Keys.", sample.keys);
  text.gauge("etcd_debugging_mvcc_watcher_total", "Watches.", replica.watch.watchers);
  text.gauge("etcd_debugging_mvcc_slow_watcher_total", "Watches that are being caught up.",
             replica.watch.watchers_lagging);
  text.counter("etcd_debugging_mvcc_events_total", "Events delivered to watches.",
               replica.watch.events_delivered);
  text.counter("etcd_network_peer_received_bytes_total", "From other members.",
               sample.network.bytes_received);
  text.counter("etcd_network_peer_sent_bytes_total", "To other members.", sample.network.bytes_sent);
}

void write_raft(const MemberSample& sample, MetricsText& text) {
  const replica::ReplicaStatus& status = sample.status;
  const replica::ReplicaMetrics& replica = sample.replica;
  text.family("lockstep_raft_role", MetricsText::Kind::gauge, "1 for the role that this member has.");
  constexpr std::array<std::string_view, 4> roles = {"follower", "pre_candidate", "candidate", "leader"};
  for (std::size_t role = 0; role < roles.size(); ++role)
    text.sample({{"role", roles[role]}}, static_cast<std::size_t>(status.role) == role ? 1 : 0);
  text.gauge("lockstep_raft_may_vote", "0 while this member is in doubt about its past.",
             status.may_vote ? 1 : 0);
  text.gauge("lockstep_raft_voters", "Members that vote, as this one knows them.",
             status.configuration.voters.size());
  text.gauge("lockstep_raft_learners", "Members that do not vote yet.", status.configuration.learners.size());
  text.counter("lockstep_raft_leader_changes_total", "How often a leader became known.",
               replica.leader_changes);
  text.gauge("lockstep_raft_commit_index", "The newest entry known to be committed.", status.commit.value());
  text.gauge("lockstep_raft_applied_index", "The newest entry applied.", status.applied.value());
  text.gauge("lockstep_raft_durable_index", "The newest entry durable here.", status.durable.value());
  text.counter("lockstep_raft_entries_applied_total", "Entries with commands applied.",
               replica.entries_applied);
  text.counter("lockstep_raft_handovers_total", "Leaderships given away since the disk stalled.",
               status.handovers);
  text.counter("lockstep_raft_appends_dropped_total",
               "Appends refused since engine or disk could not follow.", status.appends_dropped);
  text.counter("lockstep_raft_snapshots_refused_total",
               "Snapshots of a leader refused here, damaged or larger than the disk.",
               status.snapshots_refused);
  text.counter("lockstep_proposals_total", "Batches of mutations, proposed or sent to the leader.",
               replica.proposals);
  text.counter("lockstep_proposals_refused_total", "Batches answered \"too many requests\".",
               replica.proposals_refused);
  text.counter("lockstep_proposals_failed_total", "Mutations answered with an error of the cluster.",
               replica.proposals_failed);
  text.gauge("lockstep_proposals_pending", "Batches that are not decided.", replica.proposals_pending);
}

void write_log(const MemberSample& sample, MetricsText& text) {
  const log::Stats& log = sample.log;
  text.histogram("lockstep_log_sync_duration_seconds", "Writing and syncing one group of the log.",
                 sample.disk.syncs);
  text.counter("lockstep_log_written_bytes_total", "Bytes written, framing and padding included.", log.bytes);
  text.counter("lockstep_log_payload_bytes_total", "Bytes of entries.", log.payload_bytes);
  text.counter("lockstep_log_entries_total", "Entries appended.", log.entries);
  text.counter("lockstep_log_appends_total", "Appends; several share a group.", log.appends);
  text.counter("lockstep_log_groups_total", "Groups written, each by one sync.", log.groups);
  text.counter("lockstep_log_segments_made_total", "Segment files made.", log.segments_made);
  text.counter("lockstep_log_segments_reused_total", "Segment files used again.", log.segments_reused);
  text.counter("lockstep_log_segments_released_total", "Segment files no longer needed.",
               log.segments_released);
  text.counter("lockstep_log_segment_waits_total", "Groups that waited for a segment file.",
               log.waits_for_segment);
}

void write_store(const MemberSample& sample, MetricsText& text) {
  text.gauge("lockstep_store_keys", "Keys.", sample.keys);
  text.gauge("lockstep_store_leases", "Leases.", sample.leases);
  text.gauge("lockstep_store_revision", "The newest revision.",
             static_cast<std::uint64_t>(sample.status.revision.value()));
  text.gauge("lockstep_store_compacted_revision", "The oldest revision that can be read.",
             static_cast<std::uint64_t>(std::max(sample.compacted, Revision()).value()));
  text.gauge("lockstep_store_used_bytes", "Keys, values and kept history, as the quota counts them.",
             sample.used_bytes);
  text.gauge("lockstep_store_history_memory_bytes", "History in memory.", sample.history_memory_bytes);
  text.gauge("lockstep_engine_disk_bytes", "The engine's files.", sample.engine.disk_bytes);
  text.gauge("lockstep_engine_memory_bytes", "The engine's buffers and caches.", sample.engine.memory_bytes);
}

void write_watch(const watch::WatchMetrics& watch, MetricsText& text) {
  text.gauge("lockstep_watch_watchers", "Watches.", watch.watchers);
  text.gauge("lockstep_watch_watchers_lagging", "Watches that are being caught up.", watch.watchers_lagging);
  text.gauge("lockstep_watch_watchers_parked", "Watches whose client takes nothing.", watch.watchers_parked);
  text.counter("lockstep_watch_events_total", "Events delivered.", watch.events_delivered);
  text.counter("lockstep_watch_answers_total", "Answers with events or progress.", watch.answers);
  text.counter("lockstep_watch_parked_total", "How often a client was too slow.", watch.parked_total);
  text.counter("lockstep_watch_cancelled_compacted_total",
               "Watches cancelled since compaction overtook them.", watch.cancelled_compacted);
}

void write_network(const MemberSample& sample, MetricsText& text) {
  const platform::NetworkMetrics& network = sample.network;
  text.counter("lockstep_peer_sent_bytes_total", "To other members.", network.bytes_sent);
  text.counter("lockstep_peer_received_bytes_total", "From other members.", network.bytes_received);
  text.counter("lockstep_peer_sent_messages_total", "To other members.", network.messages_sent);
  text.counter("lockstep_peer_received_messages_total", "From other members.", network.messages_received);
  text.family("lockstep_peer_dropped_messages_total", MetricsText::Kind::counter, "Not sent, by why.");
  text.sample({{"reason", "queue_full"}}, network.dropped_queue_full);
  text.sample({{"reason", "not_connected"}}, network.dropped_not_connected);
  text.sample({{"reason", "unknown_peer"}}, network.dropped_unknown_peer);
  text.counter("lockstep_peer_connections_made_total", "Connections to members.", network.connections_made);
  text.counter("lockstep_peer_connections_lost_total", "Connections to members that ended.",
               network.connections_lost);
  text.counter("lockstep_peer_connects_failed_total", "Attempts to connect that failed.",
               network.connects_failed);
  text.counter("lockstep_peer_connections_accepted_total", "Connections at the peer port.",
               network.connections_accepted);
  text.counter("lockstep_peer_bad_messages_total", "Messages of members that cannot be read.",
               sample.replica.bad_messages);
  text.family("lockstep_peer_bad_input_total", MetricsText::Kind::counter,
              "At the peer port, by what was wrong.");
  for (std::size_t i = 1; i < network.bad_input.size(); ++i)  // the first is "none"
    text.sample({{"reason", to_string(static_cast<platform::BadInput>(i))}}, network.bad_input[i]);
}

void write_process(const MemberSample& sample, MetricsText& text) {
  const platform::ProcessMetrics& process = sample.process;
  text.counter_seconds("process_cpu_seconds_total", "CPU time, of all threads.", process.cpu);
  text.gauge("process_resident_memory_bytes", "Memory in use.", process.resident_bytes);
  text.gauge("process_virtual_memory_bytes", "Address space.", process.virtual_bytes);
  text.gauge("process_open_fds", "Open file descriptors.", process.descriptors_open);
  text.gauge("process_max_fds", "File descriptors allowed.", process.descriptors_max);
  text.gauge("process_threads", "Threads.", process.threads);
  text.family("process_start_time_seconds", MetricsText::Kind::gauge, "When it started, since 1970.");
  text.sample_seconds({}, sample.process_started);
}

}  // namespace

void write_metrics(const platform::ExecutorMetrics& strand, gateway::MetricsText* text) {
  text->counter("lockstep_strand_turns_total", "Rounds of the thread that does the work.", strand.turns);
  text->counter("lockstep_strand_sleeps_total", "How often it had nothing to do and slept.", strand.sleeps);
  text->counter("lockstep_strand_looks_total", "How often it first looked whether somebody asks or answers.",
                strand.looks);
  text->counter_seconds("lockstep_strand_look_seconds_total",
                        "How long it looked, by the clock; who else wanted the processor had it meanwhile.",
                        strand.looked);
}

void write_metrics(const MemberSample& sample, MetricsText* text) {
  write_etcd_names(sample, *text);
  write_raft(sample, *text);
  write_log(sample, *text);
  write_store(sample, *text);
  write_watch(sample.replica.watch, *text);
  write_network(sample, *text);
  write_metrics(sample.strand, text);
  write_process(sample, *text);
}

}  // namespace lockstep::server
