// A saved snapshot as a file: where the stream ends, and what is in it. The first byte says in which pieces
// it arrives; the same bytes must mean the same in any.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "cli/snapshot_file.h"
#include "store/snapshot.h"

namespace lockstep::cli {
namespace {

struct Outcome {
  std::uint64_t rows = 0;
  bool ok = false;
  bool stray = false;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome read(std::string_view bytes, std::size_t piece) {
  Outcome outcome;
  store::SnapshotDecoder decoder([&](auto, auto, auto) {
    ++outcome.rows;
    return Status();
  });
  std::uint64_t passed_on = 0;
  SnapshotStream stream([&](std::string_view part) {
    passed_on += part.size();
    return decoder.feed(part);
  });
  for (std::size_t offset = 0; offset < bytes.size(); offset += piece) {
    const Status fed = stream.feed(bytes.substr(offset, piece));
    LS_MUST(passed_on <= bytes.size());
    LS_MUST(fed.ok() || fed.code() == Code::corruption);
    if (!fed.ok()) return {};
  }
  outcome.ok = decoder.finish().ok();
  outcome.stray = stream.stray();
  return outcome;
}

}  // namespace
}  // namespace lockstep::cli

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lockstep::cli;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  LS_MUST(read(bytes, std::size_t{1} + data[0]) == read(bytes, std::max<std::size_t>(1, bytes.size())));
  TrailingHash hash;
  hash.add(bytes);
  static_cast<void>(hash.matches());
  return 0;
}
