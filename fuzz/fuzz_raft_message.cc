// The bytes of a raft message and of a configuration: what is accepted is valid, has one encoding, and does
// no harm to a member that receives it.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "raft/raft.h"
#include "raft/wire.h"

namespace {

using namespace lockstep;
using namespace lockstep::raft;

std::string flat(const Pieces& pieces) {
  std::string bytes;
  for (const SharedBytes& piece : pieces) bytes += piece.view();
  return bytes;
}

// A follower of term 3 with three entries, none committed, so that no message is a reason to halt.
void receive(Message message) {
  Restored restored;
  restored.snapshot_configuration.voters = {NodeId(1), NodeId(2), NodeId(3)};
  for (std::uint64_t i = 1; i <= 3; ++i) {
    restored.entries.push_back({Term(i), LogIndex(i), EntryKind::normal, SharedBytes("entry")});
  }
  restored.hard_state.term = Term(3);
  Options options;
  options.id = message.to;
  Raft member(options, std::move(restored), 1, TimePoint(1s));
  const NodeId from = message.from;
  member.receive(TimePoint(1s), from, std::move(message));
  const Output output = member.take_output();
  LS_MUST(member.log().last_index() <= index_max + message_entries_max);
  for (const Message& answer : output.messages) LS_MUST(validate(answer).ok());
  for (const Message& answer : output.messages_after_persist) LS_MUST(validate(answer).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  Result<Message> message = decode(SharedBytes(bytes));
  if (message.ok()) {
    LS_MUST(validate(*message).ok());
    LS_MUST(flat(encode(*message)) == bytes, "one message, one encoding");
    LS_MUST(!to_string(*message).empty());
    receive(*std::move(message));
  }
  const Result<Configuration> configuration = decode_configuration(bytes);
  if (configuration.ok())
    LS_MUST(encode_configuration(*configuration) == bytes, "one configuration, one encoding");
  return 0;
}
