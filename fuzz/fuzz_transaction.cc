// What transactions find at their keys, and the documents that users submit.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "service/transaction/machines.h"
#include "service/transaction/state.h"
#include "service/transaction/transactions.h"

namespace {

using namespace lockstep;
using namespace lockstep::service::transaction;

void read_state(std::string_view text) {
  const Result<State> state = parse_state(text);
  if (!state.ok()) {
    LS_MUST(!state.status().message().empty());
    return;
  }
  const Result<State> again = parse_state(encode(*state));
  LS_MUST(again.ok());
  LS_MUST(*again == *state);
  const auto journal = parse_journal(state->journal);
  if (!journal.ok()) return;
  std::string written;
  for (const JournalLine& line : *journal) append_to_journal(written, line);
  const auto journal_again = parse_journal(written);
  LS_MUST(journal_again.ok());
  LS_MUST(journal_again->size() == journal->size());
}

// A document that is taken makes a machine that says what it is at.
void read_document(std::string_view text) {
  for (const Mode mode : {Mode::tcc, Mode::xa, Mode::message, Mode::notification}) {
    const auto machine = make_machine(mode, text, {}, "g");
    if (!machine.ok()) {
      LS_MUST(!machine.status().message().empty());
      continue;
    }
    LS_MUST((*machine)->next().calls.size() <= calls_at_once_max);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_state(text);
  read_document(text);
  const Result<Audit> audit = parse_audit(text);
  if (audit.ok()) LS_MUST(parse_audit(encode(*audit)).ok());
  return 0;
}
