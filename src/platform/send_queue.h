// Messages on their way to one peer: bounded, framed late, written many at a time.
//
// Invariants (I11): bytes() and messages() never exceed their limits; what does not fit is refused, never
// queued. Large pieces are written from where they are; headers and small pieces are gathered in one scratch
// buffer, since a vector of tiny buffers costs more than copying them.
// Strand only.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "platform/frame.h"

namespace lockstep::platform {

// A leader keeps inflight_bytes_max on its way to a follower; twice that leaves room for everything else.
inline constexpr std::size_t send_queue_bytes_max = 2 * limits::inflight_bytes_max;
inline constexpr std::size_t send_queue_messages_max = 4096;
static_assert(send_queue_bytes_max >= limits::inflight_bytes_max + limits::frame_bytes_max);
static_assert(send_queue_messages_max > limits::inflight_messages_max);

class SendQueue {
 public:
  // False: full, the message is dropped.
  bool push(Pieces pieces);
  // Nothing waits and nothing is being written.
  [[nodiscard]] bool empty() const { return messages_ == 0; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t messages() const { return messages_; }

  // What to write next; empty if there is nothing. The views stay valid until written() or clear().
  [[nodiscard]] const std::vector<std::string_view>& to_write();
  // The first `count` bytes of to_write() are on their way. Returns how many messages that completed.
  std::size_t written(std::size_t count);
  // Forgets everything; returns how many messages were not written completely.
  std::size_t clear();

 private:
  struct Part {  // of the batch: a range of scratch_, or a piece
    std::size_t offset = 0;
    std::size_t bytes = 0;
    SharedBytes piece;
  };
  void gather();
  void append(const Pieces& pieces);
  void append_to_scratch(std::string_view bytes);

  std::deque<Pieces> waiting_;
  std::string scratch_;
  std::vector<Part> batch_;
  std::vector<std::string_view> views_;  // of the batch, from the first byte not written
  std::size_t batch_messages_ = 0;
  std::size_t batch_bytes_ = 0;
  std::size_t bytes_ = 0;  // waiting and being written, headers not counted
  std::size_t messages_ = 0;
  std::size_t batch_body_bytes_ = 0;
};

}  // namespace lockstep::platform
