#include "store/testing/random_run.h"

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/prng.h"
#include "store/testing/machine.h"
#include "store/testing/model.h"
#include "store/testing/requests.h"
#include "store/validate.h"

namespace lockstep::store::testing {
namespace {

struct Mutation {
  Step step;
  RequestId id;
};

struct Client {
  ClientId id;
  std::uint64_t sent = 0;
  std::uint64_t unanswered_first = 1;
  std::map<std::uint64_t, std::pair<Step, std::optional<CommandResult>>> requests;  // by sequence
};

class Run {
 public:
  Run(std::uint64_t seed, RunTotals* totals)
      : prng_(seed),
        totals_(totals),
        leader_(StateMachineOptions{.compaction_steps_per_entry = prng_.between(1, 300)}),
        follower_(StateMachineOptions{.compaction_steps_per_entry = prng_.between(0, 10)}) {}

  std::optional<std::string> go(std::size_t entries) {
    register_clients();
    for (std::size_t i = 0; i < entries && failure_.empty(); ++i) {
      one_entry();
      if (failure_.empty()) compare_reads();
      if (prng_.chance(1, 25)) {
        (prng_.chance(1, 2) ? leader_ : follower_).restart();
        ++totals_->restarts;
      }
    }
    if (failure_.empty()) return std::nullopt;
    return failure_;
  }

 private:
  void fail(const std::string& what) {
    if (failure_.empty()) {
      failure_ = what + " (at index " + std::to_string(leader_->applied_index().value()) + ")";
    }
  }

  void register_clients() {
    const auto results = apply([](BatchBuilder& batch) {
      for (int i = 0; i < 3; ++i) LS_MUST(batch.register_client());
    });
    for (const CommandResult& result : results) {
      clients_.push_back({.id = std::get<RegisterClientResponse>(*result).client});
    }
  }

  // The same entry on both members.
  std::vector<CommandResult> apply(const std::function<void(BatchBuilder&)>& fill) {
    BatchBuilder batch;
    BatchHeader header{.store_time_ms = time_ms_};
    if (prng_.chance(1, 4)) header.digest_check = {leader_->applied_index(), leader_->digest()};
    batch.start(header);
    fill(batch);
    const std::string payload = batch.take();
    if (prng_.chance(1, 12)) {
      leader_.term = follower_.term = leader_.term.next();
      model_.begin_term();
      ++totals_->terms;
    }
    Answers answers;
    leader_.last = leader_.apply(payload, &answers);
    if (!leader_.last.fatal.ok()) fail("leader halts: " + leader_.last.fatal.to_string());
    const Applied followed = follower_.apply(payload, nullptr);
    if (!followed.fatal.ok()) fail("follower halts: " + followed.fatal.to_string());
    if (leader_->digest() != follower_->digest()) fail("digests differ");
    if (leader_->bytes_in_use() != follower_->bytes_in_use()) fail("bytes in use differ");
    return std::move(answers.results);
  }

  [[nodiscard]] Known known() const {
    Known known;
    known.revision = model_.revision();
    known.compacted = std::max<std::int64_t>(model_.compacted(), 0);
    known.leases = model_.leases();
    known.short_leases = true;
    return known;
  }

  static bool is_read(const Step& step) {
    return std::holds_alternative<RangeRequest>(step) ||
           std::holds_alternative<LeaseTimeToLiveRequest>(step) ||
           std::holds_alternative<LeaseLeasesResponse>(step);
  }

  static bool is_valid(const Step& step) {
    return std::visit(
        [](const auto& request) {
          if constexpr (requires { validate(request); }) {
            return validate(request).ok();
          } else {
            return true;
          }
        },
        step);
  }

  Mutation draw() {
    Client& client = clients_[prng_.below(clients_.size())];
    if (client.sent > 0 && prng_.chance(1, 8)) {
      const std::uint64_t sequence = prng_.between(1, client.sent);
      ++totals_->duplicates;
      return {client.requests.at(sequence).first,
              {client.id, Sequence(sequence), Sequence(std::min(sequence, client.unanswered_first))}};
    }
    Step step = generate(prng_, known());
    while (is_read(step) || !is_valid(step)) step = generate(prng_, known());
    if (std::holds_alternative<LeaseKeepAliveRequest>(step) || prng_.chance(1, 2)) return {step, {}};
    ++client.sent;
    if (client.sent - client.unanswered_first > 30) client.unanswered_first = client.sent - prng_.below(30);
    client.requests[client.sent] = {step, std::nullopt};
    return {step, {client.id, Sequence(client.sent), Sequence(client.unanswered_first)}};
  }

