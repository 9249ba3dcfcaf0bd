// Inside the combiner: a lane for each key and principal, whose worker commits one batch after the other.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "env/executor.h"
#include "service/combiner/combiner.h"

namespace lockstep::service {

struct Combiner::Waiting {
  std::shared_ptr<CombinedUpdate> update;
  store::CallOptions options;
  std::move_only_function<void(Result<Revision>)> done;
  std::optional<std::stop_callback<std::function<void()>>> stop;
  bool sent = false;  // in a transaction that may take effect

  [[nodiscard]] bool answered() const { return !done; }
};

using LaneKey = std::pair<store::Principal, std::string>;

class Combiner::Lane {
 public:
  using Updates = std::map<std::uint64_t, std::shared_ptr<Waiting>>;  // by the order of their arrival

  struct Known {
    KnownKey key;
    Revision at;            // the key was so at this revision
    bool doubtful = false;  // it must be read again before anything is told of it
  };
  // The key that tells, after an unknown outcome, what became of this lane's last transaction.
  struct Marker {
    std::string key;
    LeaseId lease;
    TimePoint usable_until{};
    Revision mod_revision;  // zero: not written yet
  };

  LaneKey key;
  Updates queue;
  Updates batch;  // under way
  bool working = false;
  std::optional<Known> known;
  std::optional<Marker> marker;
  std::uint64_t transactions = 0;
  env::TimerId timer;
  TimePoint timer_at{};
  std::uint64_t idle_since = 0;
};

class Combiner::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(const Context& context, CombinerOptions options)
      : context_(context), options_(std::move(options)), leases_(context) {}

  void enqueue(const std::string& name, std::shared_ptr<CombinedUpdate> update, store::CallOptions options,
               std::move_only_function<void(Result<Revision>)> done);
  void close();

  [[nodiscard]] const Context& context() const { return context_; }
  [[nodiscard]] const CombinerOptions& options() const { return options_; }
  [[nodiscard]] const SharedLeases& leases() const { return leases_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_; }
  [[nodiscard]] std::size_t lanes() const { return lanes_.size(); }

 private:
  static Task<void> work(std::shared_ptr<Core> core, std::shared_ptr<Lane> lane);
  std::shared_ptr<Lane> lane_of(const LaneKey& key);
  void rest(Lane& lane);
  void answer(Waiting& waiting, Result<Revision> outcome);
  void give_up(Lane& lane, std::uint64_t id, const Status& why);
  void watch_deadline(const std::shared_ptr<Lane>& lane, TimePoint deadline);
  void on_timer(const std::shared_ptr<Lane>& lane);

  Context context_;
  CombinerOptions options_;
  SharedLeases leases_;
  std::map<LaneKey, std::shared_ptr<Lane>> lanes_;
  std::map<std::uint64_t, LaneKey> idle_;  // lanes without work, by when they came to rest
  std::uint64_t last_id_ = 0;
  std::size_t waiting_ = 0;
  bool closed_ = false;
};

// One batch, from its updates to its outcome. The lane's worker is the only one who touches known and marker.
class Combiner::Commit {
 public:
  Commit(Core& core, Lane& lane) : core_(core), lane_(lane) {}
  Task<Result<Revision>> run();

 private:
  // An outcome, or nothing: fold again.
  using Outcome = std::optional<Result<Revision>>;

  Task<Status> look();
  void learn(const store::RangeResponse& found, Revision at);
  Task<Status> ensure_marker();
  Task<Result<LeaseId>> lease_for(KeyEnd end);
  Task<Outcome> write(Folded folded, TimePoint folded_at);
  Outcome settle(const store::TxnResponse& answer, const Folded& folded, LeaseId lease, TimePoint folded_at,
                 bool in_doubt);
  Outcome on_lease_lost(LeaseId lease, bool in_doubt);
  Task<Status> lease_companions();
  // Of a transaction that has not taken effect and will not.
  void note_lost_companions(const store::TxnResponse& answer);
  [[nodiscard]] store::TxnRequest request(const Folded& folded, LeaseId lease, bool in_doubt) const;
  [[nodiscard]] std::string mark_of_done() const;
  [[nodiscard]] std::string mark_of_not_done() const;
  [[nodiscard]] std::string key() const;
  [[nodiscard]] store::CallOptions call() const;
  [[nodiscard]] std::vector<CombinedUpdate*> updates() const;
  [[nodiscard]] bool anybody_waits() const;
  void drop_answered();
  void nothing_was_sent();  // that may have taken effect, or may do so later
  Task<void> back_off(int times);

  Core& core_;
  Lane& lane_;
  struct Beside {
    Companion* companion;  // of an update of the batch
    LeaseId lease;
  };
  std::vector<Beside> beside_;  // those that are written with the batch
  bool current_ = false;        // what is known was learned after the batch began
  int leases_lost_ = 0;
};

}  // namespace lockstep::service
