// Cuts a byte stream into frames, with one copy of each byte at most.
//
// Usage: fill space() from the connection, commit() what arrived, take the frames, repeat.
// Invariants (I11): 1. memory is bounded by one read buffer and one frame of the permitted size, and a large
// frame's memory is taken only after its header passed every check; 2. a frame is handed out only after its
// checksum held;
// 3. bodies handed out pin at most about twice their bytes: a mostly full buffer is given away whole, from a
// mostly empty one they are copied.
// After the first bad input the reader is finished: the connection must be closed.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "platform/frame.h"

namespace lockstep::platform {

struct Frame {
  FrameKind kind = FrameKind::message;
  SharedBytes body;
};

class FrameReader {
 public:
  // Small, for a peer that has not introduced itself.
  FrameReader();
  // From here on large frames are accepted. Keeps what was read.
  void admit();

  // Where the next bytes go; never empty. Valid until commit().
  std::span<char> space();
  // Takes in `count` bytes written to space() and appends the frames that are complete. Frames appended
  // before a bad input are good.
  BadInput commit(std::size_t count, std::vector<Frame>* frames);
  // The stream ended inside a frame, if it ended now.
  [[nodiscard]] bool inside_frame() const { return filled_ > 0; }
  [[nodiscard]] std::size_t memory_bytes() const { return buffer_.capacity(); }

 private:
  struct Place {
    FrameKind kind;
    std::size_t offset;
    std::size_t bytes;
  };
  BadInput scan(std::vector<Place>* places, std::size_t* end, std::size_t* frame_bytes) const;
  void hand_out(const std::vector<Place>& places, std::size_t end, std::vector<Frame>* frames);

  std::string buffer_;
  std::size_t filled_ = 0;
  std::size_t body_bytes_max_ = hello_body_bytes_max;
  std::size_t buffer_bytes_;
};

}  // namespace lockstep::platform