  static bool add(BatchBuilder& batch, const Mutation& mutation) {
    const RequestId& id = mutation.id;
    const Step& step = mutation.step;
    if (const auto* put = std::get_if<PutRequest>(&step)) return batch.put(*put, id);
    if (const auto* removal = std::get_if<DeleteRangeRequest>(&step)) return batch.delete_range(*removal, id);
    if (const auto* txn = std::get_if<TxnRequest>(&step)) return batch.txn(*txn, id);
    if (const auto* compact = std::get_if<CompactRequest>(&step)) return batch.compact(*compact, id);
    if (const auto* grant = std::get_if<LeaseGrantRequest>(&step)) return batch.lease_grant(*grant, id);
    if (const auto* revoke = std::get_if<LeaseRevokeRequest>(&step)) return batch.lease_revoke(*revoke, id);
    if (const auto* renew = std::get_if<LeaseKeepAliveRequest>(&step))
      return batch.lease_renew({{renew->id}});
    return batch.alarm(std::get<AlarmRequest>(step), id);
  }

  CommandResult execute_on_model(const Step& step) {
    if (const auto* put = std::get_if<PutRequest>(&step)) return model_.put(*put);
    if (const auto* removal = std::get_if<DeleteRangeRequest>(&step)) return model_.delete_range(*removal);
    if (const auto* txn = std::get_if<TxnRequest>(&step)) return model_.txn(*txn);
    if (const auto* compact = std::get_if<CompactRequest>(&step)) return model_.compact(*compact);
    if (const auto* grant = std::get_if<LeaseGrantRequest>(&step)) return model_.lease_grant(*grant);
    if (const auto* revoke = std::get_if<LeaseRevokeRequest>(&step)) return model_.lease_revoke(*revoke);
    if (const auto* renew = std::get_if<LeaseKeepAliveRequest>(&step)) return model_.lease_renew(renew->id);
    return model_.alarm(std::get<AlarmRequest>(step));
  }

  // Nothing: any refusal that has no effect will do.
  std::optional<CommandResult> expected(const Mutation& mutation) {
    if (!mutation.id.present()) return execute_on_model(mutation.step);
    for (Client& client : clients_) {
      if (client.id != mutation.id.client) continue;
      std::uint64_t& given_up = given_up_[client.id];
      given_up = std::max(given_up, mutation.id.unanswered_first.value());
      if (mutation.id.sequence.value() < given_up) return std::nullopt;
      auto& answer = client.requests.at(mutation.id.sequence.value()).second;
      if (!answer.has_value()) answer = execute_on_model(mutation.step);
      return answer;
    }
    LS_UNREACHABLE("every id is of a registered client");
  }

