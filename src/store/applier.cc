#include "store/applier.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "store/authorise.h"
#include "store/errors.h"
#include "store/txn_path.h"

namespace lockstep::store {
namespace {

// Added to an entry's own size to guess the size of its effects.
constexpr std::size_t effect_overhead_bytes = 16;

// splitmix64's mixing (Steele, Lea, Flood): spreads chosen lease ids.
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace

Applied Applier::apply(std::string_view payload) {
  payload_bytes_ = payload.size();
  // Renewals that the last leader had answered and not yet logged are lost with it.
  if (term_ > state_.applied_term && !LS_PLANTED(lease_end_after_old_leader)) {
    const bool first = state_.applied_term == Term{} || LS_PLANTED(term_forgets_late_renewals);
    state_.term_began_ms = state_.store_time_ms + (first ? 0 : limits::lease_confirmation_age_ms_max);
  }
  if (!payload.empty()) {
    // Not for skip(), whose caller takes no changes.
    state_.reclaim(state_.options.compaction_steps_per_entry, &applied_.reclaimed_keys);
    applied_.fatal = run(payload);
  }
  if (applied_.fatal.ok()) finish();
  state_.history.set_open(nullptr);
  return std::move(applied_);
}

Status Applier::run(std::string_view payload) {
  BatchReader reader(payload);
  LS_RETURN_IF_ERROR(reader.status());
  state_.store_time_ms = std::max(state_.store_time_ms, reader.header().store_time_ms);
  if (reader.header().digest_check.has_value()) {
    LS_RETURN_IF_ERROR(check_digest(*reader.header().digest_check));
  }
  expire_leases();
  std::array<Pending, group_size> group;
  while (true) {
    std::size_t count = 0;
    while (count < group_size && reader.next(&group[count].command)) ++count;
    LS_RETURN_IF_ERROR(reader.status());
    if (count == 0) return {};
    prepare(std::span(group).first(count));
    for (std::size_t i = 0; i < count; ++i) LS_RETURN_IF_ERROR(execute(group[i]));
  }
}

Status Applier::check_digest(const DigestCheck& check) const {
  const std::optional<std::uint64_t> own = state_.digests.at(check.index);
  if (!own.has_value() || *own == check.digest) return {};
  return {Code::corruption,
          "state digest at index " + std::to_string(check.index.value()) + " differs from the leader's"};
}

void Applier::prepare(std::span<Pending> group) {
  for (Pending& pending : group) {
    const auto* put = std::get_if<PutCommand>(&pending.command.body);
    pending.node = nullptr;
    if (put == nullptr) continue;
    pending.hash = Index::hash(put->key);
    state_.index.prefetch(pending.hash);
  }
  for (Pending& pending : group) {
    const auto* put = std::get_if<PutCommand>(&pending.command.body);
    if (put == nullptr) continue;
    pending.node = state_.index.find(put->key, pending.hash);
    if (pending.node != nullptr) pending.node->prefetch_value();
  }
}

Status Applier::execute(Pending& pending) {
  const RequestId request_id = pending.command.request_id;
  answering_ = sink_ != nullptr || request_id.present();
  if (LS_PLANTED(revision_reused_after_delete)) close_planted(pending);
  const bool once = request_id.present() && !LS_PLANTED(request_id_ignored);
  std::optional<CommandResult> result;
  if (state_.auth.enabled()) {
    if (const Status denied = authorise(pending.command); !denied.ok()) result = denied;
  }
  const bool allowed = !result.has_value();
  if (allowed && once) {
    result = state_.clients.admit(request_id, index_, &applied_.meta);
  }
  if (!result.has_value()) {
    result = dispatch(pending);
    LS_MUST(!changing_ || LS_PLANTED(revision_reused_after_delete), "a command closes its revision");
    if (!result->ok()) {
      const Code code = result->status().code();
      if (code == Code::corruption || code == Code::io_error) return result->status();
    }
    if (once) state_.clients.keep(request_id, *result, &applied_.meta);
  }
  if (sink_ != nullptr) sink_->on_result(position_, *std::move(result));
  ++position_;
  return {};
}

// Before anything else, so that who may not do a thing does not learn what became of it either. A denial
// leaves no trace: the same request may be allowed later.
Status Applier::authorise(const Command& command) const {
  const RequestId& request_id = command.request_id;
  const Status denied = Authoriser(state_.auth, state_.leases, command.principal).check(command);
  if (!denied.ok()) {
    // It did take effect when it was allowed: "denied" would deny that (I7).
    return request_id.present() && state_.clients.has_answer(request_id) ? errors::answer_withheld() : denied;
  }
  if (!request_id.present() || command.principal.is_cluster()) return {};
  const auto* user = state_.auth.find_user(command.principal);
  LS_MUST(user != nullptr, "nobody and outdated credentials were denied");
  return state_.clients.belongs_to(request_id.client, user->second.id) ? Status() : errors::client_unknown();
}

// The planted bug must get past the assertions that a key changes once in a revision.
void Applier::close_planted(const Pending& pending) {
  const auto* put = std::get_if<PutCommand>(&pending.command.body);
  const Node* node = put == nullptr ? nullptr : state_.index.find(put->key);
  if (put != nullptr && (node == nullptr || node->mod_revision() < visible_revision())) return;
  close_revision();
}

CommandResult Applier::dispatch(Pending& pending) {
  const Command& command = pending.command;
  switch (command.kind()) {
    case CommandKind::put:
      return do_put(std::get<PutCommand>(command.body), pending.hash, pending.node);
    case CommandKind::delete_range:
      return do_delete_range(std::get<DeleteRangeCommand>(command.body));
    case CommandKind::txn:
      return do_txn(std::get<TxnRequest>(command.body));
    case CommandKind::compact:
      return do_compact(std::get<CompactCommand>(command.body));
    case CommandKind::lease_grant:
      return do_lease_grant(std::get<LeaseGrantCommand>(command.body));
    case CommandKind::lease_revoke:
      return do_lease_revoke(std::get<LeaseRevokeCommand>(command.body));
    case CommandKind::lease_renew:
      return do_lease_renew(std::get<LeaseRenewCommand>(command.body));
    case CommandKind::alarm:
      return do_alarm(std::get<AlarmRequest>(command.body));
    case CommandKind::register_client:
      return do_register_client(command.principal);
    case CommandKind::auth:
      return do_auth(std::get<AuthChange>(command.body));
    case CommandKind::nothing:
      return Response(NothingResponse{{.revision = state_.revision}});
  }
  LS_UNREACHABLE("the reader admits no other kind");
}

void Applier::finish() {
  if (LS_PLANTED(revision_reused_after_delete)) close_revision();
  LS_MUST(!changing_);
  state_.history.set_open(nullptr);
  if (block_open_) applied_.effects = builder_.finish();
  std::string_view effects;
  if (applied_.effects != nullptr) {
    LS_MUST(applied_.effects->last_revision() == state_.revision);
    effects = applied_.effects->encoded();
    state_.space.add_history(state_.revision, effects.size(), &applied_.meta);
    state_.history.append(applied_.effects);
  }
  LS_MUST(state_.history.newest() == state_.revision);
  state_.applied_index = index_;
  state_.applied_term = term_;
  state_.digests.append(index_, term_, {state_.store_time_ms, state_.term_began_ms}, effects, applied_.meta);
  state_.history.compact_step(state_.options.compaction_steps_per_entry);
}

void Applier::open_revision() {
  if (changing_) return;
  if (!block_open_) {
    builder_.start(state_.revision.next(), payload_bytes_ * 9 / 8 + effect_overhead_bytes * 4,
                   std::min(payload_bytes_ / effect_overhead_bytes + 1, limits::entry_commands_max));
    state_.history.set_open(&builder_);
    block_open_ = true;
  }
  builder_.begin_revision(state_.revision.next());
  changing_ = true;
}

void Applier::close_revision() {
  if (!changing_) return;
  state_.revision = state_.revision.next();
  changing_ = false;
  LS_MUST(builder_.last_revision() == state_.revision);
}

Revision Applier::previous_revision(const Node& node) const {
  // A compacted tombstone counts as nothing, whether the index still holds it or not: pacing must not show.
  if (node.is_tombstone() && node.mod_revision() <= state_.compacted) return Revision{};
  return node.mod_revision();
}

std::optional<RowView> Applier::previous_row(const Node& node) const {
  if (node.is_tombstone() || node.mod_revision() > state_.compacted) return std::nullopt;
  return node.row();
}

void Applier::write(std::string_view key, std::uint64_t hash, Node* node, std::string_view value,
                    LeaseId lease) {
  open_revision();
  RowView row{key, value, visible_revision(), visible_revision(), 1, lease};
  if (node == nullptr) {
    builder_.put(row, Revision{}, std::nullopt);
    node = state_.index.insert(hash, row, Revision{});
  } else {
    const Revision previous = previous_revision(*node);
    if (!node->is_tombstone()) {
      row.create_revision = node->create_revision();
      row.version = node->version() + 1;
      state_.space.remove_row(key.size(), node->value().size());
    }
    builder_.put(row, previous, previous_row(*node));
    const LeaseId lease_before = node->lease();
    state_.index.put(node, row, previous);
    if (lease_before != lease && lease_before != LeaseId{}) state_.leases.detach(lease_before, node);
    if (lease_before == lease) lease = LeaseId{};  // stays attached
  }
  state_.space.add_row(key.size(), value.size());
  if (lease != LeaseId{}) state_.leases.attach(lease, node);
}

void Applier::remove(Node* node) {
  LS_MUST(!node->is_tombstone());
  open_revision();
  const Revision previous = previous_revision(*node);
  builder_.remove(node->key(), previous, previous_row(*node));
  if (node->lease() != LeaseId{}) state_.leases.detach(node->lease(), node);
  state_.space.remove_row(node->key().size(), node->value().size());
  state_.index.bury(node, visible_revision(), previous);
  state_.tombstones.push_back({visible_revision(), node});
}

CommandResult Applier::do_put(const PutCommand& put, std::uint64_t hash, Node* node) {
  if (node == nullptr) node = state_.index.find(put.key, hash);  // an earlier command may have made it
  LeaseId lease = put.lease;
  if (lease != LeaseId{} && !state_.leases.contains(lease)) return errors::lease_not_found();
  const bool exists = node != nullptr && !node->is_tombstone();
  if ((put.ignore_value || put.ignore_lease) && !exists) return errors::key_not_found();
  PutResponse response;
  if (put.prev_kv && exists && answering()) response.prev_kv = node->row().to_key_value();
  if (put.ignore_lease) lease = node->lease();
  write(put.key, hash, node, put.ignore_value ? node->value() : put.value, lease);
  close_revision();
  response.header.revision = state_.revision;
  return Response(std::move(response));
}

std::int64_t Applier::remove_range(const KeyRange& range, bool prev_kv, std::vector<KeyValue>* prev_kvs) {
  std::vector<Node*> nodes;
  const auto visit = [&](Node* node) {
    if (!node->is_tombstone()) nodes.push_back(node);
    return true;
  };
  state_.index.visit(range, visit, has_none_live);
  for (Node* node : nodes) {
    if (prev_kv && answering()) prev_kvs->push_back(node->row().to_key_value());
    remove(node);
  }
  return static_cast<std::int64_t>(nodes.size());
}

CommandResult Applier::do_delete_range(const DeleteRangeCommand& removal) {
  std::size_t answer_bytes = 0;
  if (removal.prev_kv) {
    const RangeRequest removed{.key = std::string(removal.key), .range_end = std::string(removal.range_end)};
    LS_RETURN_IF_ERROR(add_answer_bytes(reader(), removed, &answer_bytes));
  }
  DeleteRangeResponse response;
  response.deleted =
      remove_range(KeyRange(removal.key, removal.range_end), removal.prev_kv, &response.prev_kvs);
  if (!LS_PLANTED(revision_reused_after_delete)) close_revision();
  response.header.revision = visible_revision();
  return Response(std::move(response));
}

CommandResult Applier::do_compact(const CompactCommand& compact) {
  if (compact.revision <= state_.compacted) return errors::compacted();
  if (compact.revision > state_.revision) return errors::future_revision();
  state_.compacted = compact.revision;
  state_.space.compact(compact.revision, &applied_.meta);
  state_.history.compact(compact.revision);
  return Response(CompactResponse{{.revision = state_.revision}});
}

CommandResult Applier::do_lease_grant(const LeaseGrantCommand& grant) {
  LeaseId id = grant.id;
  if (id != LeaseId{} && state_.leases.contains(id)) return errors::lease_exists();
  // The same place in the log gives the same id on every member.
  std::uint64_t seed = mix(term_.value()) ^ mix(index_.value() * limits::entry_commands_max + position_);
  while (id == LeaseId{} || state_.leases.contains(id)) {
    seed = mix(seed + 0x9e3779b97f4a7c15);
    id = LeaseId(static_cast<std::int64_t>(seed & static_cast<std::uint64_t>(INT64_MAX)));
  }
  const LeaseTerms terms{grant.ttl_ms, lease_deadline_ms(state_.store_time_ms, grant.ttl_ms)};
  state_.leases.grant(id, terms);
  applied_.meta.push_back({lease_row_key(id), encode_lease_row(terms)});
  return Response(
      LeaseGrantResponse{{.revision = state_.revision}, id, std::chrono::milliseconds(grant.ttl_ms)});
}

// All of a lease's keys go in one revision, in key order, then the lease.
void Applier::end_lease(LeaseId id) {
  LS_MUST(!changing_);
  for (Node* node : state_.leases.keys(id)) remove(node);
  close_revision();
  state_.leases.remove(id);
  applied_.meta.push_back({lease_row_key(id), std::nullopt});
}

CommandResult Applier::do_lease_revoke(const LeaseRevokeCommand& revoke) {
  if (!state_.leases.contains(revoke.id)) return errors::lease_not_found();
  end_lease(revoke.id);
  return Response(LeaseRevokeResponse{{.revision = state_.revision}});
}

CommandResult Applier::do_lease_renew(const LeaseRenewCommand& renew) {
  LeaseRenewResponse response;
  response.header.revision = state_.revision;
  if (answering()) response.renewals.reserve(renew.ids.size());
  for (const LeaseId id : renew.ids) {
    LeaseKeepAliveResponse renewal;
    renewal.id = id;
    if (const auto terms = state_.leases.find(id)) {
      // A term's beginning may have given it more than that.
      const std::int64_t deadline_ms = lease_deadline_ms(state_.store_time_ms, terms->ttl_ms);
      const LeaseTerms renewed{terms->ttl_ms, std::max(terms->deadline_ms, deadline_ms)};
      if (!LS_PLANTED(lease_renewal_lost)) {
        set_lease(id, renewed);
      }
      renewal.ttl = std::chrono::milliseconds(terms->ttl_ms);
    }
    if (answering()) response.renewals.push_back(renewal);
  }
  return Response(std::move(response));
}

void Applier::set_lease(LeaseId id, LeaseTerms terms) {
  state_.leases.set_deadline(id, terms.deadline_ms);
  applied_.meta.push_back({lease_row_key(id), encode_lease_row(terms)});
}

// The table's order is by the stored deadlines: one that is due may have more time, and is then put in its
// place.
void Applier::expire_leases() {
  for (std::size_t ended = 0; ended < limits::lease_expiries_per_entry_max; ++ended) {
    const std::int64_t early_ms = LS_PLANTED(lease_expires_early) ? 1000 : 0;
    const std::optional<LeaseId> due = state_.leases.first_due(state_.store_time_ms + early_ms);
    if (!due.has_value()) return;
    const LeaseTerms terms = *state_.leases.find(*due);
    const std::int64_t deadline_ms = state_.deadline_ms(terms);
    if (deadline_ms > state_.store_time_ms + early_ms) {
      set_lease(*due, {terms.ttl_ms, deadline_ms});
    } else {
      end_lease(*due);
    }
  }
}

CommandResult Applier::do_alarm(const AlarmRequest& request) {
  AlarmResponse response;
  response.header.revision = state_.revision;
  const auto position = std::ranges::lower_bound(state_.alarms, request.alarm);
  const bool active = position != state_.alarms.end() && *position == request.alarm;
  switch (request.action) {
    case AlarmAction::get:
      for (const Alarm& alarm : state_.alarms) {
        if (request.alarm.kind == AlarmKind::none || request.alarm.kind == alarm.kind) {
          response.alarms.push_back(alarm);
        }
      }
      break;
    case AlarmAction::activate:
      if (!active) {
        if (state_.alarms.size() >= limits::alarms_max) return errors::too_many_alarms();
        state_.alarms.insert(position, request.alarm);
        applied_.meta.push_back({alarm_row_key(request.alarm), std::string()});
      }
      response.alarms.push_back(request.alarm);
      break;
    case AlarmAction::deactivate:
      if (active) {
        state_.alarms.erase(position);
        applied_.meta.push_back({alarm_row_key(request.alarm), std::nullopt});
        response.alarms.push_back(request.alarm);
      }
      break;
  }
  return Response(std::move(response));
}

CommandResult Applier::do_register_client(Principal principal) {
  const auto* user = state_.auth.enabled() ? state_.auth.find_user(principal) : nullptr;
  const ClientId client = state_.clients.register_client(index_, position_, &applied_.meta,
                                                         user == nullptr ? UserId{} : user->second.id);
  return Response(RegisterClientResponse{{.revision = state_.revision}, client});
}

CommandResult Applier::do_auth(const AuthChange& change) {
  LS_RETURN_IF_ERROR(state_.auth.apply(change, &applied_.meta));
  return Response(AuthResponse{{.revision = state_.revision}});
}

}  // namespace lockstep::store
