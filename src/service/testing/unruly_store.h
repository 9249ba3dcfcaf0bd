// A memory store behind a bad network: calls arrive late, in another order, or not at all; answers get lost;
// what was given up takes effect seconds later. For tests that must hold in every such world.
//
// Everything is drawn from the seed, on a strand and a clock moved by hand.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/prng.h"
#include "replica/memory_store.h"
#include "service/context.h"
#include "service/testing/watched_store.h"
#include "store/store.h"
#include "watch/test_store.h"

namespace lockstep::service::testing {

struct Unruliness {
  std::uint64_t refused_percent = 5;
  std::uint64_t unknown_percent = 10;  // of mutations: a third done, a third not, a third later
  std::uint64_t delay_us_max = 3000;   // of each way
  std::uint64_t late_ms_max = 3000;
};

class UnrulyStore final : public store::Store {
 public:
  UnrulyStore(watch::testing::ManualStrand& strand, store::Store& inner, std::uint64_t seed)
      : strand_(strand), inner_(inner), prng_(seed) {}

  Unruliness unruliness;

  [[nodiscard]] store::Capabilities capabilities() const override { return inner_.capabilities(); }
  void range(store::RangeRequest request, store::CallOptions options,
             store::Callback<store::RangeResponse> done) override {
    const bool refused = prng_.chance(unruliness.refused_percent, 100);
    call(&store::Store::range, std::move(request), std::move(options), std::move(done),
         refused ? Fate::refused : Fate::done);
  }
  void put(store::PutRequest request, store::CallOptions options,
           store::Callback<store::PutResponse> done) override {
    call(&store::Store::put, std::move(request), std::move(options), std::move(done), fate());
  }
  void delete_range(store::DeleteRangeRequest request, store::CallOptions options,
                    store::Callback<store::DeleteRangeResponse> done) override {
    call(&store::Store::delete_range, std::move(request), std::move(options), std::move(done), fate());
  }
  void txn(store::TxnRequest request, store::CallOptions options,
           store::Callback<store::TxnResponse> done) override {
    call(&store::Store::txn, std::move(request), std::move(options), std::move(done), fate());
  }
  void compact(store::CompactRequest request, store::CallOptions options,
               store::Callback<store::CompactResponse> done) override {
    call(&store::Store::compact, request, std::move(options), std::move(done), fate());
  }
  void lease_grant(store::LeaseGrantRequest request, store::CallOptions options,
                   store::Callback<store::LeaseGrantResponse> done) override {
    call(&store::Store::lease_grant, request, std::move(options), std::move(done), fate());
  }
  void lease_revoke(store::LeaseRevokeRequest request, store::CallOptions options,
                    store::Callback<store::LeaseRevokeResponse> done) override {
    call(&store::Store::lease_revoke, request, std::move(options), std::move(done), fate());
  }
  void lease_keep_alive(store::LeaseKeepAliveRequest request, store::CallOptions options,
                        store::Callback<store::LeaseKeepAliveResponse> done) override {
    call(&store::Store::lease_keep_alive, request, std::move(options), std::move(done), fate());
  }
  void lease_time_to_live(store::LeaseTimeToLiveRequest request, store::CallOptions options,
                          store::Callback<store::LeaseTimeToLiveResponse> done) override {
    const bool refused = prng_.chance(unruliness.refused_percent, 100);
    call(&store::Store::lease_time_to_live, request, std::move(options), std::move(done),
         refused ? Fate::refused : Fate::done);
  }
  void lease_leases(store::CallOptions options, store::Callback<store::LeaseLeasesResponse> done) override {
    inner_.lease_leases(std::move(options), std::move(done));
  }
  void alarm(store::AlarmRequest request, store::CallOptions options,
             store::Callback<store::AlarmResponse> done) override {
    inner_.alarm(request, std::move(options), std::move(done));
  }
  void register_client(store::CallOptions options,
                       store::Callback<store::RegisterClientResponse> done) override {
    inner_.register_client(std::move(options), std::move(done));
  }
  Result<std::unique_ptr<store::Subscription>> watch(store::WatchRequest request,
                                                     store::CallOptions options) override {
    return inner_.watch(std::move(request), std::move(options));
  }
  using store::Store::watch;

