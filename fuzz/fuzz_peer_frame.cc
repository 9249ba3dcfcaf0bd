// The bytes a peer may send: the frame reader in any portions, and the hello.
//
// Checked beside not crashing: memory stays within its bound, what is handed out does not depend on how the
// bytes were cut, and a hello that parses is written back to the same bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/assert.h"
#include "platform/frame.h"
#include "platform/frame_reader.h"

namespace {

using namespace lockstep;
using namespace lockstep::platform;

struct Outcome {
  std::vector<std::string> bodies;
  BadInput bad = BadInput::none;

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome read_in_portions(std::string_view bytes, std::size_t portion, bool admitted) {
  FrameReader reader;
  if (admitted) reader.admit();
  Outcome outcome;
  std::vector<Frame> frames;
  while (!bytes.empty() && outcome.bad == BadInput::none) {
    const std::span<char> space = reader.space();
    const std::size_t count = std::min({space.size(), bytes.size(), portion});
    std::memcpy(space.data(), bytes.data(), count);
    bytes.remove_prefix(count);
    outcome.bad = reader.commit(count, &frames);
    LS_MUST(reader.memory_bytes() <= frame_body_bytes_max + limits::mebibyte);
  }
  for (const Frame& frame : frames) outcome.bodies.emplace_back(frame.body.view());
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const bool admitted : {false, true}) {
    const Outcome at_once = read_in_portions(bytes, bytes.size() + 1, admitted);
    LS_MUST(at_once == read_in_portions(bytes, 7, admitted));
  }
  // The same bytes as the body of a frame whose checksums hold, so that mutations get past them.
  if (!bytes.empty() && size <= hello_body_bytes_max) {
    const Outcome sealed = read_in_portions(encode_frame(FrameKind::hello, bytes), 11, false);
    LS_MUST(sealed.bad == BadInput::none);
    LS_MUST(sealed.bodies.size() == 1);
    LS_MUST(sealed.bodies[0] == bytes);
  }
  Hello hello;
  if (decode_hello(bytes, &hello)) {
    const std::string written = encode_hello(hello);
    LS_MUST(bytes.starts_with(written));
    check_hello(hello, Hello());
  }
  return 0;
}
