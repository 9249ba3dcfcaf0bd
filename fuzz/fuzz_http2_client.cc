// The bytes an HTTP/2 server may send to our channel. The first byte says how they are cut.
//
// Checked beside not crashing: each call has exactly one result, and only a result that is ok has a message.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/assert.h"
#include "rpc/channel.h"
#include "rpc/testing_world.h"

namespace {

using namespace lockstep;
using namespace lockstep::rpc;

constexpr std::size_t answer_bytes_max = 200;

class Listening final : public ClientStreamHandler {
 public:
  explicit Listening(int& ended) : ended_(ended) {}
  void on_message(std::string_view message) override {
    LS_MUST(message.size() <= answer_bytes_max);
    LS_MUST(ended_ == 0);
  }
  void on_end(const CallResult& /*result*/) override { ++ended_; }

 private:
  int& ended_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 20'000) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t portion = static_cast<unsigned char>(bytes[0]) + 1U;
  bytes.remove_prefix(1);
  TestStrand strand;
  TestWire wire(strand);
  ChannelOptions options;
  options.answer_bytes_max = answer_bytes_max;
  Channel channel(strand, strand, std::move(wire.stream), options);
  int unary_ended = 0;
  int stream_ended = 0;
  channel.unary("/a.B/C", "question", {}, no_deadline, [&](const CallResult& result) {
    LS_MUST(result.status.ok() || result.message.empty());
    LS_MUST(result.message.size() <= answer_bytes_max);
    ++unary_ended;
  });
  const auto stream = channel.stream("/a.B/D", {}, no_deadline, std::make_unique<Listening>(stream_ended));
  stream->send("hello");
  strand.settle();
  while (!bytes.empty() && !wire.ended()) {
    const std::size_t count = std::min(portion, bytes.size());
    wire.send(bytes.substr(0, count));
    bytes.remove_prefix(count);
    strand.settle();
  }
  wire.hang_up();
  strand.settle();
  LS_MUST(unary_ended == 1);
  LS_MUST(stream_ended == 1);
  LS_MUST(channel.calls() == 0);
  return 0;
}