 private:
  enum class Fate : std::uint8_t { done, refused, lost, answer_lost, late };

  Fate fate() {
    const std::uint64_t draw = prng_.below(100);
    if (draw < unruliness.refused_percent) return Fate::refused;
    if (draw >= unruliness.refused_percent + unruliness.unknown_percent) return Fate::done;
    const std::uint64_t kind = prng_.below(3);
    return kind == 0 ? Fate::lost : kind == 1 ? Fate::answer_lost : Fate::late;
  }
  TimePoint soon() {
    return strand_.now() + std::chrono::microseconds(prng_.below(unruliness.delay_us_max + 1));
  }
  template <class Request, class Response>
  void call(void (store::Store::*method)(Request, store::CallOptions, store::Callback<Response>),
            Request request, store::CallOptions options, store::Callback<Response> done, Fate fate) {
    options.deadline = no_deadline;
    options.cancellation = {};
    const TimePoint answered = soon() + (soon() - strand_.now());
    const Status unknown(Code::unknown_outcome, "etcdserver: request timed out");
    const Status refused(Code::unavailable, "etcdserver: no leader");
    if (fate == Fate::refused || fate == Fate::lost || fate == Fate::late) {
      strand_.schedule(
          answered, [done = std::move(done), status = fate == Fate::refused ? refused : unknown]() mutable {
            done(status);
          });
      if (fate != Fate::late) return;
      const auto late = std::chrono::milliseconds(prng_.below(unruliness.late_ms_max + 1));
      strand_.schedule(strand_.now() + late, [this, method, request = std::move(request), options] {
        (inner_.*method)(request, options, [](const Result<Response>&) {});
      });
      return;
    }
    strand_.schedule(soon(), [this, method, request = std::move(request), options, fate, unknown,
                              done = std::move(done)]() mutable {
      auto answer = [this, fate, unknown, done = std::move(done)](Result<Response> result) mutable {
        if (fate == Fate::answer_lost) result = unknown;
        strand_.schedule(soon(), [done = std::move(done), result = std::move(result)]() mutable {
          done(std::move(result));
        });
      };
      (inner_.*method)(std::move(request), std::move(options), std::move(answer));
    });
  }

  watch::testing::ManualStrand& strand_;
  store::Store& inner_;
  Prng prng_;
};

// A clock of one process: its own idea of the wall, and of how long it has been frozen.
class ProcessClock final : public env::Clock {
 public:
  explicit ProcessClock(watch::testing::ManualStrand& strand) : strand_(strand) {}
  TimePoint now() override { return strand_.now(); }
  Duration wall_now() override { return epoch + strand_.now().time_since_epoch() + wall_jump; }

  static constexpr Duration epoch = std::chrono::seconds(1'800'000'000);
  Duration wall_jump{};

 private:
  watch::testing::ManualStrand& strand_;
};

// One store, and processes that reach it each by a network of its own.
struct UnrulyWorld {
  explicit UnrulyWorld(std::uint64_t seed) : prng(seed) {}

  struct Process {
    Process(UnrulyWorld& world, std::uint64_t seed)
        : store(world.strand, world.memory, seed), clock(world.strand), random(seed) {}
    UnrulyStore store;
    ProcessClock clock;
    SeededRandom random;
  };
  std::unique_ptr<Process> process() { return std::make_unique<Process>(*this, prng.next()); }
  Context context(Process& process) { return {process.store, strand, process.clock, process.random}; }

  void settle() { strand.run(); }
  void advance(Duration by, Duration step = 1ms) {
    settle();
    for (const TimePoint end = strand.now() + by; strand.now() < end;) {
      strand.advance(std::min(step, Duration(end - strand.now())));
      settle();
    }
  }

  Prng prng;
  watch::testing::ManualStrand strand;
  replica::MemoryStore memory{strand, strand};
};

}  // namespace lockstep::service::testing
