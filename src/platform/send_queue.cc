#include "platform/send_queue.h"

#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"

namespace lockstep::platform {
namespace {

// Below this, copying is cheaper than one more buffer in the system call.
constexpr std::size_t copied_piece_bytes_max = 1024;
// A batch is closed when it has this much: more would not fit the socket's buffer anyway.
constexpr std::size_t batch_bytes_max = limits::mebibyte;
constexpr std::size_t batch_parts_max = 64;

}  // namespace

bool SendQueue::push(Pieces pieces) {
  const std::size_t bytes = size_of(pieces);
  LS_MUST(bytes > 0, "a message has at least one byte");
  LS_MUST(bytes <= frame_body_bytes_max);
  if (bytes > send_queue_bytes_max - bytes_) return false;
  if (messages_ >= send_queue_messages_max) return false;
  bytes_ += bytes;
  ++messages_;
  waiting_.push_back(std::move(pieces));
  return true;
}

const std::vector<std::string_view>& SendQueue::to_write() {
  if (views_.empty() && !waiting_.empty()) gather();
  return views_;
}

void SendQueue::gather() {
  LS_MUST(batch_.empty());
  LS_MUST(scratch_.empty());
  while (!waiting_.empty() && batch_bytes_ < batch_bytes_max && batch_.size() < batch_parts_max) {
    append(waiting_.front());
    waiting_.pop_front();
  }
  for (const Part& part : batch_) {
    views_.push_back(part.piece.empty() ? std::string_view(scratch_).substr(part.offset, part.bytes)
                                        : part.piece.view());
  }
}

void SendQueue::append(const Pieces& pieces) {
  FrameHeader header;
  for (const SharedBytes& piece : pieces) {
    header.body_checksum = crc32c_extend(header.body_checksum, piece.view());
    header.body_bytes += static_cast<std::uint32_t>(piece.size());
  }
  const auto encoded = encode_header(header);
  append_to_scratch(std::string_view(encoded.data(), encoded.size()));
  for (const SharedBytes& piece : pieces) {
    if (piece.size() <= copied_piece_bytes_max) {
      append_to_scratch(piece.view());
    } else {
      batch_.push_back({0, piece.size(), piece});
    }
  }
  ++batch_messages_;
  batch_body_bytes_ += header.body_bytes;
  batch_bytes_ += frame_header_bytes + header.body_bytes;
}

void SendQueue::append_to_scratch(std::string_view bytes) {
  if (bytes.empty()) return;
  if (batch_.empty() || !batch_.back().piece.empty()) batch_.push_back({scratch_.size(), 0, {}});
  batch_.back().bytes += bytes.size();
  scratch_.append(bytes);
}

std::size_t SendQueue::written(std::size_t count) {
  LS_MUST(count <= batch_bytes_);
  batch_bytes_ -= count;
  if (batch_bytes_ > 0) {
    auto first = views_.begin();
    for (; count >= first->size(); ++first) count -= first->size();
    first->remove_prefix(count);
    views_.erase(views_.begin(), first);
    return 0;
  }
  LS_MUST(bytes_ >= batch_body_bytes_);
  LS_MUST(messages_ >= batch_messages_);
  bytes_ -= std::exchange(batch_body_bytes_, 0);
  messages_ -= batch_messages_;
  batch_.clear();
  views_.clear();
  scratch_.clear();
  return std::exchange(batch_messages_, 0);
}

std::size_t SendQueue::clear() {
  const std::size_t lost = messages_;
  *this = SendQueue();
  return lost;
}

}  // namespace lockstep::platform
