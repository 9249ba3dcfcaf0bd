#include "cli/waterfall.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include <fmt/format.h>

#include "cli/text.h"

namespace lockstep::cli {
namespace {

namespace tx = service::transaction;

constexpr std::int64_t bar_width = 32;
constexpr std::size_t name_width_max = 32;

struct Row {
  std::string branch;
  std::string operation;
  std::string state;
  std::string attempts;
  std::string status;
  std::int64_t tried_ms = 0;  // where the light part begins
  std::int64_t begun_ms = 0;  // and the solid one
  std::int64_t ended_ms = 0;
  bool mark = false;  // a moment, no call
  std::string note;
};

std::string_view mark_text(const tx::Entry& entry) {
  switch (entry.kind) {
    case tx::Entry::Kind::decision:
      return entry.commit ? "decided: commit" : "decided: abort";
    case tx::Entry::Kind::timed_out:
      return "time limit passed";
    case tx::Entry::Kind::forward:
      return "operator: forward";
    case tx::Entry::Kind::compensate:
      return "operator: compensate";
    case tx::Entry::Kind::outcome:
      break;
  }
  return "";
}

Row row_of(const tx::JournalLine& line, std::int64_t before_ms) {
  Row row;
  row.ended_ms = line.at_ms;
  row.begun_ms = row.tried_ms = line.at_ms;
  if (line.entry.kind != tx::Entry::Kind::outcome) {
    row.mark = true;
    row.branch = mark_text(line.entry);
    return row;
  }
  row.branch = line.entry.branch;
  row.operation = tx::to_string(line.entry.operation);
  row.state = tx::to_string(line.entry.outcome);
  row.attempts = std::to_string(line.attempts);
  if (line.entry.status != 0) row.status = std::to_string(line.entry.status);
  row.begun_ms = std::max<std::int64_t>(line.at_ms - line.took_ms, 0);
  row.tried_ms = line.attempts > 1 ? std::min(before_ms, row.begun_ms) : row.begun_ms;
  return row;
}

Row open_row(const tx::State& state, const std::string& branch, tx::Operation operation, bool held,
             std::int64_t before_ms, std::int64_t now_ms) {
  Row row;
  row.branch = branch;
  row.operation = tx::to_string(operation);
  row.state = held ? "held" : "under way";
  row.tried_ms = before_ms;
  row.begun_ms = row.ended_ms = std::max(now_ms, before_ms);
  const auto found = std::ranges::find_if(state.calls, [&](const tx::CallState& call) {
    return call.branch == branch && call.operation == operation;
  });
  if (found == state.calls.end()) return row;
  row.attempts = std::to_string(found->attempts);
  if (found->status != 0) row.status = std::to_string(found->status);
  row.note = found->error;
  return row;
}

std::string bar_of(const Row& row, std::int64_t whole_ms) {
  const auto place = [&](std::int64_t at_ms) {
    return std::clamp<std::int64_t>(at_ms * bar_width / std::max<std::int64_t>(whole_ms, 1), 0,
                                    bar_width - 1);
  };
  std::string bar;
  for (std::int64_t cell = 0; cell < bar_width; ++cell) {
    if (row.mark) {
      bar += cell == place(row.ended_ms) ? "│" : " ";
    } else if (cell >= place(row.begun_ms) && cell <= place(row.ended_ms) && row.begun_ms < row.ended_ms) {
      bar += "█";
    } else if (cell >= place(row.tried_ms) && cell <= place(row.begun_ms)) {
      bar += row.tried_ms < row.begun_ms ? "░" : "▏";
    } else {
      bar += " ";
    }
  }
  return bar;
}

std::string time_text(std::int64_t ms) {
  return show_latency(std::chrono::milliseconds(ms));
}

std::string padded(const std::string& text, std::size_t width) {
  const std::size_t has = width_of(text);
  return has >= width ? text : text + std::string(width - has, ' ');
}

std::string line_of(const Row& row, std::size_t name_width, std::int64_t whole_ms) {
  const std::int64_t took = row.ended_ms - row.begun_ms;
  std::string line = fmt::format("{}  {:<10}  {:<9}  {:>5}  {:>6}  {:>8}  {:>8}  |{}|",
                                 padded(escape(row.branch), name_width), row.operation, row.state,
                                 row.attempts, row.status, time_text(row.ended_ms),
                                 row.mark || took == 0 ? "" : time_text(took), bar_of(row, whole_ms));
  if (!row.note.empty()) line += "  " + escape(row.note);
  return line + "\n";
}

}  // namespace

std::string draw_waterfall(const tx::State& state, const std::vector<tx::JournalLine>& journal,
                           const tx::Next& next, std::int64_t now_ms) {
  std::vector<Row> rows;
  std::int64_t last_ms = 0;
  for (const tx::JournalLine& line : journal) {
    rows.push_back(row_of(line, last_ms));
    last_ms = std::max(last_ms, line.at_ms);
  }
  for (const tx::Call& call : next.calls)
    rows.push_back(open_row(state, call.branch, call.operation, false, last_ms, now_ms));
  for (const auto& [branch, operation] : next.held_calls)
    rows.push_back(open_row(state, branch, operation, true, last_ms, now_ms));
  std::int64_t whole_ms = 1;
  std::size_t name_width = 6;
  for (const Row& row : rows) {
    whole_ms = std::max(whole_ms, row.ended_ms);
    name_width = std::max(name_width, std::min(width_of(escape(row.branch)), name_width_max));
  }
  if (rows.empty()) return "nothing was called yet\n";
  std::string text =
      fmt::format("{}  {:<10}  {:<9}  {:>5}  {:>6}  {:>8}  {:>8}\n", padded("branch", name_width),
                  "operation", "state", "tries", "status", "ended", "took");
  for (const Row& row : rows) text += line_of(row, name_width, whole_ms);
  return text;
}

std::string line_of(const service::transaction::Audit& audit) {
  const std::string user = audit.user.empty() ? "" : fmt::format(" (user {})", audit.user);
  const std::string branch = audit.branch.empty() ? "" : " " + audit.branch;
  return fmt::format("{}{}: {}{}: {}", audit.by, user, audit.action, branch, audit.reason);
}

}  // namespace lockstep::cli
