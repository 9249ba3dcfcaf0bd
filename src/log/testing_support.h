// What the tests of the log share: a machine to run it on, a model to compare it with, a random workload.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/prng.h"
#include "log/log.h"
#include "log/snapshot_files.h"
#include "sim/disk.h"

namespace lockstep::log::testing {

using raft::Entry;
using raft::EntryKind;
using raft::HardState;

// Runs work when told, in the order it came: one queue for the disk's completions and the worker.
class Machine final : public env::Worker {
 public:
  explicit Machine(std::uint64_t seed)
      : disk(seed, [this](std::int64_t, env::Closure closure) { queue_.push_back(std::move(closure)); }) {}

  void submit(env::Closure work, env::Closure done) override {
    queue_.push_back([this, work = std::move(work), done = std::move(done)]() mutable {
      work();
      queue_.push_back(std::move(done));
    });
  }
  // One thing; false if there is nothing to do.
  bool run_one() {
    if (queue_.empty() || disk.stopped()) return false;
    env::Closure next = std::move(queue_.front());
    queue_.pop_front();
    next();
    return true;
  }
  void run() {
    while (run_one()) {
    }
  }
  void crash(sim::Loss loss, std::uint64_t seed) {
    queue_.clear();
    Prng prng(seed);
    disk.crash(loss, prng);
  }

  sim::SimDisk disk;

 private:
  std::deque<env::Closure> queue_;
};

inline Options small_options() {
  Options options;
  options.cluster = ClusterId(7);
  options.node = NodeId(1);
  options.new_incarnation = IncarnationId(0xabcdef);
  options.entry_bytes_max = 8 * limits::kibibyte;
  options.group_bytes_max = 16 * limits::kibibyte;
  options.segment_bytes = 32 * limits::kibibyte;
  return options;
}

inline Entry entry(std::uint64_t index, std::uint64_t term, std::string payload) {
  Entry result;
  result.index = LogIndex(index);
  result.term = Term(term);
  result.kind = payload.empty() ? EntryKind::empty : EntryKind::normal;
  if (!payload.empty()) result.payload = SharedBytes(std::move(payload));
  return result;
}

inline HardState hard_state(std::uint64_t term, std::uint64_t vote, std::uint64_t commit) {
  return {Term(term), NodeId(vote), LogIndex(commit)};
}

// What a log holds, by the definition of its operations.
struct Model {
  HardState hard;
  LogPosition base;
  std::vector<Entry> entries;  // from base.index + 1
  bool in_doubt = false;

  [[nodiscard]] LogIndex last_index() const { return entries.empty() ? base.index : entries.back().index; }
  [[nodiscard]] Term last_term() const { return entries.empty() ? base.term : entries.back().term; }
  void apply(const AppendBatch& batch) {
    if (batch.reset) {
      base = *batch.reset;
      entries.clear();
    }
    for (const Entry& next : batch.entries) {
      while (!entries.empty() && entries.back().index >= next.index) entries.pop_back();
      entries.push_back(next);
    }
    if (batch.hard_state) hard = *batch.hard_state;
  }
};

// Empty if what was recovered is the model's state, the entries up to `released` aside; else the difference.
inline std::string difference(const Recovered& got, const Model& model, LogIndex released) {
  if (got.hard_state != model.hard) {
    return "hard state: term " + std::to_string(got.hard_state.term.value()) + " vote " +
           std::to_string(got.hard_state.vote.value()) + " commit " +
           std::to_string(got.hard_state.commit.value()) + " instead of " +
           std::to_string(model.hard.term.value()) + "/" + std::to_string(model.hard.vote.value()) + "/" +
           std::to_string(model.hard.commit.value());
  }
  if (got.damage && !got.damage->discarded) return "damage: " + got.damage->reason;
  if (got.damage.has_value() != model.in_doubt) return "doubt";
  if (got.last != LogPosition{model.last_index(), model.last_term()}) {
    return "last index " + std::to_string(got.last.index.value()) + " instead of " +
           std::to_string(model.last_index().value());
  }
  if (got.base.index > std::max(released, model.base.index)) {
    return "base " + std::to_string(got.base.index.value()) + " above what was released";
  }
  LogIndex expected = std::max(got.base.index, LogIndex{}).next();
  for (const Entry& next : got.entries) {
    if (next.index != expected) return "entries are not consecutive";
    ++expected;
    if (next.index <= model.base.index) continue;
    const Entry& original = model.entries[next.index - model.base.index - 1];
    if (!(next == original)) return "entry " + std::to_string(next.index.value()) + " differs";
  }
  if (expected != got.last.index.next()) return "entries are missing at the end";
  return "";
}

// Draws operations that a correct caller may make.
class Workload {
 public:
  explicit Workload(std::uint64_t seed) : prng_(seed) {}

