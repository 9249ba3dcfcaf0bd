#include "store/testing/persistence_run.h"

#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "base/assert.h"
#include "base/prng.h"
#include "store/command.h"
#include "store/testing/machine.h"
#include "store/testing/persistent_member.h"
#include "store/testing/requests.h"
#include "store/validate.h"

namespace lockstep::store::testing {
namespace {

class Run {
 public:
  Run(std::uint64_t seed, PersistenceTotals* totals, const NewHome& home)
      : prng_(seed), totals_(totals), home_(home), member_(new_member()) {}

  std::optional<std::string> go(std::size_t entries) {
    register_clients();
    for (std::size_t i = 0; i < entries && failure_.empty(); ++i) {
      const std::uint64_t dice = prng_.below(100);
      one_entry();
      if (prng_.chance(2, 3)) catch_up();
      work();
      if (dice < 6) crash();
      if (dice >= 97) install();
    }
    catch_up();
    if (failure_.empty()) member_->settle();
    compare_reads(20);
    if (failure_.empty()) return std::nullopt;
    return failure_;
  }

 private:
  std::unique_ptr<PersistentMember> new_member() {
    return std::make_unique<PersistentMember>(random_member_options(prng_), log_, home_());
  }
  void fail(const std::string& what) {
    if (failure_.empty()) failure_ = what + " (at index " + std::to_string(log_.size()) + ")";
  }

  void entry(const std::function<void(BatchBuilder&)>& fill) {
    BatchBuilder batch;
    BatchHeader header{.store_time_ms = time_ms_};
    if (prng_.chance(1, 4)) header.digest_check = {reference_->applied_index(), reference_->digest()};
    batch.start(header);
    fill(batch);
    log_.push_back(batch.take());
    Answers answers;
    reference_.term = term_of(LogIndex(log_.size()));
    const Applied applied = reference_.apply(log_.back(), &answers);
    LS_MUST(applied.fatal.ok());
    digests_.push_back(reference_->digest());
    results_ = std::move(answers.results);
  }

  void register_clients() {
    entry([](BatchBuilder& batch) {
      for (int i = 0; i < 3; ++i) LS_MUST(batch.register_client());
    });
    for (const CommandResult& result : results_) {
      clients_.push_back({std::get<RegisterClientResponse>(*result).client});
    }
  }

  Known known() {
    Known known;
    known.revision = reference_->revision().value();
    known.compacted = std::max<std::int64_t>(reference_->compacted_revision().value(), 0);
    known.leases = reference_->lease_leases().leases;
    known.short_leases = true;
    return known;
  }

