// An unfinished transaction in the coordinator's memory.
//
//   1. `state` is what the store holds at `revision`, but while it is being written: then it is what is
//      written. The machine has learned its journal, no more.
//   2. What has arrived and is not in the journal yet stands in `arrived`, or, while it is written, in
//      `taken`: if the writing fails it goes back there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "env/http_client.h"
#include "service/transaction/machine.h"
#include "service/transaction/state.h"
#include "store/types.h"

namespace lockstep::service::transaction {

struct SentCall {
  std::string branch;
  Operation operation = Operation::action;
  std::int64_t attempt = 1;
  int round = 0;  // its answer is none to a later one
  std::string host;
  TimePoint at{};
  bool is_first = false;  // certainly nobody sent it before
};

struct ArrivedReply {
  SentCall call;
  std::int64_t took_ms = 0;
  Result<env::HttpReply> answer;
};

struct Active {
  std::string gid;
  std::uint64_t serial = 0;
  Revision revision;
  Revision created;            // of what is stored of it; or a later one, at which it was there
  std::optional<State> state;  // nothing: to be read
  std::unique_ptr<Machine> machine;
  std::size_t document_bytes = 0;
  std::size_t machine_bytes = 0;  // with its document and journal, as it is counted
  std::optional<Next> next;       // the machine's, since it learned something last
  std::int64_t deadline_ms = 0;
  std::vector<SentCall> under_way;
  std::vector<SentCall> recorded;  // attempts that are recorded as begun, or may be, and are not sent yet
  // Of the first phase: what may have been sent, by whomever. Only this term sends while it lasts, so these
  // are those that were named when it began and those that it sent.
  std::set<std::pair<std::string, Operation>> maybe_sent;
  bool maybe_sent_known = false;
  std::vector<std::pair<std::string, bool>> hosts_waited_for;  // and whether urgently
  std::vector<std::string> hosts_with_room;                    // of which it was told, and has not looked
  std::vector<ArrivedReply> arrived;
  std::vector<ArrivedReply> taken;
  std::optional<store::KeyValue> newer;  // seen while writing
  std::int64_t due_ms = -1;              // in the order of falling due; -1: not there
  bool writing = false;
  bool loading = false;
  bool unsaved = false;  // times that are worth a write if it stays unfinished
  bool deadline_told = false;
  bool alarmed = false;  // whoever is to be told was

  [[nodiscard]] bool is_under_way(const Call& call) const { return holds(under_way, call); }
  [[nodiscard]] bool is_recorded(const Call& call) const { return holds(recorded, call); }
  static bool holds(const std::vector<SentCall>& calls, const Call& call) {
    for (const SentCall& one : calls) {
      if (one.operation == call.operation && one.branch == call.branch) return true;
    }
    return false;
  }
};

}  // namespace lockstep::service::transaction
