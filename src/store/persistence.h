// Persistence: writes the state machine's changes to the engine, behind the log and off the strand.
//
// apply() hands over what each entry changed; windows of many entries become one engine batch. The log
// already made them durable, so nobody waits for this, except the log, which is released up to
// durable_index().
//
// Invariants:
//   1. An engine batch holds history, meta rows and the state row of one and the same index: what the engine
//      recovers is the state after one entry (recovery.h).
//   2. Rows of the current table may lag behind the effects and never lead them: a fold begins with a flush.
//   3. At most one job runs on the worker; the engine is written by jobs only.
//   4. Memory: backlog_bytes() is what was handed over and not written; the owner stops applying at its
//   limit.
//
// Strand: the core strand. The engine, the worker and the executor outlive this. on_progress is called after
// each job; the owner then calls pump(). on_fatal is called once: the engine failed, this member must halt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"
#include "engine/engine.h"
#include "env/executor.h"
#include "store/effect.h"
#include "store/recovery.h"
#include "store/snapshot.h"
#include "store/state_machine.h"
#include "store/sweep.h"

namespace lockstep::store {

struct PersistenceOptions {
  // A window is written as soon as it has so many bytes, or when the owner says the strand is idle.
  std::size_t window_bytes = 1 * limits::mebibyte;
  // History gathered before it is folded into the current table. The larger, the cheaper for keys that change
  // often; held in memory (mostly shared with History) and folded anew at a restart.
  std::size_t fold_bytes = 32 * limits::mebibyte;
  // Written before the engine is asked to flush, which lets the log go.
  std::size_t flush_bytes = 32 * limits::mebibyte;
  // Effects or rows looked at by one slice of the sweep.
  std::size_t sweep_slice = 20'000;
  // Bytes of a snapshot read or installed by one slice.
  std::size_t snapshot_slice_bytes = 4 * limits::mebibyte;
};

class Persistence {
 public:
  struct Callbacks {
    std::function<void()> on_progress;
    std::function<void(const Status&)> on_fatal;
  };

  Persistence(PersistenceOptions options, engine::Engine& engine, env::Worker& worker, Callbacks callbacks);
  ~Persistence();
  Persistence(const Persistence&) = delete;
  Persistence& operator=(const Persistence&) = delete;

  // After recover(), and before anything else. Not while a job runs.
  void start(Recovered recovered);

  // What applying one entry changed, in order. Entries without any change need no call.
  void add(Applied applied);
  // Keys that StateMachine::compaction_step() reclaimed.
  void add_reclaimed(std::vector<std::string> keys);
  // The members, encoded by the owner, as of the machine's applied index.
  void set_configuration(std::string encoded);

  // Starts the next job if none runs, and tells the machine's history what is durable. Call after applying
  // and from on_progress. `idle`: write what there is.
  void pump(StateMachine& machine, bool idle);
  // The next pump flushes even if little was written.
  void request_flush() { flush_requested_ = true; }
  [[nodiscard]] bool busy() const { return busy_; }
  // Written to the engine since it was last asked to flush.
  [[nodiscard]] std::size_t unflushed_bytes() const { return unflushed_bytes_; }
  // No job runs, and none is due.
  [[nodiscard]] bool quiet() const;

  [[nodiscard]] std::size_t backlog_bytes() const { return pending_.bytes + writing_bytes_; }
  // Written, and so visible to views and snapshots.
  [[nodiscard]] LogIndex engine_index() const { return engine_index_; }
  // Survives a crash: the log may be released up to here.
  [[nodiscard]] LogIndex durable_index();
  [[nodiscard]] Revision durable_revision();

  // ---- snapshots
  // Makes one at engine_index(), measured and ready to be read. Its view keeps discarded history on the disk:
  // drop it when it was sent.
  void make_snapshot(std::move_only_function<void(Result<std::shared_ptr<SnapshotSource>>)> done);
  // At most `bytes_max` bytes from `offset`, which is best where the last call ended.
  void read_snapshot(std::shared_ptr<SnapshotSource> source, std::uint64_t offset, std::size_t bytes_max,
                     std::move_only_function<void(Result<SharedBytes>)> done);

  // Installing: chunks in order, then finish. An error (corruption: not fatal) leaves the engine as it was.
  // Applying may go on until finish_install(). `admit` is asked on the worker before anything is written; its
  // error is the first chunk's.
  void begin_install(std::function<Status()> admit = {});
  void install_chunk(SharedBytes bytes, std::move_only_function<void(Status)> done);
  // Replaces the engine's content and loads it into `machine`, which is newly made; on the worker. Windows
  // that were not written are dropped. Then call start() with what it gives, and use that machine. Content
  // that was installed and cannot be loaded is fatal.
  void finish_install(std::uint64_t digest, std::shared_ptr<StateMachine> machine,
                      std::move_only_function<void(Result<Recovered>)> done);
  void abandon_install();

 private:
  struct Window {
    std::vector<std::shared_ptr<const EffectBlock>> blocks;
    std::vector<MetaChange> meta;
    std::vector<std::string> reclaimed;
    std::size_t bytes = 0;
    // Taken at the cut.
    LogIndex index;
    Revision revision;
    Revision compacted;
  };
  struct Written {
    engine::Position position;
    LogIndex index;
    Revision revision;
  };

  // Runs `work` on the worker, then done(result) here, unless this is gone.
  template <class Value>
  void run(std::move_only_function<Result<Value>()> work, std::move_only_function<void(Result<Value>)> done);
  bool start_window(const StateMachine& machine, bool idle);
  bool start_fold();
  bool start_flush();
  bool start_sweep();
  bool start_request();
  bool start_background();
  void window_written(Window window, engine::Position position);
  void measure(std::shared_ptr<SnapshotSource> source,
               std::move_only_function<void(Result<std::shared_ptr<SnapshotSource>>)> done);
  void update_durable();
  void fail(const Status& status);
  static engine::WriteBatch make_batch(const Window& window);

  PersistenceOptions options_;
  engine::Engine& engine_;
  env::Worker& worker_;
  Callbacks callbacks_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  Window pending_;
  std::size_t writing_bytes_ = 0;
  bool busy_ = false;
  bool failed_ = false;
  bool background_turn_ = false;  // windows and background jobs take turns

  LogIndex engine_index_;
  Revision engine_revision_{1};
  Revision engine_compacted_;
  std::deque<Written> undurable_;
  LogIndex durable_index_;
  Revision durable_revision_{1};
  std::size_t unflushed_bytes_ = 0;
  bool flush_requested_ = false;

  std::vector<std::shared_ptr<const EffectBlock>> unfolded_;  // written
  std::vector<std::string> unfolded_reclaimed_;
  std::size_t unfolded_bytes_ = 0;
  Revision folded_{1};

  Revision swept_;
  std::shared_ptr<Sweep> sweep_;

  std::deque<env::Closure> requests_;  // each starts one job
  std::shared_ptr<SnapshotInstaller> installer_;
};

}  // namespace lockstep::store
