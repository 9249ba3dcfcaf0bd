#include "store/state_machine.h"

#include <algorithm>
#include <chrono>

#include "base/assert.h"
#include "base/codec.h"
#include "store/applier.h"
#include "store/errors.h"
#include "store/reader.h"
#include "store/state.h"
#include "store/validate.h"

namespace lockstep::store {

StateMachine::StateMachine(StateMachineOptions options, ColdHistory* cold)
    : state_(std::make_unique<State>(options, cold)) {}
StateMachine::~StateMachine() = default;

Applied StateMachine::apply(LogIndex index, Term term, std::string_view payload, ResultSink* sink) {
  LS_MUST(!state_->restoring);
  LS_MUST(index == state_->applied_index.next());
  LS_MUST(term >= state_->applied_term);
  EffectBlockBuilder builder;
  return Applier(*state_, index, term, sink, builder).apply(payload);
}

void StateMachine::skip(LogIndex index, Term term) {
  const Applied applied = apply(index, term, {}, nullptr);
  LS_MUST(applied.fatal.ok());
  LS_MUST(applied.reclaimed_keys.empty());
}

Result<RangeResponse> StateMachine::range(const RangeRequest& request) const {
  return Reader(state_->index, state_->history, state_->revision, state_->compacted).range(request);
}

std::optional<RowView> StateMachine::get(std::string_view key) const {
  const Node* node = state_->index.find(key);
  if (node == nullptr || node->is_tombstone()) return std::nullopt;
  return node->row();
}

void StateMachine::prefetch(std::string_view key) const {
  state_->index.prefetch(Index::hash(key));
}

LeaseTimeToLiveResponse StateMachine::lease_time_to_live(const LeaseTimeToLiveRequest& request,
                                                         std::int64_t store_now_ms) const {
  LeaseTimeToLiveResponse response;
  response.header.revision = state_->revision;
  response.id = request.id;
  const std::optional<LeaseTerms> terms = lease(request.id);
  if (!terms.has_value()) return response;
  response.found = true;
  response.granted_ttl = std::chrono::milliseconds(terms->ttl_ms);
  // What is left for certain: of this millisecond, too, a part has passed.
  const std::int64_t remaining_ms =
      std::clamp<std::int64_t>(terms->deadline_ms - 1 - store_now_ms, 0, terms->ttl_ms);
  response.remaining = std::chrono::milliseconds(remaining_ms);
  if (request.keys) {
    for (const Node* node : state_->leases.keys(request.id)) response.keys.emplace_back(node->key());
  }
  return response;
}

std::optional<LeaseTerms> StateMachine::lease(LeaseId id) const {
  std::optional<LeaseTerms> terms = state_->leases.find(id);
  if (terms.has_value()) terms->deadline_ms = state_->deadline_ms(*terms);
  return terms;
}

LeaseLeasesResponse StateMachine::lease_leases() const {
  return {{.revision = state_->revision}, state_->leases.ids()};
}

std::vector<Alarm> StateMachine::alarms(AlarmKind kind) const {
  std::vector<Alarm> alarms;
  for (const Alarm& alarm : state_->alarms) {
    if (kind == AlarmKind::none || kind == alarm.kind) alarms.push_back(alarm);
  }
  return alarms;
}

Status StateMachine::State::check_space() const {
  const bool exhausted =
      std::ranges::any_of(alarms, [](const Alarm& alarm) { return alarm.kind == AlarmKind::no_space; });
  return exhausted ? errors::no_space() : Status();
}

Status StateMachine::admit(const PutRequest& request) const {
  LS_RETURN_IF_ERROR(validate(request));
  return state_->check_space();
}

Status StateMachine::admit(const TxnRequest& request) const {
  LS_RETURN_IF_ERROR(validate(request));
  return may_put(request) ? state_->check_space() : Status();
}

Status StateMachine::admit(const LeaseGrantRequest& request) const {
  LS_RETURN_IF_ERROR(state_->check_space());
  return validate(request);
}

const AuthState& StateMachine::auth() const {
  return state_->auth;
}
Authoriser StateMachine::authoriser(Principal principal) const {
  return {state_->auth, state_->leases, principal};
}

Revision StateMachine::revision() const {
  return state_->revision;
}
Revision StateMachine::compacted_revision() const {
  return std::max(state_->compacted, Revision{});
}
LogIndex StateMachine::applied_index() const {
  return state_->applied_index;
}
Term StateMachine::applied_term() const {
  return state_->applied_term;
}
std::int64_t StateMachine::store_time_ms() const {
  return state_->store_time_ms;
}
std::optional<std::int64_t> StateMachine::next_deadline_ms() const {
  return state_->leases.next_deadline_ms();
}
std::uint64_t StateMachine::bytes_in_use() const {
  return state_->space.bytes_in_use();
}
std::size_t StateMachine::lease_count() const {
  return state_->leases.size();
}

std::size_t StateMachine::key_count() const {
  return state_->index.live_count();
}
std::uint64_t StateMachine::digest() const {
  return state_->digests.newest();
}
std::optional<std::uint64_t> StateMachine::digest_at(LogIndex index) const {
  return state_->digests.at(index);
}
History& StateMachine::history() {
  return state_->history;
}

Result<std::uint64_t> StateMachine::content_hash(Revision revision) const {
  RangeRequest everything;
  everything.key = std::string(1, '\0');
  everything.range_end = everything.key;
  everything.revision = revision;
  const Reader own(state_->index, state_->history, state_->revision, state_->compacted, SIZE_MAX);
  LS_ASSIGN_OR_RETURN(const RangeResponse response, own.range(everything));
  std::uint64_t hash = 0;
  std::string encoded;
  for (const KeyValue& kv : response.kvs) {
    encoded.clear();
    Encoder encoder(&encoded);
    encoder.bytes(kv.key);
    encoder.bytes(kv.value);
    encoder.id(kv.create_revision);
    encoder.id(kv.mod_revision);
    encoder.signed_varint(kv.version);
    encoder.id(kv.lease);
    hash = hash_bytes(encoded, hash);
  }
  return hash;
}

bool StateMachine::State::reclaim(std::size_t steps_max, std::vector<std::string>* reclaimed_keys) {
  for (std::size_t step = 0; step < steps_max; ++step) {
    if (tombstones.empty() || tombstones.front().revision > compacted) return false;
    const Buried buried = tombstones.front();
    tombstones.pop_front();
    if (!buried.node->is_tombstone() || buried.node->mod_revision() != buried.revision) continue;
    if (reclaimed_keys != nullptr) reclaimed_keys->emplace_back(buried.node->key());
    index.erase(buried.node);
  }
  return true;
}

bool StateMachine::compaction_step(std::size_t steps_max, std::vector<std::string>* reclaimed_keys) {
  const bool tombstones_left = state_->reclaim(steps_max, reclaimed_keys);
  const bool history_left = state_->history.compact_step(steps_max);
  return tombstones_left || history_left;
}

}  // namespace lockstep::store
