// A directory of the log with damage in two places: the input is patches (file, offset, byte), of one byte or
// of the whole page around it.
//
// Checked beside not crashing: what open() returns is a beginning of what was written, whole unless damage is
// reported, and after a repair the next open finds the doubt only.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "base/assert.h"
#include "base/codec.h"
#include "base/prng.h"
#include "log/log.h"
#include "log/record.h"
#include "sim/disk.h"

namespace {

using namespace lockstep;
using namespace lockstep::log;

constexpr std::uint64_t entry_count = 12;

class Machine final : public env::Worker {
 public:
  Machine() : disk(1, [this](std::int64_t, env::Closure closure) { queue_.push_back(std::move(closure)); }) {}
  void submit(env::Closure work, env::Closure done) override {
    work();
    queue_.push_back(std::move(done));
  }
  void run() {
    while (!queue_.empty()) {
      env::Closure next = std::move(queue_.front());
      queue_.pop_front();
      next();
    }
  }
  void cut_power() {
    queue_.clear();
    Prng prng(1);
    disk.crash(sim::Loss::power, prng);
  }
  sim::SimDisk disk;

 private:
  std::deque<env::Closure> queue_;
};

Options options() {
  Options result;
  result.cluster = ClusterId(1);
  result.node = NodeId(1);
  result.new_incarnation = IncarnationId(9);
  result.entry_bytes_max = 4096;
  result.segment_bytes = 44 * limits::kibibyte;
  return result;
}

raft::Entry entry(std::uint64_t index) {
  raft::Entry result;
  result.index = LogIndex(index);
  result.term = Term(1 + index / 5);
  result.payload = SharedBytes(std::string(100 * index, static_cast<char>('a' + index)));
  return result;
}

// A small log over two segments, its end proved durable.
const sim::SimDisk::Tree& written_log() {
  static const sim::SimDisk::Tree tree = [] {
    Machine machine;
    auto opened = Log::open(machine.disk, machine, options(), nullptr);
    LS_MUST(opened.ok());
    for (std::uint64_t i = 1; i <= entry_count; ++i) {
      AppendBatch batch;
      batch.entries.push_back(entry(i));
      batch.hard_state = raft::HardState{entry(i).term, NodeId(1), LogIndex(i / 2)};
      opened->log->append(std::move(batch), nullptr);
      machine.run();
    }
    opened->log->flush_idle();
    machine.run();
    machine.cut_power();
    return machine.disk.save();
  }();
  return tree;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Machine machine;
  machine.disk.restore(written_log());
  Decoder decoder(std::string_view(reinterpret_cast<const char*>(data), size));
  const auto paths = machine.disk.paths();
  bool patched = false;
  // Three would be enough to destroy the last record and both proofs of it, which looks like a torn end.
  for (int patches = 0; patches < 2 && decoder.rest().size() >= 4; ++patches) {
    const std::uint8_t where = decoder.u8();
    const std::string& path = paths[where % 128 % paths.size()];
    const std::uint16_t offset = decoder.u16();
    const char byte = static_cast<char>(decoder.u8());
    const auto bytes = machine.disk.bytes_of(path);
    if (offset >= bytes->size()) continue;
    const bool whole_page = where >= 128;
    const std::uint64_t begin = whole_page ? offset / page_bytes * page_bytes : offset;
    const std::uint64_t length = whole_page ? std::min<std::uint64_t>(page_bytes, bytes->size() - begin) : 1;
    const std::string patch(length, byte);
    patched |= bytes->compare(begin, length, patch) != 0;
    LS_MUST(machine.disk.overwrite(path, begin, patch).ok());
  }
  auto opened = Log::open(machine.disk, machine, options(), nullptr);
  LS_MUST(opened.ok() || patched);
  if (!opened.ok()) return 0;
  const Recovered& recovered = opened->recovered;
  std::uint64_t index = recovered.base.index.value();
  for (const raft::Entry& got : recovered.entries) LS_MUST(got == entry(++index));
  LS_MUST(recovered.damage || index == entry_count);
  LS_MUST(recovered.damage.has_value() == opened->log->needs_discard());
  if (!recovered.damage) return 0;
  LS_MUST(opened->log->discard_damaged_tail().ok());
  opened->log.reset();
  machine.cut_power();
  const auto again = Log::open(machine.disk, machine, options(), nullptr);
  LS_MUST(again.ok());
  LS_MUST(again->recovered.damage->discarded);
  LS_MUST(!again->log->needs_discard());
  return 0;
}
