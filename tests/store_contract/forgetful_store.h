// A store that does what it is told and then cannot say so: every mutation's outcome is unknown.
#pragma once

#include <memory>
#include <utility>

#include "store/store.h"

namespace lockstep::store_contract {

class ForgetfulStore final : public store::Store {
 public:
  explicit ForgetfulStore(store::Store& inner) : inner_(inner) {}

  [[nodiscard]] store::Capabilities capabilities() const override { return inner_.capabilities(); }
  void range(store::RangeRequest request, store::CallOptions options,
             store::Callback<store::RangeResponse> done) override {
    inner_.range(std::move(request), std::move(options), std::move(done));
  }
  void put(store::PutRequest request, store::CallOptions options,
           store::Callback<store::PutResponse> done) override {
    inner_.put(std::move(request), std::move(options), forget(std::move(done)));
  }
  void delete_range(store::DeleteRangeRequest request, store::CallOptions options,
                    store::Callback<store::DeleteRangeResponse> done) override {
    inner_.delete_range(std::move(request), std::move(options), forget(std::move(done)));
  }
  void txn(store::TxnRequest request, store::CallOptions options,
           store::Callback<store::TxnResponse> done) override {
    inner_.txn(std::move(request), std::move(options), forget(std::move(done)));
  }
  void compact(store::CompactRequest request, store::CallOptions options,
               store::Callback<store::CompactResponse> done) override {
    inner_.compact(std::move(request), std::move(options), forget(std::move(done)));
  }
  void lease_grant(store::LeaseGrantRequest request, store::CallOptions options,
                   store::Callback<store::LeaseGrantResponse> done) override {
    inner_.lease_grant(std::move(request), std::move(options), forget(std::move(done)));
  }
  void lease_revoke(store::LeaseRevokeRequest request, store::CallOptions options,
                    store::Callback<store::LeaseRevokeResponse> done) override {
    inner_.lease_revoke(std::move(request), std::move(options), forget(std::move(done)));
  }
  void lease_keep_alive(store::LeaseKeepAliveRequest request, store::CallOptions options,
                        store::Callback<store::LeaseKeepAliveResponse> done) override {
    inner_.lease_keep_alive(std::move(request), std::move(options), forget(std::move(done)));
  }
  void lease_time_to_live(store::LeaseTimeToLiveRequest request, store::CallOptions options,
                          store::Callback<store::LeaseTimeToLiveResponse> done) override {
    inner_.lease_time_to_live(std::move(request), std::move(options), std::move(done));
  }
  void lease_leases(store::CallOptions options, store::Callback<store::LeaseLeasesResponse> done) override {
    inner_.lease_leases(std::move(options), std::move(done));
  }
  void alarm(store::AlarmRequest request, store::CallOptions options,
             store::Callback<store::AlarmResponse> done) override {
    inner_.alarm(std::move(request), std::move(options), forget(std::move(done)));
  }
  void register_client(store::CallOptions options,
                       store::Callback<store::RegisterClientResponse> done) override {
    inner_.register_client(std::move(options), forget(std::move(done)));
  }
  Result<std::unique_ptr<store::Subscription>> watch(store::WatchRequest request,
                                                     store::CallOptions options) override {
    return inner_.watch(std::move(request), std::move(options));
  }

 private:
  template <class Response>
  static store::Callback<Response> forget(store::Callback<Response> done) {
    return [done = std::move(done)](const Result<Response>&) mutable {
      done(Status(Code::unknown_outcome, "the answer was lost"));
    };
  }

  store::Store& inner_;
};

}  // namespace lockstep::store_contract
