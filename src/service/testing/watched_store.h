// A memory store on a strand moved by hand, whose calls are counted and may be made to fail: for tests of
// recipes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/prng.h"
#include "base/task.h"
#include "env/random.h"
#include "replica/memory_store.h"
#include "service/context.h"
#include "store/errors.h"
#include "store/store.h"
#include "watch/test_store.h"

namespace lockstep::service::testing {

class WatchedStore final : public store::Store {
 public:
  // What a call does that is told to fail. Reads and the fault unknown_*: the read is refused.
  enum class Fault { refused, unknown_done, unknown_not_done, unknown_late, overloaded, denied };

  [[nodiscard]] store::Capabilities capabilities() const override { return store_.capabilities(); }
  void range(store::RangeRequest request, store::CallOptions options,
             store::Callback<store::RangeResponse> done) override {
    ++ranges;
    if (fault_of_call().has_value()) return done(refusal());
    if (!held_prefix.empty() && request.key.starts_with(held_prefix)) {
      held_.push_back([this, request = std::move(request), options = std::move(options),
                       done = std::move(done)]() mutable {
        store_.range(std::move(request), std::move(options), std::move(done));
      });
      return;
    }
    store_.range(std::move(request), std::move(options), std::move(done));
  }
  void put(store::PutRequest request, store::CallOptions options,
           store::Callback<store::PutResponse> done) override {
    mutate(&store::Store::put, std::move(request), std::move(options), std::move(done), fault_of_call());
  }
  void delete_range(store::DeleteRangeRequest request, store::CallOptions options,
                    store::Callback<store::DeleteRangeResponse> done) override {
    mutate(&store::Store::delete_range, std::move(request), std::move(options), std::move(done),
           fault_of_call());
  }
  void txn(store::TxnRequest request, store::CallOptions options,
           store::Callback<store::TxnResponse> done) override {
    ++txns;
    if (late_txns > 0) {
      --late_txns;
      late_.push_back([this, request = std::move(request), options = std::move(options)]() mutable {
        store_.txn(std::move(request), std::move(options), [](const Result<store::TxnResponse>&) {});
      });
      return done(Status(Code::unknown_outcome, "etcdserver: request timed out"));
    }
    if (held_answers > 0) {
      --held_answers;
      return store_.txn(std::move(request), std::move(options),
                        [this, done = std::move(done)](Result<store::TxnResponse> answer) mutable {
                          held_.push_back([done = std::move(done), answer = std::move(answer)]() mutable {
                            done(std::move(answer));
                          });
                        });
    }
    std::optional<Fault> fault = fault_of_call();
    if (!fault.has_value()) fault = std::exchange(next_txn, std::nullopt);
    mutate(&store::Store::txn, std::move(request), std::move(options), std::move(done), fault);
  }
  void compact(store::CompactRequest request, store::CallOptions options,
               store::Callback<store::CompactResponse> done) override {
    store_.compact(request, std::move(options), std::move(done));
  }
  void lease_grant(store::LeaseGrantRequest request, store::CallOptions options,
                   store::Callback<store::LeaseGrantResponse> done) override {
    mutate(&store::Store::lease_grant, request, std::move(options), std::move(done), fault_of_call());
  }
  void lease_revoke(store::LeaseRevokeRequest request, store::CallOptions options,
                    store::Callback<store::LeaseRevokeResponse> done) override {
    mutate(&store::Store::lease_revoke, request, std::move(options), std::move(done), fault_of_call());
  }
  void lease_keep_alive(store::LeaseKeepAliveRequest request, store::CallOptions options,
                        store::Callback<store::LeaseKeepAliveResponse> done) override {
    ++renewals;
    const std::optional<Fault> fault = cut_off ? std::optional(Fault::refused) : fault_of_call();
    mutate(&store::Store::lease_keep_alive, request, std::move(options), std::move(done), fault);
  }
  void lease_time_to_live(store::LeaseTimeToLiveRequest request, store::CallOptions options,
                          store::Callback<store::LeaseTimeToLiveResponse> done) override {
    if (cut_off || fault_of_call().has_value()) return done(refusal());
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
    if (fault_of_call().has_value()) return refusal();
    return store_.watch(std::move(request), std::move(options));
  }
  using store::Store::watch;