  void one_entry() {
    time_ms_ += static_cast<std::int64_t>(prng_.chance(1, 10) ? prng_.below(15'000) : prng_.below(700));
    std::vector<Mutation> mutations(prng_.chance(1, 5) ? 0 : prng_.between(1, 24));
    for (Mutation& mutation : mutations) mutation = draw();
    const std::size_t leases_before = model_.leases().size();
    const auto results = apply([&](BatchBuilder& batch) {
      for (const Mutation& mutation : mutations) LS_MUST(add(batch, mutation));
      if (mutations.empty()) LS_MUST(batch.nothing());
    });
    const std::int64_t revision_before = model_.revision();
    model_.set_time(time_ms_);
    totals_->expired_leases += leases_before - model_.leases().size();
    totals_->commands += mutations.size();
    for (std::size_t i = 0; i < mutations.size() && failure_.empty(); ++i) {
      const auto wanted = expected(mutations[i]);
      if (!results[i].ok()) ++totals_->errors;
      const bool same = !wanted.has_value() ? !results[i].ok()
                        : wanted->ok()      ? results[i].ok() && **wanted == *results[i]
                                            : wanted->status() == results[i].status();
      if (!same)
        fail("answer of command " + std::to_string(i) + " of kind " +
             std::to_string(mutations[i].step.index()) + " differs");
    }
    if (failure_.empty()) compare_effects(revision_before);
  }

  void compare_effects(std::int64_t revision_before) {
    const auto& block = leader_.last.effects;
    if (leader_->revision().value() != model_.revision()) return fail("revision differs");
    if (block == nullptr) {
      if (model_.revision() != revision_before) fail("effects are missing");
      return;
    }
    const auto decoded = EffectBlock::decode(std::string(block->encoded()));
    if (!decoded.ok()) return fail("effects do not decode: " + decoded.status().to_string());
    if (block->first_revision().value() != revision_before + 1)
      return fail("first revision of the effects differs");
    for (std::int64_t at = revision_before + 1; at <= model_.revision() && failure_.empty(); ++at) {
      std::set<std::string> changed;
      for (const auto& [key, kv] : model_.at(at)) {
        if (kv.mod_revision.value() == at) changed.insert(key);
      }
      for (const auto& [key, kv] : model_.at(at - 1)) {
        if (!model_.at(at).contains(key)) changed.insert(key);
      }
      for (std::size_t i = block->begin_of(Revision(at)); i < block->end_of(Revision(at)); ++i) {
        const EffectView effect = (*decoded)->effect(i);
        if (changed.erase(std::string(effect.row.key)) == 0) return fail("an effect too many");
        compare_effect(effect, at);
      }
      if (!changed.empty()) return fail("effects are missing");
    }
  }

  void compare_effect(const EffectView& effect, std::int64_t at) {
    const std::string key(effect.row.key);
    const Model::Keys& after = model_.at(at);
    const Model::Keys& before = model_.at(at - 1);
    if ((effect.kind == EffectKind::remove) == after.contains(key)) return fail("kind of an effect differs");
    if (effect.kind == EffectKind::put && effect.row.to_key_value() != after.at(key))
      fail("an effect differs");
    if (!before.contains(key)) {
      if (effect.previous_row.has_value()) fail("a row before that never was");
      return;
    }
    if (effect.previous_revision != before.at(key).mod_revision) fail("link to the version before differs");
    if (effect.previous_row.has_value() && effect.previous_row->to_key_value() != before.at(key)) {
      fail("the row before differs");
    }
  }

  void compare_reads() {
    for (int i = 0; i < 4 && failure_.empty(); ++i) {
      Step step = generate(prng_, known());
      if (const auto* request = std::get_if<RangeRequest>(&step)) {
        if (validate(*request).ok()) compare_range(*request);
      } else if (auto* txn = std::get_if<TxnRequest>(&step)) {
        leave_out_writes(txn);
        if (validate(*txn).ok()) compare_read_txn(*txn);
      }
    }
    RangeRequest everything{.key = std::string(1, '\0'), .range_end = std::string(1, '\0')};
    compare_range(everything);
    everything.revision = Revision(static_cast<std::int64_t>(
        prng_.between(static_cast<std::uint64_t>(std::max<std::int64_t>(model_.compacted(), 1)),
                      static_cast<std::uint64_t>(model_.revision()))));
    compare_range(everything);
    if (leader_->lease_leases().leases != model_.leases()) fail("leases differ");
    for (const LeaseId id : model_.leases()) {
      const auto keys = leader_->lease_time_to_live({id, true}, time_ms_).keys;
      if (std::set<std::string>(keys.begin(), keys.end()) != model_.keys_of(id))
        fail("keys of a lease differ");
    }
    if (leader_->key_count() != model_.at(model_.revision()).size()) fail("key count differs");
  }

  static void leave_out_writes(TxnRequest* txn) {
    for (auto* list : {&txn->success, &txn->failure}) {
      std::erase_if(*list, [](const RequestOperation& operation) {
        return std::holds_alternative<PutRequest>(operation.request) ||
               std::holds_alternative<DeleteRangeRequest>(operation.request);
      });
      for (RequestOperation& operation : *list) {
        if (auto* nested = std::get_if<TxnRequest>(&operation.request)) leave_out_writes(nested);
      }
    }
  }

  // Without an entry it answers as with one.
  void compare_read_txn(const TxnRequest& txn) {
    const CommandResult wanted = model_.txn(txn);
    const Result<TxnResponse> actual = leader_->read_txn(txn);
    const bool same =
        wanted.ok() ? actual.ok() && *wanted == Response(*actual) : wanted.status() == actual.status();
    if (!same) fail("a transaction that only reads differs");
    ++totals_->read_transactions;
  }

  void compare_range(const RangeRequest& request) {
    const auto wanted = model_.range(request);
    if (wanted.ok() && request.revision.value() > 0) ++totals_->historical_reads;
    for (Machine* machine : {&leader_, &follower_}) {
      const auto actual = (*machine)->range(request);
      const bool same = wanted.ok() ? actual.ok() && *wanted == *actual : wanted.status() == actual.status();
      if (!same) fail("a range at revision " + std::to_string(request.revision.value()) + " differs");
    }
  }

  Prng prng_;
  RunTotals* totals_;
  Machine leader_;
  Machine follower_;
  Model model_;
  std::vector<Client> clients_;
  std::map<ClientId, std::uint64_t> given_up_;
  std::int64_t time_ms_ = 1000;
  std::string failure_;
};

}  // namespace

std::optional<std::string> random_run(std::uint64_t seed, std::size_t entries, RunTotals* totals) {
  return Run(seed, totals).go(entries);
}

}  // namespace lockstep::store::testing
