// The memory Store: the native state machine and watch, without log, disk or other members. For unit tests,
// ours and our users'.
//
// Every call is done before it returns; leases end by the executor's timers. Nothing survives the object.
//
// Strand: the executor's. Environment parts outlive the store; subscriptions may outlive it.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "env/clock.h"
#include "env/executor.h"
#include "replica/authenticator.h"
#include "replica/store_clock.h"
#include "replica/watch_guard.h"
#include "store/command.h"
#include "store/state_machine.h"
#include "store/store.h"
#include "watch/watch_hub.h"

namespace lockstep::replica {

struct MemoryStoreOptions {
  Duration lease_ttl_min = 100ms;
  store::StateMachineOptions machine;
};

class MemoryStore final : public store::Store, private store::ResultSink, private Authenticator::Host {
 public:
  MemoryStore(env::Executor& executor, env::Clock& clock, MemoryStoreOptions options = {});
  ~MemoryStore() override;

  [[nodiscard]] store::Capabilities capabilities() const override;
  void range(store::RangeRequest request, store::CallOptions options,
             store::Callback<store::RangeResponse> done) override;
  void put(store::PutRequest request, store::CallOptions options,
           store::Callback<store::PutResponse> done) override;
  void delete_range(store::DeleteRangeRequest request, store::CallOptions options,
                    store::Callback<store::DeleteRangeResponse> done) override;
  void txn(store::TxnRequest request, store::CallOptions options,
           store::Callback<store::TxnResponse> done) override;
  void compact(store::CompactRequest request, store::CallOptions options,
               store::Callback<store::CompactResponse> done) override;
  void lease_grant(store::LeaseGrantRequest request, store::CallOptions options,
                   store::Callback<store::LeaseGrantResponse> done) override;
  void lease_revoke(store::LeaseRevokeRequest request, store::CallOptions options,
                    store::Callback<store::LeaseRevokeResponse> done) override;
  void lease_keep_alive(store::LeaseKeepAliveRequest request, store::CallOptions options,
                        store::Callback<store::LeaseKeepAliveResponse> done) override;
  void lease_time_to_live(store::LeaseTimeToLiveRequest request, store::CallOptions options,
                          store::Callback<store::LeaseTimeToLiveResponse> done) override;
  void lease_leases(store::CallOptions options, store::Callback<store::LeaseLeasesResponse> done) override;
  void alarm(store::AlarmRequest request, store::CallOptions options,
             store::Callback<store::AlarmResponse> done) override;
  void register_client(store::CallOptions options,
                       store::Callback<store::RegisterClientResponse> done) override;
  using Store::watch;
  Result<std::unique_ptr<store::Subscription>> watch(store::WatchRequest request,
                                                     store::CallOptions options) override;

  // Beside it, once there is something to hash passwords with; all three outlive the store.
  store::Security& enable_security(const env::Secrets& secrets, env::Worker& worker, env::Random& random,
                                   AuthenticatorOptions options = {});

 private:
  // ---- Authenticator::Host
  [[nodiscard]] const store::StateMachine& auth_machine() const override { return machine_; }
  [[nodiscard]] std::int64_t auth_now_ms() override { return store_clock_.read_ms(clock_.now()); }
  [[nodiscard]] store::Header auth_header() const override { return {.revision = machine_.revision()}; }
  void propose_auth(store::AuthChange change, store::CallOptions options,
                    store::Callback<store::AuthResponse> done) override;
  void when_current(store::CallOptions options, std::move_only_function<void(const Status&)> done) override {
    done(refuse(options));
  }

  void on_result(std::size_t position, store::CommandResult result) override;
  [[nodiscard]] Status refuse(const store::CallOptions& options) const;
  // One entry with one command; its answer.
  store::CommandResult apply(const std::function<bool(store::BatchBuilder&)>& add);
  template <class Response, class Add>
  void mutate(const Status& refused, const store::CallOptions& options, store::Callback<Response> done,
              Add add);
  void schedule_expiry();
  void schedule_compaction();

  env::Executor& executor_;
  env::Clock& clock_;
  MemoryStoreOptions options_;
  store::StateMachine machine_;
  watch::WatchHub hub_;
  WatchGuard watch_guard_;
  std::unique_ptr<Authenticator> authenticator_;
  StoreClock store_clock_;
  std::vector<store::CommandResult> results_;
  env::TimerId expiry_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work asks before it touches this
};

}  // namespace lockstep::replica
