#include "faulty_store.h"

#include <utility>

namespace lockstep::v1::testing::detail {

// Sees nothing while its client is cut off.
class FaultyStore::Subscription final : public store::Subscription {
 public:
  Subscription(FaultyStore& store, std::unique_ptr<store::Subscription> inner)
      : store_(&store), alive_(store.alive_), cut_off_(store.cut_off_), inner_(std::move(inner)) {}

  std::optional<store::WatchResponse> next(std::size_t bytes_max) override {
    if (*cut_off_) return std::nullopt;
    return inner_->next(bytes_max);
  }
  void notify_when_ready(std::move_only_function<void()> ready) override {
    ready_ = std::make_shared<std::move_only_function<void()>>(std::move(ready));
    if (*cut_off_ && *alive_) {
      store_->sleepers_[++store_->sleeps_] = ready_;
      return;
    }
    // Woken into a cut-off: next() says nothing, and it is asked again.
    inner_->notify_when_ready([weak = std::weak_ptr(ready_)] {
      if (const auto here = weak.lock()) std::exchange(*here, nullptr)();
    });
  }
  void request_progress() override { inner_->request_progress(); }

 private:
  FaultyStore* store_;
  std::shared_ptr<bool> alive_;  // of the store
  std::shared_ptr<bool> cut_off_;
  std::unique_ptr<store::Subscription> inner_;
  std::shared_ptr<std::move_only_function<void()>> ready_;
};

FaultyStore::~FaultyStore() {
  *alive_ = false;
}

void FaultyStore::reconnect() {
  *cut_off_ = false;
  while (!held_.empty()) let_go(held_.begin()->first, {});
  for (const auto& [number, weak] : std::exchange(sleepers_, {})) {
    if (const auto ready = weak.lock()) std::exchange(*ready, nullptr)();
  }
}

void FaultyStore::close() {
  closed_ = true;
  while (!held_.empty())
    let_go(held_.begin()->first, Status(::lockstep::Code::cancelled, "the client is closed"));
}

void FaultyStore::hold(const store::CallOptions& options, std::move_only_function<void(Status)> proceed) {
  const std::uint64_t number = ++holds_;
  auto held = std::make_shared<Held>();
  held->number = number;
  held->proceed = std::move(proceed);
  held_.emplace(number, held);
  if (options.deadline != no_deadline) {
    held->deadline_timer = executor_.schedule(options.deadline, [this, number] {
      let_go(number, Status(::lockstep::Code::deadline_exceeded, "no answer before the deadline"));
    });
  }
  held->stopped.emplace(options.cancellation, [this, number, alive = alive_] {
    executor_.post([this, number, alive] {
      if (*alive) let_go(number, Status(::lockstep::Code::cancelled, "given up before it was sent"));
    });
  });
}

void FaultyStore::let_go(std::uint64_t number, Status status) {
  const auto found = held_.find(number);
  if (found == held_.end()) return;
  const auto held = std::move(found->second);
  held_.erase(found);
  executor_.cancel(held->deadline_timer);
  held->stopped.reset();
  held->proceed(std::move(status));
}

template <class Response, class Make>
void FaultyStore::call(StoreCall call, const store::CallOptions& options, store::Callback<Response> done,
                       Make make) {
  call.number = ++calls_;
  if (closed_) return done(Status(::lockstep::Code::cancelled, "the client is closed"));
  if (*cut_off_) {
    return hold(options, [done = std::move(done), make = std::move(make)](Status status) mutable {
      if (!status.ok()) return done(std::move(status));
      make(std::move(done));
    });
  }
  const Fault fault = decide_ ? decide_(call) : Fault::none;
  if (fault == Fault::none) return make(std::move(done));
  if (fault == Fault::answer_lost) make([](const Result<Response>&) {});
  if (fault == Fault::refused || !call.changes) {
    return done(Status(::lockstep::Code::unavailable, "refused by the test"));
  }
  done(Status(::lockstep::Code::unknown_outcome, "lost by the test"));
}

void FaultyStore::range(store::RangeRequest request, store::CallOptions options,
                        store::Callback<store::RangeResponse> done) {
  call({.kind = "range"}, options, std::move(done),
       [this, request = std::move(request), options](auto then) mutable {
         inner_.range(std::move(request), std::move(options), std::move(then));
       });
}
void FaultyStore::put(store::PutRequest request, store::CallOptions options,
                      store::Callback<store::PutResponse> done) {
  call({.kind = "put", .changes = true}, options, std::move(done),
       [this, request = std::move(request), options](auto then) mutable {
         inner_.put(std::move(request), std::move(options), std::move(then));
       });
}
void FaultyStore::delete_range(store::DeleteRangeRequest request, store::CallOptions options,
                               store::Callback<store::DeleteRangeResponse> done) {
  call({.kind = "delete_range", .changes = true}, options, std::move(done),
       [this, request = std::move(request), options](auto then) mutable {
         inner_.delete_range(std::move(request), std::move(options), std::move(then));
       });
}
void FaultyStore::txn(store::TxnRequest request, store::CallOptions options,
                      store::Callback<store::TxnResponse> done) {
  call({.kind = "txn", .changes = true}, options, std::move(done),
       [this, request = std::move(request), options](auto then) mutable {
         inner_.txn(std::move(request), std::move(options), std::move(then));
       });
}
void FaultyStore::compact(store::CompactRequest request, store::CallOptions options,
                          store::Callback<store::CompactResponse> done) {
  call({.kind = "compact", .changes = true}, options, std::move(done),
       [this, request, options](auto then) mutable {
         inner_.compact(request, std::move(options), std::move(then));
       });
}
void FaultyStore::lease_grant(store::LeaseGrantRequest request, store::CallOptions options,
                              store::Callback<store::LeaseGrantResponse> done) {
  call({.kind = "lease_grant", .changes = true}, options, std::move(done),
       [this, request, options](auto then) mutable {
         inner_.lease_grant(request, std::move(options), std::move(then));
       });
}
void FaultyStore::lease_revoke(store::LeaseRevokeRequest request, store::CallOptions options,
                               store::Callback<store::LeaseRevokeResponse> done) {
  call({.kind = "lease_revoke", .changes = true}, options, std::move(done),
       [this, request, options](auto then) mutable {
         inner_.lease_revoke(request, std::move(options), std::move(then));
       });
}
void FaultyStore::lease_keep_alive(store::LeaseKeepAliveRequest request, store::CallOptions options,
                                   store::Callback<store::LeaseKeepAliveResponse> done) {
  call({.kind = "lease_keep_alive", .changes = true}, options, std::move(done),
       [this, request, options](auto then) mutable {
         inner_.lease_keep_alive(request, std::move(options), std::move(then));
       });
}
void FaultyStore::lease_time_to_live(store::LeaseTimeToLiveRequest request, store::CallOptions options,
                                     store::Callback<store::LeaseTimeToLiveResponse> done) {
  call({.kind = "lease_time_to_live"}, options, std::move(done), [this, request, options](auto then) mutable {
    inner_.lease_time_to_live(request, std::move(options), std::move(then));
  });
}
void FaultyStore::lease_leases(store::CallOptions options, store::Callback<store::LeaseLeasesResponse> done) {
  call({.kind = "lease_leases"}, options, std::move(done),
       [this, options](auto then) mutable { inner_.lease_leases(std::move(options), std::move(then)); });
}
void FaultyStore::alarm(store::AlarmRequest request, store::CallOptions options,
                        store::Callback<store::AlarmResponse> done) {
  const bool changes = request.action != store::AlarmAction::get;
  call({.kind = "alarm", .changes = changes}, options, std::move(done),
       [this, request, options](auto then) mutable {
         inner_.alarm(request, std::move(options), std::move(then));
       });
}
void FaultyStore::register_client(store::CallOptions options,
                                  store::Callback<store::RegisterClientResponse> done) {
  call({.kind = "register_client", .changes = true}, options, std::move(done),
       [this, options](auto then) mutable { inner_.register_client(std::move(options), std::move(then)); });
}

Result<std::unique_ptr<store::Subscription>> FaultyStore::watch(store::WatchRequest request,
                                                                store::CallOptions options) {
  if (closed_) return Status(::lockstep::Code::cancelled, "the client is closed");
  LS_ASSIGN_OR_RETURN(auto inner, inner_.watch(std::move(request), std::move(options)));
  return std::unique_ptr<store::Subscription>(std::make_unique<Subscription>(*this, std::move(inner)));
}

}  // namespace lockstep::v1::testing::detail
