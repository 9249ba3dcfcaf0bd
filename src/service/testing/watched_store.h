// A memory store on a strand moved by hand, whose calls are counted and may be made to fail: for tests of
// recipes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "replica/memory_store.h"
#include "store/store.h"
#include "watch/test_store.h"

namespace lockstep::service::testing {

class WatchedStore final : public store::Store {
 public:
  // What a mutation does that is told to fail.
  enum class Fault { refused, unknown_done, unknown_not_done };

  [[nodiscard]] store::Capabilities capabilities() const override { return store_.capabilities(); }
  void range(store::RangeRequest request, store::CallOptions options,
             store::Callback<store::RangeResponse> done) override {
    store_.range(std::move(request), std::move(options), std::move(done));
  }
  void put(store::PutRequest request, store::CallOptions options,
           store::Callback<store::PutResponse> done) override {
    store_.put(std::move(request), std::move(options), std::move(done));
  }
  void delete_range(store::DeleteRangeRequest request, store::CallOptions options,
                    store::Callback<store::DeleteRangeResponse> done) override {
    store_.delete_range(std::move(request), std::move(options), std::move(done));
  }
  void txn(store::TxnRequest request, store::CallOptions options,
           store::Callback<store::TxnResponse> done) override {
    ++txns;
    const std::optional<Fault> fault = std::exchange(next_txn, std::nullopt);
    if (!fault.has_value()) return store_.txn(std::move(request), std::move(options), std::move(done));
    if (*fault == Fault::refused) return done(Status(Code::unavailable, "etcdserver: no leader"));
    if (*fault == Fault::unknown_done) {
      store_.txn(std::move(request), std::move(options), [](const Result<store::TxnResponse>&) {});
    }
    done(Status(Code::unknown_outcome, "etcdserver: request timed out"));
  }
  void compact(store::CompactRequest request, store::CallOptions options,
               store::Callback<store::CompactResponse> done) override {
    store_.compact(request, std::move(options), std::move(done));
  }
  void lease_grant(store::LeaseGrantRequest request, store::CallOptions options,
                   store::Callback<store::LeaseGrantResponse> done) override {
    store_.lease_grant(request, std::move(options), std::move(done));
  }
  void lease_revoke(store::LeaseRevokeRequest request, store::CallOptions options,
                    store::Callback<store::LeaseRevokeResponse> done) override {
    store_.lease_revoke(request, std::move(options), std::move(done));
  }
  void lease_keep_alive(store::LeaseKeepAliveRequest request, store::CallOptions options,
                        store::Callback<store::LeaseKeepAliveResponse> done) override {
    store_.lease_keep_alive(request, std::move(options), std::move(done));
  }
  void lease_time_to_live(store::LeaseTimeToLiveRequest request, store::CallOptions options,
                          store::Callback<store::LeaseTimeToLiveResponse> done) override {
    store_.lease_time_to_live(request, std::move(options), std::move(done));
  }
  void lease_leases(store::CallOptions options, store::Callback<store::LeaseLeasesResponse> done) override {
    store_.lease_leases(std::move(options), std::move(done));
  }
  void alarm(store::AlarmRequest request, store::CallOptions options,
             store::Callback<store::AlarmResponse> done) override {
    store_.alarm(request, std::move(options), std::move(done));
  }
  void register_client(store::CallOptions options,
                       store::Callback<store::RegisterClientResponse> done) override {
    store_.register_client(std::move(options), std::move(done));
  }
  Result<std::unique_ptr<store::Subscription>> watch(store::WatchRequest request,
                                                     store::CallOptions options) override {
    ++watches;
    return store_.watch(std::move(request), std::move(options));
  }
  using store::Store::watch;

  int txns = 0;
  int watches = 0;
  std::optional<Fault> next_txn;
  watch::testing::ManualStrand strand;

 private:
  replica::MemoryStore store_{strand, strand};
};

}  // namespace lockstep::service::testing
