// A Raft entry's payload: refused, or exactly what the builder would have made of the same commands; and what
// is accepted can be applied.
#include <chrono>
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "store/command.h"
#include "store/state_machine.h"

namespace lockstep::store {
namespace {

bool add(BatchBuilder& batch, const Command& command) {
  const RequestId& id = command.request_id;
  const Principal who = command.principal;
  if (const auto* put = std::get_if<PutCommand>(&command.body)) {
    return batch.put({std::string(put->key), std::string(put->value), put->lease, put->prev_kv,
                      put->ignore_value, put->ignore_lease},
                     id, who);
  }
  if (const auto* removal = std::get_if<DeleteRangeCommand>(&command.body)) {
    return batch.delete_range({std::string(removal->key), std::string(removal->range_end), removal->prev_kv},
                              id, who);
  }
  if (const auto* txn = std::get_if<TxnRequest>(&command.body)) return batch.txn(*txn, id, who);
  if (const auto* compact = std::get_if<CompactCommand>(&command.body)) {
    return batch.compact({.revision = compact->revision}, id, who);
  }
  if (const auto* grant = std::get_if<LeaseGrantCommand>(&command.body)) {
    return batch.lease_grant({std::chrono::milliseconds(grant->ttl_ms), grant->id}, id, who);
  }
  if (const auto* revoke = std::get_if<LeaseRevokeCommand>(&command.body)) {
    return batch.lease_revoke({revoke->id}, id, who);
  }
  if (const auto* renew = std::get_if<LeaseRenewCommand>(&command.body))
    return batch.lease_renew(renew->ids, who);
  if (const auto* alarm = std::get_if<AlarmRequest>(&command.body)) return batch.alarm(*alarm, id, who);
  if (std::holds_alternative<RegisterClientCommand>(command.body)) return batch.register_client(who);
  if (const auto* change = std::get_if<AuthChange>(&command.body)) return batch.auth(*change, id, who);
  return batch.nothing();
}

class CountAnswers final : public ResultSink {
 public:
  void on_result(std::size_t, CommandResult) override { ++count; }
  std::size_t count = 0;
};

void check(std::string_view payload) {
  BatchReader reader(payload);
  BatchBuilder again;
  if (reader.status().ok()) again.start(reader.header());
  Command command;
  std::size_t count = 0;
  while (reader.next(&command)) {
    LS_MUST(add(again, command));
    ++count;
  }
  if (!reader.status().ok()) {
    LS_MUST(reader.status().code() == Code::corruption);
    return;
  }
  LS_MUST(again.take() == payload);

  StateMachine machine;
  CountAnswers sink;
  const Applied applied = machine.apply(LogIndex(1), Term(1), payload, &sink);
  LS_MUST(applied.fatal.ok() || applied.fatal.code() == Code::corruption);
  LS_MUST(!applied.fatal.ok() || sink.count == count);
}

}  // namespace
}  // namespace lockstep::store

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0) lockstep::store::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
