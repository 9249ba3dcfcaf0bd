// The store as one client of a test sees it: its calls are counted, fail when told, and wait while it is cut
// off.
//
// Strand only. The inner store outlives it; subscriptions may outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>

#include "lockstep/testing.h"
#include "service/context.h"
#include "store/store.h"

namespace lockstep::v1::testing::detail {

class FaultyStore final : public store::Store {
 public:
  FaultyStore(store::Store& inner, env::Executor& executor) : inner_(inner), executor_(executor) {}
  ~FaultyStore() override;

  void cut_off() { *cut_off_ = true; }
  void reconnect();
  void set_faults(std::function<Fault(const StoreCall&)> decide) { decide_ = std::move(decide); }
  [[nodiscard]] std::uint64_t calls() const { return calls_; }
  // Ends what waits, and every later call.
  void close();

  [[nodiscard]] store::Capabilities capabilities() const override { return inner_.capabilities(); }
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
  using store::Store::watch;
  Result<std::unique_ptr<store::Subscription>> watch(store::WatchRequest request,
                                                     store::CallOptions options) override;

 private:
  class Subscription;
  // A call that waits for reconnect().
  struct Held {
    std::uint64_t number = 0;
    env::TimerId deadline_timer;
    std::move_only_function<void(Status)> proceed;  // ok: make the call; else: answer that
    std::optional<std::stop_callback<std::function<void()>>> stopped;
  };

  // Runs `make`, which calls the inner store with the callback it is given, unless a fault says otherwise.
  template <class Response, class Make>
  void call(StoreCall call, const store::CallOptions& options, store::Callback<Response> done, Make make);
  void hold(const store::CallOptions& options, std::move_only_function<void(Status)> proceed);
  void let_go(std::uint64_t number, Status status);

  store::Store& inner_;
  env::Executor& executor_;
  std::function<Fault(const StoreCall&)> decide_;
  std::uint64_t calls_ = 0;
  std::shared_ptr<bool> cut_off_ = std::make_shared<bool>(false);
  std::map<std::uint64_t, std::shared_ptr<Held>> held_;
  std::uint64_t holds_ = 0;
  std::map<std::uint64_t, std::weak_ptr<std::move_only_function<void()>>>
      sleepers_;  // of cut-off subscriptions
  std::uint64_t sleeps_ = 0;
  bool closed_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace lockstep::v1::testing::detail
