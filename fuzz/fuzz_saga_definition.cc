// Definitions of sagas and the expressions in them, as anybody may submit them. What is accepted is run, on
// outcomes taken from the text.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "service/transaction/saga/expression.h"
#include "service/transaction/saga/lint.h"
#include "service/transaction/saga/saga.h"
#include "service/transaction/saga/template.h"

namespace {

using namespace lockstep;
using namespace lockstep::service::transaction;

constexpr std::size_t turns_max = 200;

void run(Machine& machine, std::string_view text) {
  for (std::size_t turn = 0; turn < turns_max; ++turn) {
    const Next next = machine.next();
    LS_MUST(next.calls.size() <= calls_at_once_max);
    if (final(next.verdict)) return;
    LS_MUST(next.held || !next.calls.empty());
    const auto byte = static_cast<unsigned char>(text[turn * 7 % text.size()]);
    Entry entry;
    if (next.calls.empty()) {
      entry.kind = byte % 2 == 0 ? Entry::Kind::forward : Entry::Kind::compensate;
      static_cast<void>(machine.learn(entry));
      if (entry.kind == Entry::Kind::forward || next.verdict == Verdict::running) continue;
      entry.kind = Entry::Kind::forward;
      LS_MUST(machine.learn(entry).ok());
      continue;
    }
    const Call& call = next.calls[byte % next.calls.size()];
    entry.branch = call.branch;
    entry.operation = call.operation;
    entry.outcome = byte % 8 < 5 ? Outcome::done : static_cast<Outcome>(byte % 4);
    entry.output = text.substr(text.size() / 2, byte);
    LS_MUST(machine.learn(entry).ok());
  }
}

void check_json(std::string_view text) {
  const Result<saga::Json> json = saga::Json::parse(text);
  if (!json.ok()) {
    LS_MUST(!json.status().message().empty());
    return;
  }
  const Result<saga::Json> again = saga::Json::parse(json->dump());
  LS_MUST(again.ok());
  LS_MUST(*again == *json);
  const Result<saga::Template> made = saga::Template::parse(*json, "");
  if (!made.ok()) return;
  const Result<saga::Json> value = made->evaluate(*json, "g");
  if (value.ok()) LS_MUST(saga::size_of(*value).depth <= saga::json_depth_max);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_json(text);
  const saga::LintReport report = saga::lint(text);
  LS_MUST(saga::Json::parse(saga::to_json(report).dump()).ok());
  const auto machine = make_saga(text, "g");
  if (machine.ok()) {
    LS_MUST(report.runnable);
    run(**machine, text);
  } else {
    LS_MUST(!machine.status().message().empty());
  }
  const Result<saga::Expression> expression = saga::Expression::parse(text);
  if (!expression.ok()) {
    LS_MUST(!expression.status().message().empty());
    return 0;
  }
  const Result<saga::Json> root =
      saga::Json::parse(R"({"a": 1, "b": {"c": [true, "x", 1.5, null]}, "list": [1, 2]})");
  static_cast<void>(expression->evaluate(*root));
  static_cast<void>(expression->test(*root));
  return 0;
}
