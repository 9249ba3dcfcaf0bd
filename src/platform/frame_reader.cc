#include "platform/frame_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"

namespace lockstep::platform {
namespace {

constexpr std::size_t hello_buffer_bytes = 512;
static_assert(hello_buffer_bytes >= frame_header_bytes + hello_body_bytes_max);
// One system call's worth: loopback and fast networks deliver about this much at once.
constexpr std::size_t read_buffer_bytes = 64 * limits::kibibyte;

// The zeros that resize() would write are overwritten anyway.
std::string uninitialized(std::size_t bytes) {
  std::string buffer;
  buffer.resize_and_overwrite(bytes, [](char*, std::size_t size) { return size; });
  return buffer;
}

}  // namespace

FrameReader::FrameReader() : buffer_(uninitialized(hello_buffer_bytes)), buffer_bytes_(hello_buffer_bytes) {}

void FrameReader::admit() {
  LS_MUST(filled_ <= buffer_.size());
  std::string larger = uninitialized(read_buffer_bytes);
  std::memcpy(larger.data(), buffer_.data(), filled_);
  buffer_ = std::move(larger);
  buffer_bytes_ = read_buffer_bytes;
  body_bytes_max_ = frame_body_bytes_max;
}

std::span<char> FrameReader::space() {
  LS_MUST(filled_ < buffer_.size(), "commit() always leaves room");
  return std::span(buffer_).subspan(filled_);
}

BadInput FrameReader::commit(std::size_t count, std::vector<Frame>* frames) {
  LS_MUST(count <= buffer_.size() - filled_);
  filled_ += count;
  std::vector<Place> places;
  std::size_t end = 0;
  std::size_t frame_bytes = 0;
  const BadInput bad = scan(&places, &end, &frame_bytes);
  if (!places.empty()) hand_out(places, end, frames);
  if (bad != BadInput::none) return bad;
  if (frame_bytes > buffer_.size()) {  // its header is good: now its memory may be taken
    std::string exact = uninitialized(frame_bytes);
    std::memcpy(exact.data(), buffer_.data(), filled_);
    buffer_ = std::move(exact);
  }
  LS_MUST(filled_ < buffer_.size());
  return BadInput::none;
}

// Walks the complete frames. *frame_bytes is the size of the incomplete one behind them, 0 if not known yet.
BadInput FrameReader::scan(std::vector<Place>* places, std::size_t* end, std::size_t* frame_bytes) const {
  const std::string_view bytes(buffer_.data(), filled_);
  while (bytes.size() - *end >= frame_header_bytes) {
    FrameHeader header;
    const BadInput bad = decode_header(bytes.substr(*end, frame_header_bytes), body_bytes_max_, &header);
    if (bad != BadInput::none) return bad;
    const std::size_t total = frame_header_bytes + header.body_bytes;
    if (bytes.size() - *end < total) {
      *frame_bytes = total;
      return BadInput::none;
    }
    const std::string_view body = bytes.substr(*end + frame_header_bytes, header.body_bytes);
    if (crc32c(body) != header.body_checksum) return BadInput::body_checksum;
    places->push_back({header.kind, *end + frame_header_bytes, header.body_bytes});
    *end += total;
  }
  LS_MUST(*end <= filled_);
  return BadInput::none;
}

// The complete frames leave, the rest moves to the front of the buffer.
void FrameReader::hand_out(const std::vector<Place>& places, std::size_t end, std::vector<Frame>* frames) {
  const std::size_t rest = filled_ - end;
  SharedBytes whole;
  if (end >= buffer_.size() / 2) {
    std::string next = uninitialized(buffer_bytes_);
    LS_MUST(rest < next.size());
    std::memcpy(next.data(), buffer_.data() + end, rest);
    whole = SharedBytes(std::move(buffer_));
    buffer_ = std::move(next);
  } else {
    whole = SharedBytes(std::string(buffer_.data(), end));
    std::memmove(buffer_.data(), buffer_.data() + end, rest);
  }
  filled_ = rest;
  for (const Place& place : places) frames->push_back({place.kind, whole.slice(place.offset, place.bytes)});
}

}  // namespace lockstep::platform