  // Half of the mutations carry a request id, some of them one that was used before.
  RequestId draw_id() {
    if (prng_.chance(1, 2)) return {};
    Client& client = clients_[prng_.below(clients_.size())];
    if (client.sent > 0 && prng_.chance(1, 6)) {
      return {client.id, Sequence(prng_.between(1, client.sent)), Sequence(1)};
    }
    return {client.id, Sequence(++client.sent), Sequence(client.sent > 20 ? client.sent - 20 : 1)};
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

  bool add(BatchBuilder& batch, const Step& step) {
    if (!is_valid(step)) return false;
    if (const auto* put = std::get_if<PutRequest>(&step)) return batch.put(*put, draw_id());
    if (const auto* removal = std::get_if<DeleteRangeRequest>(&step)) {
      return batch.delete_range(*removal, draw_id());
    }
    if (const auto* txn = std::get_if<TxnRequest>(&step)) return batch.txn(*txn, draw_id());
    if (const auto* compact = std::get_if<CompactRequest>(&step)) {
      ++totals_->compactions;
      return batch.compact(*compact, draw_id());
    }
    if (const auto* grant = std::get_if<LeaseGrantRequest>(&step)) {
      return batch.lease_grant(*grant, draw_id());
    }
    if (const auto* revoke = std::get_if<LeaseRevokeRequest>(&step)) {
      return batch.lease_revoke(*revoke, draw_id());
    }
    if (const auto* renew = std::get_if<LeaseKeepAliveRequest>(&step)) {
      return batch.lease_renew({{renew->id}});
    }
    return false;
  }

  void one_entry() {
    time_ms_ += static_cast<std::int64_t>(prng_.chance(1, 10) ? prng_.below(15'000) : prng_.below(700));
    entry([&](BatchBuilder& batch) {
      std::size_t added = 0;
      for (std::uint64_t wanted = prng_.below(20); added < wanted;) {
        if (add(batch, generate(prng_, known()))) ++added;
      }
      if (added == 0) LS_MUST(batch.nothing());
    });
  }

  void catch_up() {
    if (!failure_.empty()) return;
    member_->replay();
    if (!member_->fatal().ok()) return fail("the member halts: " + member_->fatal().to_string());
    const std::uint64_t index = member_->machine().applied_index().value();
    if (member_->machine().digest() != digests_[index - 1]) return fail("digests differ");
    compare_reads(2);
  }

  void work() {
    if (!failure_.empty()) return;
    member_->pump(prng_.chance(1, 2));
    for (std::uint64_t steps = prng_.below(8); steps > 0 && !member_->worker().idle(); --steps) {
      member_->worker().step();
    }
    if (prng_.chance(1, 10)) member_->persistence().request_flush();
    if (!member_->fatal().ok()) return fail("the member halts: " + member_->fatal().to_string());
    member_->release();
  }

  void crash() {
    if (!failure_.empty()) return;
    ++totals_->crashes;
    const LogIndex applied = member_->machine().applied_index();
    const LogIndex released = member_->released();
    const Status restarted = member_->crash(prng_);
    if (!restarted.ok()) return fail("the member does not start: " + restarted.to_string());
    const LogIndex recovered = member_->machine().applied_index();
    if (recovered < released) return fail("the log was released too early");
    if (recovered > applied) return fail("what was recovered leads the log");
    totals_->entries_lost += applied.value() - recovered.value();
    catch_up();
  }

  // A new member takes over from a snapshot of this one.
  void install() {
    if (!failure_.empty() || member_->persistence().engine_index() == LogIndex()) return;
    std::unique_ptr<PersistentMember> next = new_member();
    if (prng_.chance(1, 2)) {  // with a past of its own
      next->replay();
      next->settle();
    }
    const auto stream = next->install(*member_, prng_);
    if (!stream.ok()) return fail("the snapshot does not install: " + stream.status().to_string());
    ++totals_->installs;
    const std::uint64_t index = next->machine().applied_index().value();
    if (next->machine().digest() != digests_[index - 1]) return fail("the snapshot's digest differs");
    if (prng_.chance(1, 2)) {
      const Status restarted = next->crash(prng_);
      if (!restarted.ok()) return fail("the installed member does not start: " + restarted.to_string());
      if (next->machine().applied_index().value() < index) return fail("the installed snapshot was lost");
    }
    member_ = std::move(next);
    catch_up();
  }

  void compare_reads(std::size_t count) {
    if (!failure_.empty() || member_->machine().applied_index() != reference_->applied_index()) return;
    for (std::size_t i = 0; i < count && failure_.empty(); ++i) {
      RangeRequest everything{.key = std::string(1, '\0'), .range_end = std::string(1, '\0')};
      const auto oldest = std::max<std::int64_t>(reference_->compacted_revision().value(), 1);
      const auto newest = reference_->revision().value();
      everything.revision = Revision(static_cast<std::int64_t>(
          prng_.between(static_cast<std::uint64_t>(oldest), static_cast<std::uint64_t>(newest))));
      compare_range(everything);
      const Step step = generate(prng_, known());
      if (const auto* request = std::get_if<RangeRequest>(&step)) {
        if (validate(*request).ok()) compare_range(*request);
      }
    }
    if (member_->machine().lease_leases() != reference_->lease_leases()) fail("leases differ");
    if (member_->machine().next_deadline_ms() != reference_->next_deadline_ms()) fail("deadlines differ");
    if (member_->machine().key_count() != reference_->key_count()) fail("key count differs");
  }

  void compare_range(const RangeRequest& request) {
    const auto wanted = reference_->range(request);
    const auto actual = member_->machine().range(request);
    if (wanted.ok() && request.revision.value() > 0) ++totals_->historical_reads;
    const bool same = wanted.ok() ? actual.ok() && *wanted == *actual : wanted.status() == actual.status();
    if (same) return;
    fail("a range at revision " + std::to_string(request.revision.value()) + " differs" +
         (actual.ok() ? "" : ": " + actual.status().to_string()));
  }

  struct Client {
    ClientId id;
    std::uint64_t sent = 0;
  };

  Prng prng_;
  PersistenceTotals* totals_;
  const NewHome& home_;
  Log log_;
  std::vector<std::uint64_t> digests_;  // after each entry
  Machine reference_;
  std::unique_ptr<PersistentMember> member_;
  std::vector<Client> clients_;
  std::vector<CommandResult> results_;
  std::int64_t time_ms_ = 1000;
  std::string failure_;
};

}  // namespace

std::optional<std::string> persistence_run(std::uint64_t seed, std::size_t entries, PersistenceTotals* totals,
                                           const NewHome& home) {
  return Run(seed, totals, home).go(entries);
}

}  // namespace lockstep::store::testing
