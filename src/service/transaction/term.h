// One coordinator's time in office: everything between a take-over and whatever ends it.
//
// Whoever holds it feeds it what stands in the store, page by page and then as it changes; it steps every
// transaction, sends, writes. It is over when the store says that the epoch is another's. Invariants:
// coordinator.h.
//
// Ownership: shared with nothing but itself; after stop() nothing is sent or written any more, and answers
// are dropped. Strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "env/http_client.h"
#include "service/context.h"
#include "service/transaction/active.h"
#include "service/transaction/call_gate.h"
#include "service/transaction/coordinator.h"
#include "service/transaction/document_cache.h"
#include "service/transaction/finished_ones.h"
#include "service/transaction/replies.h"
#include "service/transaction/transition.h"
#include "service/waiting.h"

namespace lockstep::service::transaction {

class Term : public std::enable_shared_from_this<Term> {
 public:
  // `clock_ms`: what the coordinators' clock showed when the epoch began. `over` is set when it is over.
  Term(const Context& context, env::HttpClient& client, CoordinatorOptions options, Revision epoch,
       std::int64_t clock_ms, CoordinatorFigures& figures, Signal over);
  ~Term();
  Term(const Term&) = delete;
  Term& operator=(const Term&) = delete;

  void start();
  void stop();
  [[nodiscard]] bool over() const { return over_; }

  // What stands in the store, or changed.
  void see_definition(const store::KeyValue& kv);
  void see_unfinished(const store::KeyValue& kv);
  void see_removed(std::string_view gid, Revision revision);
  void see_finished(std::string gid, Revision revision);
  // Before the others that are finished, the oldest first; since when by the coordinators' clock.
  void see_remembered(FinishedOnes::One one, std::int64_t since_ms);
  // All of those were seen.
  void knows_finished() { finished_known_ = true; }
  // Everything up to that revision was seen.
  void see_progress(Revision revision);
  // As often as something was seen: goes on with whatever is due.
  void pump();

 private:
  struct Write {
    std::uint64_t serial = 0;
    std::string gid;
    Revision revision;
    std::vector<store::RequestOperation> operations;
    std::size_t bytes = 0;
    Verdict verdict = Verdict::running;
    bool has_more = false;  // keys of its own beside state and definition
  };

  [[nodiscard]] std::int64_t now_ms() const;
  [[nodiscard]] std::int64_t wall_ms() const;
  [[nodiscard]] store::CallOptions call() const;
  Active* find(std::uint64_t serial);
  Active& make(std::string_view gid);
  void drop(Active& active);
  void note_gone(const std::string& gid, Revision revision);
  void schedule(Active& active, std::int64_t due_ms);
  void take_newer(Active& active);
  void tell_of(Active& active, Mode mode, std::string reason);
  void tell_waiters();
  void use_room(Active& active);
  void set_wake_timer();
  void tick();
  void end(bool lost);

  // term_step.cc: one transaction, from where it stands to what it waits for.
  void step(Active& active);
  bool take_arrived(Active& active);
  bool take_reply(Active& active, ArrivedReply& reply);
  bool take_time(Active& active);
  bool take_given_up(Active& active);
  bool drop_unsent(Active& active);
  bool record_attempts(Active& active);
  bool tell(Active& active, JournalLine line);
  const Next& next_of(Active& active);
  void begin_delays(Active& active);
  [[nodiscard]] std::int64_t due_of(Active& active);
  [[nodiscard]] bool may_send(Active& active, const Call& call);
  void send_due(Active& active);
  void send(Active& active, const Call& call);
  void on_reply(std::uint64_t serial, const SentCall& sent, Result<env::HttpReply> answer);
  void rest(Active& active);
  void rest_unless_due(Active& active);
  void account(Active& active);
  void forget_machine(Active& active);
  void look_at_alarm(Active& active);

  // term_store.cc: reading and writing, many transactions at a time.
  bool build(Active& active);
  Status build_from(Active& active, std::string_view document, const std::vector<std::string>& registered);
  void want_load(Active& active);
  void load_wanted();
  void on_loaded(const std::vector<std::pair<std::uint64_t, std::string>>& asked,
                 const Result<store::TxnResponse>& answer);
  void on_loaded_one(Active& active, Result<Loaded> loaded);
  void want_write(Active& active);
  void write_wanted();
  void send_batch(std::vector<Write> batch);
  void on_written(const std::vector<Write>& batch, const Result<store::TxnResponse>& answer);
  void on_written_one(const Write& write, const store::TxnResponse& answer, Revision revision);
  void write_failed(Active& active, std::int64_t again_ms);
  // term_sweep.cc: what is finished, until it is forgotten.
  void sweep();
  bool tell_full();
  void remove(std::vector<FinishedOnes::One> due);
  void shorten(std::vector<FinishedOnes::One> surplus);
  void write_short(std::vector<FinishedOnes::One>& surplus, const store::TxnResponse& found);
  // `then` unless the term is over; after an error those are given back.
  void sweep_with(store::TxnRequest txn, std::vector<FinishedOnes::One> ones,
                  void (Term::*then)(std::vector<FinishedOnes::One>&, const store::TxnResponse&));
  void on_removed(std::vector<FinishedOnes::One>& due, const store::TxnResponse& answer);
  void on_shortened(std::vector<FinishedOnes::One>& surplus, const store::TxnResponse& answer);
  void at_turn_end();

  Context context_;
  env::HttpClient& client_;
  CoordinatorOptions options_;
  Revision epoch_;
  std::int64_t clock_ms_;  // at clock_at_
  TimePoint clock_at_;
  std::int64_t clock_written_ms_;
  CoordinatorFigures& figures_;
  Signal over_signal_;
  bool over_ = false;
  bool stopped_ = false;

  std::uint64_t last_serial_ = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<Active>> active_;
  std::unordered_map<std::string, std::uint64_t> serials_;
  std::set<std::pair<std::int64_t, std::uint64_t>> due_;
  std::set<std::uint64_t> unsaved_;
  // What was finished here, until the watch has told so: what it tells of before is old.
  std::unordered_map<std::string, Revision> gone_;
  std::size_t gone_max_ = 0;
  Revision watched_;
  std::size_t machines_ = 0;
  std::size_t machine_bytes_ = 0;
  DocumentCache documents_;
  CallGate gate_;
  FinishedOnes finished_;

  std::vector<std::uint64_t> to_load_;
  std::vector<Write> to_write_;
  std::size_t loads_under_way_ = 0;
  std::size_t writes_under_way_ = 0;
  bool sweeping_ = false;
  bool finished_known_ = false;
  std::optional<bool> told_full_;  // what the store says of it, if that is known
  bool tick_due_ = false;          // the clock is to be written, also if nothing else is
  bool turn_end_asked_ = false;
  bool pumping_ = false;
  env::TimerId wake_timer_;
  std::int64_t wake_ms_ = never_ms;
  env::TimerId tick_timer_;
};

}  // namespace lockstep::service::transaction
