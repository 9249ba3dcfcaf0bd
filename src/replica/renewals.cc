// Renewals of leases (docs/decisions/0026). The leader answers from memory what lives in a state that a
// lately confirmed leader has applied, and logs it a little later (unlogged_renewals.h); everybody else
// passes them on.
#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "replica/replica.h"

namespace lockstep::replica {
namespace {

// After raft took no entry of renewals.
constexpr Duration log_retry_interval = 10ms;

constexpr Duration confirmation_age_max = std::chrono::milliseconds(limits::lease_confirmation_age_ms_max);

// No lease. Its renewal renews nothing and is answered when every renewal answered before is applied. As its
// TTL the leader says its store time; an entry that had to decide says none, and has just been stamped.
constexpr LeaseId no_lease{};

// False: its end may be in the log already; only an entry decides.
bool decided_in_memory(const store::StateMachine& machine, LeaseId id, std::int64_t store_now_ms) {
  const std::optional<store::LeaseTerms> lease = machine.lease(id);
  return !lease || lease->deadline_ms > store_now_ms;
}

}  // namespace

std::int64_t Replica::leader_time_ms() {
  const std::int64_t applied_ms = machine_->store_time_ms();
  // It leads and was not told yet: the clock is of an earlier leadership, or of none.
  if (store_clock_term_ != raft_->term()) return applied_ms;
  return std::max(store_clock_.read_ms(now()), applied_ms);
}

void Replica::lease_keep_alive(store::LeaseKeepAliveRequest request, store::CallOptions options,
                               store::Callback<store::LeaseKeepAliveResponse> done) {
  Status why;
  if (refuse_call(options, &why)) return done(why);
  // A leader judges once it knows that its state is current.
  if (!raft_->is_leader() && !machine_->authoriser(options.principal).check(request).ok()) {
    return when_current(options,
                        [this, request, options, done = std::move(done)](const Status& status) mutable {
                          if (!status.ok()) return done(status);
                          const Status denied = machine_->authoriser(options.principal).check(request);
                          if (!denied.ok()) return done(denied);
                          lease_keep_alive(request, std::move(options), std::move(done));
                        });
  }
  // Among members it means something else: no caller says it to the leader.
  if (request.id == no_lease) {
    return when_current(
        options, [this, request, options, done = std::move(done)](const Status& status) mutable {
          if (!status.ok()) return done(status);
          if (const Status denied = machine_->authoriser(options.principal).check(request); !denied.ok())
            return done(denied);
          store::LeaseKeepAliveResponse none;
          none.header = header();
          done(std::move(none));
        });
  }
  renewals_.push_back({request.id, options.principal, std::move(done)});
  schedule_flush();
}

void Replica::flush_renewals() {
  if (!renewals_.empty()) flush_own_renewals(std::exchange(renewals_, {}));
  for (ForwardedBatch& forwarded : std::exchange(forwarded_renewals_, {})) {
    take_forwarded_renewals(std::move(forwarded));
  }
}

// All of a turn share one confirmation that this member leads, or one message to who does.
void Replica::flush_own_renewals(std::vector<RenewalWaiter> all) {
  if (!raft_->is_leader()) return renew_in_log(std::move(all));
  const Term term = raft_->term();
  if (may_renew_at_once(term)) all = answer_renewals(std::move(all));
  if (all.empty()) return;
  reads_.add({[this, all = std::move(all), term](const Status& status) mutable {
                if (status.ok()) return answer_confirmed_renewals(std::move(all), term);
                for (RenewalWaiter& waiter : all) waiter.done(status);
              },
              now() + options_.request_timeout});
}

// The way of members that do not lead, and of leases whose end may be in the log already: one command of ids
// only for each user, answered when it is applied.
void Replica::renew_in_log(std::vector<RenewalWaiter> waiters) {
  std::map<store::Principal, std::vector<RenewalWaiter>> by_user;
  for (RenewalWaiter& waiter : waiters) by_user[waiter.principal].push_back(std::move(waiter));
  store::BatchBuilder builder;
  PendingBatch batch;
  const auto start = [&] {
    store::BatchHeader header;
    if (raft_->is_leader()) header.store_time_ms = leader_time_ms();
    builder.start(header);
  };
  start();
  const auto add = [&](const store::Principal& principal, std::vector<RenewalWaiter> of_user) {
    std::vector<LeaseId> ids;
    ids.reserve(of_user.size());
    for (const RenewalWaiter& waiter : of_user) ids.push_back(waiter.id);
    if (!builder.lease_renew(ids, principal)) {
      submit_batch(builder.take(), std::exchange(batch, {}));
      start();
      const bool added = builder.lease_renew(ids, principal);
      LS_MUST(added, "the first command of a batch fits");
    }
    batch.add(pending(std::move(of_user), store::CallOptions{}));
  };
  for (auto& [principal, of_user] : by_user) {
    while (of_user.size() > limits::lease_renewals_per_command_max) {
      const auto rest = of_user.begin() + limits::lease_renewals_per_command_max;
      std::vector<RenewalWaiter> first(std::move_iterator(of_user.begin()), std::move_iterator(rest));
      of_user.erase(of_user.begin(), rest);
      add(principal, std::move(first));
    }
    add(principal, std::move(of_user));
  }
  submit_batch(builder.take(), std::move(batch));
  schedule_flush();
}

// ---- the leader

// Another term's confirmation says nothing about this one.
bool Replica::may_renew_in_memory(Term term) const {
  return raft_->is_leader() && raft_->term() == term && store_clock_term_ == term;
}

// Was it confirmed lately that nobody else leads, and is what it knows to be committed applied? Then a lease
// that is there may be renewed: a later term cannot have ended it, unless somebody revoked it. That there is
// none, or that somebody may not renew it, must not be said by a leader that was replaced.
bool Replica::may_renew_at_once(Term term) {
  if (!may_renew_in_memory(term) || machine_->applied_index() < raft_->commit_index()) return false;
  if (LS_PLANTED(renewal_unconfirmed)) return true;
  const TimePoint present = now();
  return raft_->confirmed_at(present) >= present - confirmation_age_max;
}

// False: there is none, or its end may be in the log already.
bool Replica::renew_in_memory(LeaseId id, std::int64_t store_now_ms,
                              store::LeaseKeepAliveResponse* response) {
  const std::optional<store::LeaseTerms> lease = machine_->lease(id);
  if (!lease || lease->deadline_ms <= store_now_ms) return false;
  unlogged_renewals_.note(now(), id, store_now_ms, lease->deadline_ms);
  response->header = header();
  response->id = id;
  response->ttl = std::chrono::milliseconds(lease->ttl_ms);
  return true;
}

void Replica::hold_clock() {
  if (LS_PLANTED(clock_passes_renewal)) return;
  store_clock_.hold_below(now(), unlogged_renewals_.ceiling_ms());
}

// Answers those that are renewed and returns the others, in their order. A callback may propose: not before
// the clock is held.
std::vector<RenewalWaiter> Replica::answer_renewals(std::vector<RenewalWaiter> waiters) {
  const std::int64_t store_now_ms = leader_time_ms();
  std::vector<store::LeaseKeepAliveResponse> answers;
  answers.reserve(waiters.size());
  std::vector<RenewalWaiter> renewed;
  renewed.reserve(waiters.size());
  std::vector<RenewalWaiter> rest;
  const auto authorised = [&](const RenewalWaiter& waiter) {
    return machine_->authoriser(waiter.principal).check(store::LeaseKeepAliveRequest{waiter.id}).ok();
  };
  std::optional<store::Principal> allowed;  // the last one that was: most of a turn are of few users
  for (RenewalWaiter& waiter : waiters) {
    store::LeaseKeepAliveResponse response;
    const bool may = waiter.principal == allowed || authorised(waiter);
    if (!may || !renew_in_memory(waiter.id, store_now_ms, &response)) {
      rest.push_back(std::move(waiter));
      continue;
    }
    answers.push_back(response);
    renewed.push_back(std::move(waiter));
    allowed = renewed.back().principal;
  }
  hold_clock();
  LS_MUST(renewed.size() == answers.size());
  for (std::size_t i = 0; i < renewed.size(); ++i) renewed[i].done(std::move(answers[i]));
  return rest;
}

// The applied state was current after all of them were asked for.
void Replica::answer_confirmed_renewals(std::vector<RenewalWaiter> waiters, Term term) {
  if (!may_renew_in_memory(term)) return renew_in_log(std::move(waiters));
  std::vector<RenewalWaiter> undecided;
  for (RenewalWaiter& waiter : answer_renewals(std::move(waiters))) {
    Status denied = machine_->authoriser(waiter.principal).check(store::LeaseKeepAliveRequest{waiter.id});
    if (!denied.ok()) {
      waiter.done(std::move(denied));
    } else if (machine_->lease(waiter.id)) {
      undecided.push_back(std::move(waiter));
    } else {
      store::LeaseKeepAliveResponse none;  // a TTL of zero
      none.header = header();
      none.id = waiter.id;
      waiter.done(std::move(none));
    }
  }
  if (!undecided.empty()) renew_in_log(std::move(undecided));
}

// Under nobody's name: they were allowed when they were answered.
void Replica::log_renewals() {
  if (!may_renew_in_memory(raft_->term())) return;
  hold_clock();
  store::BatchBuilder builder;
  while (!unlogged_renewals_.all_logged()) {
    const std::vector<LeaseId> ids = unlogged_renewals_.first(limits::lease_renewals_per_command_max);
    store::BatchHeader header;
    header.store_time_ms = leader_time_ms();
    builder.start(header);
    const std::span<const LeaseId> written =
        LS_PLANTED(renewal_never_logged) ? std::span<const LeaseId>() : std::span(ids);
    const bool added = builder.lease_renew(written, store::Principal::cluster());
    LS_MUST(added, "the first command of a batch fits");
    const SharedBytes payload(builder.take());
    // However much waits here (I11): it is refused only if raft has no room, and then the store clock waits.
    const Result<LogIndex> index = raft_->propose(now(), std::span(&payload, 1));
    if (!index.ok()) {
      log_renewals_after_ = now() + log_retry_interval;
      break;
    }
    ++metrics_.proposals;
    unlogged_renewals_.logged(ids.size(), *index);
  }
  hold_clock();
}

// ---- passed on by others

std::optional<Replica::ForwardedRenewals> Replica::renewals_of(std::string_view batch) {
  store::BatchReader reader(batch);
  store::Command command;
  ForwardedRenewals renewals;
  while (reader.next(&command)) {
    auto* renew = std::get_if<store::LeaseRenewCommand>(&command.body);
    if (renew == nullptr) return std::nullopt;
    renewals.push_back({command.principal, std::move(renew->ids)});
  }
  if (!reader.status().ok() || renewals.empty()) return std::nullopt;
  return renewals;
}

void Replica::take_forwarded_renewals(ForwardedBatch forwarded) {
  const Term term = raft_->term();
  if (raft_->is_leader() && may_renew_at_once(term) && can_renew_all(forwarded.renewals)) {
    return answer_forwarded_renewals(std::move(forwarded), term);
  }
  reads_.add({[this, forwarded = std::move(forwarded), term](const Status& status) mutable {
                if (!status.ok()) return proposals_.fail(std::move(forwarded.batch), status);
                answer_forwarded_renewals(std::move(forwarded), term);
              },
              now() + options_.request_timeout});
}

// Whoever asked may, and every lease is there and has not reached its end.
bool Replica::can_renew_all(const ForwardedRenewals& renewals) {
  const std::int64_t store_now_ms = leader_time_ms();
  return std::ranges::all_of(renewals, [&](const ForwardedRenewal& renewal) {
    if (!machine_->authoriser(renewal.principal).check(store::LeaseKeepAliveRequest{}).ok()) return false;
    return std::ranges::all_of(renewal.ids, [&](LeaseId id) {
      const std::optional<store::LeaseTerms> lease = machine_->lease(id);
      return lease.has_value() && lease->deadline_ms > store_now_ms;
    });
  });
}

void Replica::answer_forwarded_renewals(ForwardedBatch forwarded, Term term) {
  const ForwardedRenewals& renewals = forwarded.renewals;
  std::vector<store::CommandResult> results;
  const std::int64_t store_now_ms = leader_time_ms();
  const auto each = [&](auto holds) {
    return std::ranges::all_of(
        renewals, [&](const ForwardedRenewal& renewal) { return std::ranges::all_of(renewal.ids, holds); });
  };
  const bool waits = !each([](LeaseId id) { return id != no_lease; });
  // None is renewed of a batch that an entry has to decide: that one may be refused, which says that nothing
  // was done.
  const bool decided = each([&](LeaseId id) {
    if (id == no_lease) return unlogged_renewals_.all_applied();
    return decided_in_memory(*machine_, id, store_now_ms);
  });
  if (!decided || !may_renew_in_memory(term)) {
    log_renewals();
    // Raft had no room for all: small as it is, this one would find some, and be applied before them.
    if (waits && may_renew_in_memory(term) && !unlogged_renewals_.all_logged()) {
      return proposals_.fail(std::move(forwarded.batch), too_many_requests());
    }
    return propose_forwarded(forwarded.commands, std::move(forwarded.batch));
  }
  for (const ForwardedRenewal& renewal : renewals) {
    results.push_back(renew_forwarded(renewal, store_now_ms));
  }
  hold_clock();
  proposals_.complete(std::move(forwarded.batch), std::move(results), header());
}

store::CommandResult Replica::renew_forwarded(const ForwardedRenewal& renewal, std::int64_t store_now_ms) {
  const store::Authoriser authoriser = machine_->authoriser(renewal.principal);
  if (Status denied = authoriser.check(store::LeaseKeepAliveRequest{}); !denied.ok()) return denied;
  store::LeaseRenewResponse response;
  response.header.revision = machine_->revision();
  response.renewals.reserve(renewal.ids.size());
  for (const LeaseId id : renewal.ids) {
    store::LeaseKeepAliveResponse renewed;
    if (!renew_in_memory(id, store_now_ms, &renewed)) {
      LS_MUST(!machine_->lease(id), "looked at before any was renewed");
      renewed.header = header();
      renewed.id = id;
      if (id == no_lease) renewed.ttl = std::chrono::milliseconds(store_now_ms);
    }
    response.renewals.push_back(std::move(renewed));
  }
  return store::Response(std::move(response));
}

// ---- how long a lease has left

// A follower says it by what it has applied, so the leader's renewals have to be there; and by the leader's
// store time, which ran on since the newest entry (what the read takes then is not counted: that clock may
// have been held). The read that follows may be confirmed in another term than the one they were asked for
// in: its leader may have renewed from memory before the caller asked, and its store time is another one.
// Then all starts over, until the deadline.
void Replica::lease_time_to_live(store::LeaseTimeToLiveRequest request, store::CallOptions options,
                                 store::Callback<store::LeaseTimeToLiveResponse> done) {
  Status why;
  if (refuse_call(options, &why)) return done(why);
  options.deadline = std::min(options.deadline, now() + options_.request_timeout);
  // Who is denied costs the leader's log nothing.
  const bool asks =
      !raft_->is_leader() && knows_leader() && machine_->authoriser(options.principal).check(request).ok();
  if (!asks) return read_time_to_live(request, options, std::nullopt, std::move(done));
  when_renewals_logged(options, [this, term = raft_->term(), request, options,
                                 done = std::move(done)](const Result<std::int64_t>& logged) mutable {
    if (logged.ok()) {
      return read_time_to_live(request, options, LeadersWord{term, *logged}, std::move(done));
    }
    Status why;
    if (refuse_call(options, &why)) return done(why);
    // Nothing was to be done but to wait: whoever leads now is asked, after the read that finds out who does.
    const Code code = logged.status().code();
    const bool lost = code == Code::unknown_outcome || code == Code::unavailable;
    if (!lost) return done(logged.status());
    read_time_to_live(request, options, std::nullopt, std::move(done));
  });
}

void Replica::read_time_to_live(const store::LeaseTimeToLiveRequest& request,
                                const store::CallOptions& options, std::optional<LeadersWord> word,
                                store::Callback<store::LeaseTimeToLiveResponse> done) {
  reads_.add({[this, request, options, word, done = std::move(done)](const Status& status) mutable {
                if (!status.ok()) return done(status);
                const Status denied = machine_->authoriser(options.principal).check(request);
                if (!denied.ok()) return done(denied);
                if (raft_->is_leader()) return done(time_to_live(request, leader_time_ms()));
                if (!word || word->term != raft_->term()) {
                  return lease_time_to_live(request, options, std::move(done));
                }
                done(time_to_live(request, std::max(word->store_time_ms, machine_->store_time_ms())));
              },
              options.deadline});
  schedule_flush();
}

store::LeaseTimeToLiveResponse Replica::time_to_live(const store::LeaseTimeToLiveRequest& request,
                                                     std::int64_t store_now_ms) {
  store::LeaseTimeToLiveResponse response = machine_->lease_time_to_live(request, store_now_ms);
  const std::optional<std::int64_t> renewed_ms = unlogged_renewals_.renewed_ms(request.id);
  if (response.found && renewed_ms) {
    const Duration since_renewal = std::chrono::milliseconds(store_now_ms - *renewed_ms);
    response.remaining = std::max(response.remaining, response.granted_ttl - since_renewal);
  }
  response.header = header();
  return response;
}

// Asks the leader, who is known.
void Replica::when_renewals_logged(const store::CallOptions& options,
                                   std::move_only_function<void(const Result<std::int64_t>&)> done) {
  std::vector<RenewalWaiter> waiters;
  waiters.push_back({no_lease, options.principal,
                     [done = std::move(done)](const Result<store::LeaseKeepAliveResponse>& logged) mutable {
                       if (!logged.ok()) return done(logged.status());
                       done(logged->ttl / std::chrono::milliseconds(1));
                     }});
  store::BatchBuilder builder;
  builder.start({});
  const bool added = builder.lease_renew(std::span(&no_lease, 1), options.principal);
  LS_MUST(added, "the first command of a batch fits");
  PendingBatch batch;
  batch.add(pending(std::move(waiters), options));
  submit_batch(builder.take(), std::move(batch));
  schedule_flush();
}

}  // namespace lockstep::replica
