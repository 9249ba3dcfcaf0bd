// The simulated disk of one machine: everything env/disk.h allows to go wrong, from a seed.
//
// Deterministic: equal seeds and equal calls give equal results. Time passes only through the injected
// scheduler (write_and_sync that is not `small`); every other call is served at once. One thread.
//
// A machine outlives its processes: crash() ends the present one (open files and locks are void, nothing
// completes any more) and, for a power cut, draws what survives of everything that was not synced.
//
// Persistence steps: each write, sync, change of a name and sync of a directory is one. crash_at_step(n)
// stops the disk in the middle of step n: its effect is in the cache but nothing was synced by it, the call
// and all later ones fail without effect, and nothing completes until crash() is called.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/prng.h"
#include "env/disk.h"
#include "env/executor.h"
#include "sim/disk_inode.h"

namespace lockstep::sim {

enum class Loss : std::uint8_t {
  process,  // the process died: what it wrote stays in the cache
  power,    // what was not synced survives wholly, in part or not
};

enum class DiskCall : std::uint8_t { read, write, sync };

class SimDisk final : public env::Disk {
 public:
  // Runs the closure after `delay_ns` of simulated time, never inside the call.
  using Scheduler = std::function<void(std::int64_t delay_ns, env::Closure closure)>;
  // Names and bytes of a whole disk at one moment.
  using Tree = std::map<std::string, std::shared_ptr<const Inode>>;  // null: a directory

  SimDisk(std::uint64_t seed, Scheduler scheduler);
  ~SimDisk() override;

