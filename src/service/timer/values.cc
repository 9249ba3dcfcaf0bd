#include "service/timer/values.h"

#include <charconv>
#include <utility>

#include "base/assert.h"
#include "service/record/record.h"
#include "service/timer/timers.h"

namespace lockstep::service {
namespace {

constexpr std::size_t due_digits = 16;
constexpr std::int64_t clock_ms_max = timer_due_ms_max / 2;
static_assert(clock_ms_max + 2 * timer_wall_ms_max < timer_due_ms_max,
              "whatever the clock shows, a timer can be set by it");
static_assert((timer_due_ms_max >> 60) == 1, "due_end() lies above");
constexpr std::int64_t runs_max = INT32_MAX;

Status damaged(std::string_view what) {
  return {Code::failed_precondition, "timer: the key does not hold " + std::string(what)};
}

std::optional<std::int64_t> due_of(std::string_view digits) {
  const std::optional<std::uint64_t> due = number_of_hexadecimal(digits);
  if (!due.has_value() || *due > static_cast<std::uint64_t>(timer_due_ms_max)) return std::nullopt;
  return static_cast<std::int64_t>(*due);
}

bool is_within(std::int64_t number, std::int64_t most) {
  return number >= 0 && number <= most;
}

// Takes a positive number and the character after it off `text`.
std::optional<Revision> take_revision(std::string_view& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number <= 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return Revision(number);
}

}  // namespace

namespace errors {
Status timer_token_wrong() {
  return {Code::invalid_argument, "timer: this is no token of a delivery"};
}
}  // namespace errors

std::string TimerKeys::due(std::int64_t due_ms, std::string_view name) const {
  LS_MUST(is_within(due_ms, timer_due_ms_max));
  return all_due() + to_hexadecimal(static_cast<std::uint64_t>(due_ms)) + "/" + std::string(name);
}

std::string encode(const TimerClockValue& value) {
  return RecordWriter().number("now_ms", value.now_ms).number("step_ms_max", value.step_ms_max).finish();
}

Result<TimerClockValue> parse_timer_clock(std::string_view text) {
  LS_ASSIGN_OR_RETURN(const Record line, Record::parse("timer clock", text));
  TimerClockValue value;
  LS_ASSIGN_OR_RETURN(value.now_ms, line.number("now_ms"));
  LS_ASSIGN_OR_RETURN(value.step_ms_max, line.number("step_ms_max"));
  if (!is_within(value.now_ms, clock_ms_max) || !is_within(value.step_ms_max, 60'000))
    return damaged("a timer clock");
  return value;
}

std::string_view to_string(MissedRuns missed) {
  return missed == MissedRuns::skip ? "skip" : missed == MissedRuns::once ? "once" : "all";
}

std::optional<MissedRuns> parse_missed_runs(std::string_view text) {
  for (const MissedRuns missed : {MissedRuns::skip, MissedRuns::once, MissedRuns::all}) {
    if (text == to_string(missed)) return missed;
  }
  return std::nullopt;
}

std::string encode(const TimerDocument& document) {
  RecordWriter line;
  if (document.of != Revision()) line.number("of", document.of.value());
  if (document.attempts != 0) line.number("attempts", document.attempts);
  line.number("attempts_max", document.attempts_max);
  if (!document.claim.empty()) line.text("claim", document.claim);
  if (document.wall_ms.has_value()) line.number("wall_ms", *document.wall_ms);
  if (!document.cron.empty()) {
    line.text("cron", document.cron).text("zone", document.zone).text("missed", to_string(document.missed));
    line.number("missed_max", document.missed_max).number("caught_up", document.caught_up);
  }
  if (!document.target.empty()) line.text("target", document.target);
  return line.finish(document.payload);
}

Result<TimerDocument> parse_timer_document(std::string_view text) {
  LS_ASSIGN_OR_RETURN(const Record line, Record::parse("timer", text));
  TimerDocument document;
  document.of = Revision(line.optional_number("of").value_or(0));
  document.attempts = line.optional_number("attempts").value_or(0);
  LS_ASSIGN_OR_RETURN(document.attempts_max, line.number("attempts_max"));
  document.claim = line.optional_text("claim").value_or("");
  document.wall_ms = line.optional_number("wall_ms");
  document.cron = line.optional_text("cron").value_or("");
  document.zone = line.optional_text("zone").value_or("");
  const auto missed = parse_missed_runs(line.optional_text("missed").value_or("once"));
  document.missed_max = line.optional_number("missed_max").value_or(0);
  document.caught_up = line.optional_number("caught_up").value_or(0);
  document.target = line.optional_text("target").value_or("");
  document.payload = line.bytes();
  const bool counts = document.of.value() >= 0 && is_within(document.attempts, timer_attempts_max) &&
                      document.attempts_max > 0 && document.attempts_max <= timer_attempts_max &&
                      is_within(document.missed_max, timer_attempts_max) &&
                      is_within(document.caught_up, runs_max);
  const bool once = document.cron.empty();
  const bool times = is_within(document.wall_ms.value_or(once ? 0 : -1), timer_wall_ms_max);
  // What is longer was not written by this; it would have to fit a transaction that moves it.
  const bool lengths =
      document.payload.size() <= timer_payload_bytes_max && document.target.size() <= timer_target_bytes_max;
  if (!counts || !times || !lengths || !missed.has_value()) return damaged("a timer");
  document.missed = once ? MissedRuns::once : *missed;
  if (once) {
    document.zone.clear();
    document.missed_max = 0;
    document.caught_up = 0;
  }
  for (const std::string* printed : {&document.claim, &document.cron, &document.zone, &document.target}) {
    for (const char character : *printed) {
      if (character < ' ' || character > '~') return damaged("a timer");
    }
  }
  return document;
}

std::string encode(const TimerPointer& pointer) {
  return to_hexadecimal(static_cast<std::uint64_t>(pointer.due_ms)) + " " + pointer.id;
}

Result<TimerPointer> parse_timer_pointer(std::string_view text) {
  TimerPointer pointer;
  const auto due = due_of(text.substr(0, due_digits));
  if (!due.has_value() || text.size() != 2 * due_digits + 1 || text[due_digits] != ' ')
    return damaged("a timer's place");
  pointer.due_ms = *due;
  pointer.id = text.substr(due_digits + 1);
  if (!number_of_hexadecimal(pointer.id).has_value()) return damaged("a timer's place");
  return pointer;
}

std::string to_string(const TimerToken& token) {
  return to_hexadecimal(static_cast<std::uint64_t>(token.due_ms)) + "." +
         std::to_string(token.revision.value()) + "." + std::to_string(token.of.value()) +
         (token.recurring ? "r" : "");
}

Result<TimerToken> parse_timer_token(std::string_view text) {
  TimerToken token;
  const auto due = due_of(text.substr(0, due_digits));
  if (!due.has_value() || text.size() <= due_digits || text[due_digits] != '.')
    return errors::timer_token_wrong();
  token.due_ms = *due;
  text.remove_prefix(due_digits + 1);
  const auto revision = take_revision(text);
  if (!revision.has_value() || !text.starts_with('.')) return errors::timer_token_wrong();
  text.remove_prefix(1);
  const auto of = take_revision(text);
  token.recurring = text == "r";
  if (!of.has_value() || !(text.empty() || token.recurring)) return errors::timer_token_wrong();
  token.revision = *revision;
  token.of = *of;
  return token;
}

}  // namespace lockstep::service