  // The call after `calls` more of them does as `fault` says: 0 is the next. Reads, mutations, watches and
  // leases count alike.
  void fail_call(std::size_t calls, Fault fault) {
    fail_after_ = calls;
    fault_ = fault;
  }
  [[nodiscard]] bool failed_yet() const { return !fail_after_.has_value(); }
  // The oldest call that was kept back is answered. False: there is none.
  bool answer_held() {
    if (held_.empty()) return false;
    auto read = std::move(held_.front());
    held_.erase(held_.begin());
    read();
    strand.run();
    return true;
  }
  // What late_txns and unknown_late kept back takes effect now.
  void deliver_late() {
    for (auto& send : std::exchange(late_, {})) send();
    strand.run();
  }
  // Whether the fault that was asked for has happened; if not, it will not any more.
  bool failed() { return !std::exchange(fail_after_, std::nullopt).has_value(); }

  int late_txns = 0;        // so many from now on: their outcome is unknown, and they are kept back
  int held_answers = 0;     // so many transactions from now on: done, and not answered until answer_held()
  std::string held_prefix;  // reads from keys that begin so are kept back until answer_held()
  int txns = 0;
  int ranges = 0;
  int watches = 0;
  int renewals = 0;
  bool down = false;             // everything is refused
  bool down_from_fault = false;  // it will be, behind the call that fails
  bool cut_off = false;          // of leases: renewals and questions about them are refused
  std::optional<Fault> next_txn;
  watch::testing::ManualStrand strand;

 private:
  static Status refusal() { return {Code::unavailable, "etcdserver: no leader"}; }
  std::optional<Fault> fault_of_call() {
    if (down) return Fault::refused;
    if (!fail_after_.has_value()) return std::nullopt;
    if (*fail_after_ > 0) {
      --*fail_after_;
      return std::nullopt;
    }
    fail_after_.reset();
    down = std::exchange(down_from_fault, false);
    return fault_;
  }
  template <class Request, class Response>
  void mutate(void (store::Store::*method)(Request, store::CallOptions, store::Callback<Response>),
              Request request, store::CallOptions options, store::Callback<Response> done,
              std::optional<Fault> fault) {
    if (!fault.has_value()) return (store_.*method)(std::move(request), std::move(options), std::move(done));
    if (*fault == Fault::refused) return done(refusal());
    if (*fault == Fault::overloaded) {
      return done(Status(Code::resource_exhausted, "etcdserver: too many requests"));
    }
    if (*fault == Fault::denied) return done(store::errors::permission_denied());
    if (*fault == Fault::unknown_done) {
      (store_.*method)(std::move(request), std::move(options), [](const Result<Response>&) {});
    } else if (*fault == Fault::unknown_late) {
      late_.push_back([this, method, request = std::move(request), options = std::move(options)]() mutable {
        (store_.*method)(std::move(request), std::move(options), [](const Result<Response>&) {});
      });
    }
    done(Status(Code::unknown_outcome, "etcdserver: request timed out"));
  }

  replica::MemoryStore memory_store_{strand, strand};
  store::Store& store_ = memory_store_;
  std::vector<std::move_only_function<void()>> late_;
  std::vector<std::move_only_function<void()>> held_;
  std::optional<std::size_t> fail_after_;
  Fault fault_ = Fault::refused;
};

class SeededRandom final : public env::Random {
 public:
  explicit SeededRandom(std::uint64_t seed = 1) : prng_(seed) {}
  std::uint64_t next() override { return prng_.next(); }

 private:
  Prng prng_;
};

// A store and what a recipe's Context names.
struct World {
  WatchedStore store;
  SeededRandom random;
  Context context{store, store.strand, store.strand, random};

  // Runs what can run now.
  void settle() { store.strand.run(); }
  // Time passes in steps, and everything that falls due runs.
  void advance(Duration by, Duration step = 10ms) {
    settle();
    for (const TimePoint end = store.strand.now() + by; store.strand.now() < end;) {
      store.strand.advance(std::min(step, Duration(end - store.strand.now())));
      settle();
    }
  }
};

// A task under way, and what became of it.
template <class T>
class Running {
 public:
  explicit Running(Task<T> task) { follow(std::move(task), result_).detach(); }
  [[nodiscard]] bool waits() const { return !result_->has_value(); }
  [[nodiscard]] T& result() {
    LS_MUST(result_->has_value(), "it still waits");
    return **result_;
  }

 private:
  static Task<void> follow(Task<T> task, std::shared_ptr<std::optional<T>> result) {
    result->emplace(co_await std::move(task));
  }
  std::shared_ptr<std::optional<T>> result_ = std::make_shared<std::optional<T>>();
};

}  // namespace lockstep::service::testing