  // The next batch after a log that stands at `model`.
  AppendBatch next_batch(const Model& model) {
    AppendBatch batch;
    HardState hard = model.hard;
    const std::uint64_t what = prng_.below(16);
    if (what == 0 && model.last_index() > LogIndex{}) {
      const LogIndex to = LogIndex(prng_.between(model.hard.commit.value(), model.last_index().value() + 5));
      batch.reset = LogPosition{to, std::max(Term(1), model.hard.term)};
      hard.commit = to;
      hard.term = batch.reset->term;
      batch.hard_state = hard;
    } else if (what == 1) {
      hard.term = hard.term.next();
      hard.vote = NodeId(prng_.below(4));
      batch.hard_state = hard;
    } else if (what <= 4) {
      add_entries(batch, model, LogIndex(prng_.between(hard.commit.value(), model.last_index().value()) + 1));
    } else if (what <= 6) {
      hard.commit = LogIndex(prng_.between(hard.commit.value(), model.last_index().value()));
      batch.hard_state = hard;
    } else if (what <= 14) {
      add_entries(batch, model, model.last_index().next());
    }
    return batch;
  }
  Prng& prng() { return prng_; }

 private:
  void add_entries(AppendBatch& batch, const Model& model, LogIndex first) {
    // Overwriting happens in a newer term only.
    Term term = std::max({Term(1), model.hard.term, model.last_term()});
    if (first <= model.last_index()) term = term.next();
    HardState hard = model.hard;
    if (term > hard.term) {
      hard.term = term;
      hard.vote = NodeId{};
      batch.hard_state = hard;
    }
    const std::uint64_t count = prng_.between(1, 5);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t size = prng_.chance(1, 4) ? prng_.below(3000) : prng_.below(100);
      std::string payload(size, '\0');
      for (char& byte : payload) byte = static_cast<char>(prng_.below(256));
      batch.entries.push_back(entry(first.value() + i, term.value(), std::move(payload)));
    }
  }
  Prng prng_;
};

// One life of a log after the other on one machine, with the model at its side.
class Member {
 public:
  explicit Member(std::uint64_t seed) : machine(seed), options(small_options()) { states.emplace_back(); }
  ~Member() { log.reset(); }

  Status open() {
    auto opened =
        Log::open(machine.disk, machine, options, [this](Status status) { fatal = std::move(status); });
    if (!opened.ok()) return opened.status();
    log = std::move(opened->log);
    recovered = std::move(opened->recovered);
    return {};
  }
  void append(AppendBatch batch) {
    Model after = states.back();
    after.apply(batch);
    states.push_back(std::move(after));
    const std::size_t number = states.size() - 1;
    log->append(std::move(batch), [this, number] {
      EXPECT_LT(acknowledged, number) << "acknowledged out of order";
      acknowledged = number;
    });
  }
  void release(LogIndex index) {
    released = std::max(released, index);
    log->release(index);
  }
  void die(sim::Loss loss, std::uint64_t seed) {
    log.reset();
    machine.crash(loss, seed);
  }
  // After a successful open(): the log must stand at one of the states since the last acknowledged one.
  // Makes that state the only one. Returns what is wrong otherwise.
  std::string reconcile() {
    if (log->needs_discard()) return "damage reported: " + recovered.damage->reason;
    std::string why;
    for (std::size_t i = acknowledged; i < states.size(); ++i) {
      const std::string different = difference(recovered, states[i], released);
      if (different.empty()) {
        states = {states[i]};
        acknowledged = 0;
        return "";
      }
      why += "\n  state " + std::to_string(i) + ": " + different;
    }
    return "no state from " + std::to_string(acknowledged) + " to " + std::to_string(states.size() - 1) +
           " fits:" + why;
  }

  Machine machine;
  Options options;
  std::unique_ptr<Log> log;
  Recovered recovered;
  std::optional<Status> fatal;
  std::vector<Model> states;     // after each append since the last reconcile()
  std::size_t acknowledged = 0;  // the newest of them known to be durable
  LogIndex released;
};

}  // namespace lockstep::log::testing