  // --- env::Disk ---
  Result<std::unique_ptr<env::File>> open(const std::string& path, env::OpenMode mode) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Status create_directory(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status remove_tree(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Result<std::unique_ptr<env::DirectoryLock>> lock_directory(const std::string& path) override;
  Result<std::uint64_t> free_bytes() override;

  // --- life and death ---
  void crash(Loss loss, Prng& prng);
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  // Stops in the middle of the n-th step from now (1: the next); 0 switches it off. `stopped` is told at
  // once.
  void crash_at_step(std::uint64_t n, std::function<void()> stopped = nullptr);
  [[nodiscard]] bool stopped() const { return stopped_; }

  // --- faults ---
  // How long write_and_sync takes, drawn evenly. A slow disk has larger ones.
  void set_delay(std::int64_t min_ns, std::int64_t max_ns);
  // Whether `small` requests are served inside the call, in no time (as set at first), or wait their turn
  // like all others, so that a slow disk is slow for them, too. A caller must live with either.
  void serve_small_inside(bool on) { small_inside_ = on; }
  // Those inside come a moment later, with `meanwhile` between write and sync, for tests in which nobody
  // hears too early what that leads to. Else it comes after both: nothing else happens to a member in
  // between.
  void work_meanwhile(bool on) { works_meanwhile_ = on; }
  // Inside such a `meanwhile`.
  [[nodiscard]] bool at_work() const { return at_work_; }
  // Nothing completes until thaw().
  void freeze() { frozen_ = true; }
  void thaw();
  [[nodiscard]] bool frozen() const { return frozen_; }
  // The n-th such call from now (1: the next) fails with `code`. A failed sync loses what was not synced.
  void fail_nth(DiskCall call, std::uint64_t n, Code code = Code::io_error);
  // The n-th write from now to a file whose path contains `path_part` has this fate.
  void set_write_fate(WriteFate fate, std::uint64_t n, std::string path_part);
  // All files together may hold so many bytes.
  void set_capacity(std::uint64_t bytes) { capacity_bytes_ = bytes; }
  [[nodiscard]] std::uint64_t used_bytes() const;
  // Flips `bits` different bits of [offset, offset + length), clipped to the file. False if there is no such
  // place.
  bool flip_bits(const std::string& path, std::uint64_t offset, std::uint64_t length, std::uint64_t bits,
                 Prng& prng);
  // Reads that touch the range fail until the file is removed or the range overwritten by clear_unreadable().
  void set_unreadable(const std::string& path, std::uint64_t offset, std::uint64_t length);
  void clear_unreadable() { unreadable_.clear(); }
  // Only between processes (after crash()).
  void wipe();
  [[nodiscard]] Tree save() const;
  void restore(const Tree& tree);

  // --- looking at it and editing it from outside ---
  [[nodiscard]] std::vector<std::string> paths() const;  // files, sorted
  [[nodiscard]] Result<std::string> bytes_of(const std::string& path) const;
  [[nodiscard]] Result<std::string> durable_bytes_of(const std::string& path) const;
  // Changes bytes of an existing file, durably.
  Status overwrite(const std::string& path, std::uint64_t offset, std::string_view bytes);
  // One line for each call that may change something ("write log/x 4096+512"), while switched on.
  void record_calls(bool on) { recording_ = on; }
  [[nodiscard]] const std::vector<std::string>& calls() const { return calls_; }
  void clear_calls() { calls_.clear(); }

 private:
  friend class SimFile;
  friend class SimDirectoryLock;

  using Names = std::map<std::string, std::shared_ptr<Inode>>;  // null: a directory
  struct NameChange {
    std::string from;  // removed, if not empty
    std::string to;    // set to `inode`, if not empty
    std::shared_ptr<Inode> inode;
  };
  struct InFlight {
    std::shared_ptr<Inode> inode;
    std::string path;
    std::vector<env::Write> writes;
    std::move_only_function<void()> meanwhile;
    std::move_only_function<void(Status)> done;
    bool on_strand = false;  // which has waited only until it was quiet
    void finish(const Status& status) {
      if (meanwhile && status.ok()) std::exchange(meanwhile, nullptr)();
      done(status);
    }
  };
  struct Trigger {
    std::uint64_t left = 0;  // 0: not armed
    Code code = Code::io_error;
  };
  struct FateTrigger {
    std::uint64_t left = 0;
    WriteFate fate = WriteFate::normal;
    std::string path_part;
  };
  struct Range {
    std::string path;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };

  [[nodiscard]] bool usable(std::uint64_t life) const { return life == life_ && !stopped_; }
  // Counts a step; false if the disk stops in it.
  bool step();
  Status take_failure(DiskCall call);
  void record(std::string line);
  void change_name(NameChange change);
  static void apply(const NameChange& change, Names& names);
  static void drop_orphans(Names& names);

  Result<std::size_t> read(const Inode& inode, const std::string& path, std::uint64_t offset,
                           std::span<char> buffer);
  Status write(Inode& inode, const std::string& path, std::uint64_t offset, std::string_view bytes);
  Status sync(Inode& inode, const std::string& path);
  void write_and_sync(InFlight request, bool small);
  Status serve(InFlight& request);
  void serve_next();

  Prng prng_;
  Scheduler scheduler_;
  std::int64_t delay_min_ns_ = 100'000;
  std::int64_t delay_max_ns_ = 300'000;
  Names names_;          // what calls see
  Names durable_names_;  // what a power cut leaves at least
  std::vector<NameChange> name_changes_;
  std::deque<InFlight> in_flight_;
  std::uint64_t held_completions_ = 0;
  std::set<std::string> locks_;
  std::map<DiskCall, Trigger> failures_;
  FateTrigger fate_;
  std::vector<Range> unreadable_;
  std::uint64_t capacity_bytes_ = UINT64_MAX;
  std::uint64_t inodes_made_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t stop_at_step_ = 0;
  std::function<void()> on_stop_;
  std::uint64_t life_ = 1;  // counts crashes: what belongs to an earlier one is void
  bool stopped_ = false;
  bool frozen_ = false;
  bool small_inside_ = true;
  bool works_meanwhile_ = false;
  bool at_work_ = false;
  bool recording_ = false;
  std::vector<std::string> calls_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace lockstep::sim
