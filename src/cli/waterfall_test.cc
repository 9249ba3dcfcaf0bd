// What a terminal shows of transactions.
#include "cli/waterfall.h"

#include <gtest/gtest.h>

namespace lockstep::cli {
namespace {

namespace tx = service::transaction;

tx::JournalLine outcome(const char* branch, tx::Operation operation, tx::Outcome outcome, int status,
                        std::int64_t at_ms, std::int64_t attempts, std::int64_t took_ms) {
  tx::JournalLine line;
  line.at_ms = at_ms;
  line.attempts = attempts;
  line.took_ms = took_ms;
  line.entry.branch = branch;
  line.entry.operation = operation;
  line.entry.outcome = outcome;
  line.entry.status = status;
  return line;
}

TEST(Waterfall, ShowsWhenEachCallWasMadeAndHowItEnded) {
  tx::JournalLine decision;
  decision.at_ms = 800;
  decision.entry.kind = tx::Entry::Kind::timed_out;
  const std::vector<tx::JournalLine> journal = {
      outcome("stock", tx::Operation::action, tx::Outcome::done, 200, 100, 1, 100),
      outcome("payment", tx::Operation::action, tx::Outcome::gave_up, 503, 700, 3, 200), decision,
      outcome("stock", tx::Operation::compensate, tx::Outcome::done, 200, 1600, 1, 800)};
  EXPECT_EQ(draw_waterfall({}, journal, {}, 0),
            "branch             operation   state      tries  status     ended      took\n"
            "stock              action      done           1     200     100ms     100ms  |███               "
            "              |\n"
            "payment            action      gave_up        3     503     700ms     200ms  |  ░░░░░░░░█████   "
            "              |\n"
            "time limit passed                                           800ms            |                │ "
            "              |\n"
            "stock              compensate  done           1     200      1.6s     800ms  |                "
            "████████████████|\n");
}

TEST(Waterfall, WhatHasNotEndedReachesToNow) {
  tx::State state;
  tx::CallState call;
  call.branch = "mail";
  call.operation = tx::Operation::deliver;
  call.attempts = 4;
  call.status = 500;
  call.error = "status 500\x1b[2J";
  state.calls = {call};
  tx::Next next;
  next.calls.emplace_back();
  next.calls.back().branch = "mail";
  next.calls.back().operation = tx::Operation::deliver;
  next.held_calls = {{"stock", tx::Operation::compensate}};
  EXPECT_EQ(draw_waterfall(state, {}, next, 2000),
            "branch  operation   state      tries  status     ended      took\n"
            "mail    deliver     under way      4     500        2s            "
            "|░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░|  status 500\\x1b[2J\n"
            "stock   compensate  held                            2s            "
            "|░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░|\n");
  EXPECT_EQ(draw_waterfall(state, {}, {}, 0), "nothing was called yet\n");
}

TEST(Waterfall, WhoEverDidSomethingByHandIsNamedAsTheServerKnewThem) {
  tx::Audit audit;
  audit.by = "ann@desk";
  audit.action = "skip";
  audit.branch = "stock";
  audit.reason = "put back";
  EXPECT_EQ(line_of(audit), "ann@desk: skip stock: put back");
  audit.user = "eve";
  audit.branch = "";
  audit.action = "finish";
  EXPECT_EQ(line_of(audit), "ann@desk (user eve): finish: put back");
}

}  // namespace
}  // namespace lockstep::cli
