// A busy life of a log, with snapshots, for the tests that interrupt it.
#pragma once

#include <map>
#include <string>

#include "log/testing_support.h"

namespace lockstep::log::testing {

// A life in which everything happens: appends, cuts, hard states, resets, rotation, release and reuse,
// idle flushes, snapshots. Goes on until its end or until the disk stops.
class Life {
 public:
  Life(Member& member, std::uint64_t seed) : member_(member), workload_(seed) {}

  void run(int operations) {
    for (int i = 0; i < operations && !member_.machine.disk.stopped() && !member_.fatal; ++i) step();
    member_.machine.run();
  }
  // Snapshots that were finished, newest last: they must be there after any crash, unless removed later.
  std::map<LogIndex, std::string> finished;
  // Begun or removed: may be there, then whole.
  std::map<LogIndex, std::string> possible;

 private:
  void step() {
    Prng& prng = workload_.prng();
    const std::uint64_t what = prng.below(20);
    if (what == 0) {
      const LogIndex commit = member_.states.back().hard.commit;
      if (commit > LogIndex{} && member_.acknowledged + 1 == member_.states.size()) {
        snapshot(commit);
        if (!member_.machine.disk.stopped()) member_.release(commit);
      }
    } else if (what == 1) {
      member_.log->flush_idle();
    } else {
      member_.append(workload_.next_batch(member_.states.back()));
    }
    for (std::uint64_t turns = prng.below(4); turns > 0; --turns) member_.machine.run_one();
    if (prng.chance(1, 3)) member_.machine.run();
  }

  void snapshot(LogIndex index) {
    std::string content(workload_.prng().below(200'000), 's');
    for (std::size_t i = 0; i < content.size(); i += 777) content[i] = static_cast<char>(index.value() + i);
    if (finished.contains(index) || possible.contains(index)) return;
    possible[index] = content;
    const Status status = write_snapshot(index, content);
    // After a failed sync nothing on the disk is certain: a caller ends the process.
    if (!status.ok() && status.code() != Code::resource_exhausted) member_.fatal = status;
  }

  Status write_snapshot(LogIndex index, const std::string& content) {
    LS_ASSIGN_OR_RETURN(SnapshotFiles files, SnapshotFiles::open(member_.machine.disk, "log"));
    LS_ASSIGN_OR_RETURN(auto writer, files.create({index, Term(1), "members"}));
    for (std::size_t offset = 0; offset < content.size(); offset += 50'000) {
      LS_RETURN_IF_ERROR(writer->append(offset, std::string_view(content).substr(offset, 50'000)));
    }
    LS_RETURN_IF_ERROR(writer->finish());
    finished[index] = content;
    LS_ASSIGN_OR_RETURN(const std::vector<SnapshotMeta> list, files.list());
    for (std::size_t i = 2; i < list.size(); ++i) {
      const auto old = finished.find(list[i].index);
      if (old == finished.end()) continue;
      possible[old->first] = old->second;
      finished.erase(old);
    }
    return files.remove_old(2);
  }

  Member& member_;
  Workload workload_;
};

// Empty if the snapshots on the disk are those of the life.
inline std::string snapshot_difference(Member& member, const Life& life) {
  auto files = SnapshotFiles::open(member.machine.disk, "log");
  if (!files.ok()) return files.status().to_string();
  const auto list = files->list();
  if (!list.ok()) return list.status().to_string();
  if (files->damaged() > 0) return "a damaged snapshot";
  std::map<LogIndex, std::string> found;
  for (const SnapshotMeta& meta : *list) {
    if (meta.context != "members") return "the context of a snapshot";
    auto reader = files->read(meta.index, meta.term);
    if (!reader.ok()) return reader.status().to_string();
    std::string content((*reader)->size_bytes(), '\0');
    const auto got = (*reader)->read_at(0, content);
    if (!got.ok() || *got != content.size()) return "a snapshot that cannot be read";
    found[meta.index] = content;
    const bool is_finished = life.finished.contains(meta.index) && life.finished.at(meta.index) == content;
    const bool is_possible = life.possible.contains(meta.index) && life.possible.at(meta.index) == content;
    if (!is_finished && !is_possible) return "a snapshot nobody finished";
  }
  for (const auto& [index, content] : life.finished) {
    if (!found.contains(index)) return "the snapshot at " + std::to_string(index.value()) + " is gone";
  }
  return "";
}

}  // namespace lockstep::log::testing
