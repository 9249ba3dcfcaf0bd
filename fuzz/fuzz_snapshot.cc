// A snapshot stream from another member, into an engine and a state machine. Half of the inputs get frames
// with right checksums around them: a damaged frame is refused at once, and the rows behind it would never be
// seen.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "base/assert.h"
#include "engine/memory_engine.h"
#include "store/engine_history.h"
#include "store/recovery.h"
#include "store/snapshot.h"
#include "store/state_machine.h"

namespace lockstep::store {
namespace {

std::string framed(std::string_view rows, std::size_t frame_bytes) {
  std::string stream(snapshot_format::magic);
  std::uint32_t chain = 0;
  for (std::size_t offset = 0; offset < rows.size(); offset += frame_bytes) {
    chain = append_snapshot_frame(chain, rows.substr(offset, frame_bytes), &stream);
  }
  return stream;
}

void install(std::string_view stream, std::size_t piece) {
  const auto engine = engine::open_memory_engine(std::make_shared<engine::MemoryMedium>());
  std::uint64_t digest = 0;
  {
    SnapshotDecoder decoder([](engine::Table, std::string_view, std::string_view) { return Status(); });
    if (!decoder.feed(stream).ok() || !decoder.finish().ok()) digest = 1;  // refused below as well
    if (digest == 0) digest = decoder.digest();
  }
  {
    SnapshotInstaller installer(*engine);
    for (std::size_t offset = 0; offset < stream.size(); offset += piece) {
      const Status fed = installer.feed(stream.substr(offset, piece));
      LS_MUST(fed.ok() || fed.code() == Code::corruption);
      if (!fed.ok()) return;
    }
    const Status committed = installer.commit(digest);
    LS_MUST(committed.ok() || committed.code() == Code::corruption);
    if (!committed.ok()) return;
  }
  EngineHistory cold(*engine);
  StateMachine machine({}, &cold);
  const auto recovered = recover(*engine, machine);
  LS_MUST(recovered.ok() || recovered.status().code() == Code::corruption);
  if (!recovered.ok() || recovered->applied == LogIndex()) return;
  static_cast<void>(machine.range({.key = std::string(1, '\0'), .range_end = std::string(1, '\0')}));
}

}  // namespace
}  // namespace lockstep::store

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lockstep::store;
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t piece = 1 + data[1];
  if (data[0] % 2 == 0) {
    install(input, piece);
  } else {
    install(framed(input, std::min<std::size_t>(piece * 16, snapshot_format::frame_bytes)), piece);
  }
  return 0;
}
