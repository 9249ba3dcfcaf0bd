// A history row: refused, or exactly what the builder would have made of the same effects.
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "store/effect.h"

namespace lockstep::store {
namespace {

void check(std::string_view encoded) {
  const auto decoded = EffectBlock::decode(std::string(encoded));
  if (!decoded.ok()) {
    LS_MUST(decoded.status().code() == Code::corruption);
    return;
  }
  const EffectBlock& block = **decoded;
  EffectBlockBuilder builder;
  builder.start(block.first_revision(), 0, 0);
  std::size_t position = 0;
  for (Revision at = block.first_revision(); at <= block.last_revision(); ++at) {
    LS_MUST(block.begin_of(at) == position);
    builder.begin_revision(at);
    for (; position < block.end_of(at); ++position) {
      const EffectView effect = block.effect(position);
      LS_MUST(block.key(position) == effect.row.key);
      LS_MUST(block.revision(position) == at);
      LS_MUST(block.find(at, effect.row.key) == effect);
      if (effect.kind == EffectKind::put) {
        builder.put(effect.row, effect.previous_revision, effect.previous_row);
      } else {
        builder.remove(effect.row.key, effect.previous_revision, effect.previous_row);
      }
    }
  }
  LS_MUST(position == block.size());
  LS_MUST(builder.finish()->encoded() == encoded);
}

}  // namespace
}  // namespace lockstep::store

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lockstep::store::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
