#include "service/transaction/state.h"

#include <array>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "service/flat_json.h"
#include "service/record/record.h"

namespace lockstep::service::transaction {
namespace {

template <class Enum, std::size_t size>
using Names = std::array<std::pair<Enum, std::string_view>, size>;

constexpr Names<Mode, 5> modes = {{{Mode::saga, "saga"},
                                   {Mode::tcc, "tcc"},
                                   {Mode::xa, "xa"},
                                   {Mode::message, "message"},
                                   {Mode::notification, "notification"}}};
constexpr Names<Operation, 10> operations = {{{Operation::action, "action"},
                                              {Operation::compensate, "compensate"},
                                              {Operation::attempt, "try"},
                                              {Operation::confirm, "confirm"},
                                              {Operation::cancel, "cancel"},
                                              {Operation::prepare, "prepare"},
                                              {Operation::commit, "commit"},
                                              {Operation::rollback, "rollback"},
                                              {Operation::check, "check"},
                                              {Operation::deliver, "deliver"}}};
constexpr Names<Outcome, 6> outcomes = {{{Outcome::done, "done"},
                                         {Outcome::refused, "refused"},
                                         {Outcome::gave_up, "gave_up"},
                                         {Outcome::skipped, "skipped"},
                                         {Outcome::refused_late, "refused_late"},
                                         {Outcome::dropped, "dropped"}}};
constexpr Names<Verdict, 7> verdicts = {{{Verdict::running, "submitted"},
                                         {Verdict::waiting, "trying"},
                                         {Verdict::committing, "committing"},
                                         {Verdict::aborting, "aborting"},
                                         {Verdict::committed, "committed"},
                                         {Verdict::aborted, "aborted"},
                                         {Verdict::failed, "failed"}}};
constexpr Names<Entry::Kind, 3> plain_kinds = {{{Entry::Kind::timed_out, "timed_out"},
                                                {Entry::Kind::forward, "forward"},
                                                {Entry::Kind::compensate, "back"}}};

template <class Enum, std::size_t size>
std::string_view name_in(const Names<Enum, size>& names, Enum value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  LS_MUST(false, "every value has a name");
  return {};
}
template <class Enum, std::size_t size>
std::optional<Enum> value_in(const Names<Enum, size>& names, std::string_view text) {
  for (const auto& [value, name] : names) {
    if (name == text) return value;
  }
  return std::nullopt;
}

Status damaged(const char* what) {
  return {Code::failed_precondition, std::string("transaction: the stored state holds no good ") + what};
}

// One word, or the rest of a line: whatever would end it, and "%", as two hexadecimal digits.
void append_escaped(std::string& out, std::string_view text, bool word) {
  constexpr std::string_view digits = "0123456789abcdef";
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (letter == '%' || letter == '\n' || (word && (byte <= ' ' || byte >= 0x7F))) {
      out += '%';
      out += digits[byte >> 4U];
      out += digits[byte & 15U];
    } else {
      out += letter;
    }
  }
}

std::optional<std::string> unescaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    unsigned byte = 0;
    if (text.size() - at < 3) return std::nullopt;
    const char* end = text.data() + at + 3;
    if (std::from_chars(text.data() + at + 1, end, byte, 16).ptr != end) return std::nullopt;
    out += static_cast<char>(byte);
    at += 2;
  }
  return out;
}

void append_number(std::string& out, std::int64_t number) {
  std::array<char, 24> digits{};
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  out.append(digits.data(), written.ptr);
}

// The words of one line, one after the other.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}
  std::string_view word() {
    const std::size_t end = rest_.find(' ');
    const std::string_view found = rest_.substr(0, end);
    rest_ = end == std::string_view::npos ? std::string_view() : rest_.substr(end + 1);
    return found;
  }
  // At least zero.
  std::optional<std::int64_t> number() {
    const std::string_view digits = word();
    std::int64_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto read = std::from_chars(digits.data(), end, value);
    if (digits.empty() || read.ec != std::errc() || read.ptr != end || value < 0) return std::nullopt;
    return value;
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

void append_call(std::string& text, const CallState& call) {
  text.append("call ").append(to_string(call.operation)) += ' ';
  append_escaped(text, call.branch, true);
  for (const std::int64_t number :
       {call.attempts, call.ongoing, call.due_ms, static_cast<std::int64_t>(call.status)}) {
    text += ' ';
    append_number(text, number);
  }
  text += ' ';
  append_escaped(text, call.error, false);
  text += '\n';
}

std::optional<CallState> parse_call(Words words) {
  CallState call;
  const auto operation = parse_operation(words.word());
  auto branch = unescaped(words.word());
  const auto attempts = words.number();
  const auto ongoing = words.number();
  const auto due_ms = words.number();
  const auto status = words.number();
  auto error = unescaped(words.rest());
  if (!operation || !branch || branch->empty() || !attempts || !ongoing || !due_ms || !status || !error) {
    return std::nullopt;
  }
  if (*status > 999 || *due_ms > stored_ms_max) return std::nullopt;
  if (*attempts > counted_max || *ongoing > counted_max) return std::nullopt;
  call.operation = *operation;
  call.branch = *std::move(branch);
  call.attempts = *attempts;
  call.ongoing = *ongoing;
  call.due_ms = *due_ms;
  call.status = static_cast<int>(*status);
  call.error = *std::move(error);
  return call;
}

bool parse_entry(Words& words, Entry& entry) {
  const std::string_view kind = words.word();
  if (kind == "decision") {
    entry.kind = Entry::Kind::decision;
    entry.commit = words.rest() == "commit";
    return entry.commit || words.rest() == "abort";
  }
  if (const auto plain = value_in(plain_kinds, kind)) {
    entry.kind = *plain;
    return words.rest().empty();
  }
  const auto outcome = parse_outcome(kind);
  const auto operation = parse_operation(words.word());
  auto branch = unescaped(words.word());
  const auto status = words.number();
  auto output = unescaped(words.rest());
  if (!outcome || !operation || !branch || branch->empty() || !status || *status > 999 || !output) {
    return false;
  }
  entry.kind = Entry::Kind::outcome;
  entry.outcome = *outcome;
  entry.operation = *operation;
  entry.branch = *std::move(branch);
  entry.status = static_cast<int>(*status);
  entry.output = *std::move(output);
  return true;
}

std::optional<JournalLine> parse_journal_line(Words words) {
  JournalLine line;
  const auto at_ms = words.number();
  const auto attempts = words.number();
  const auto took_ms = words.number();
  if (!at_ms || !attempts || !took_ms || !parse_entry(words, line.entry)) return std::nullopt;
  line.at_ms = *at_ms;
  line.attempts = *attempts;
  line.took_ms = *took_ms;
  return line;
}

// The first line of `text`, which is taken off.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return line;
}

// Zero if it is not there; nothing if it is no good.
std::optional<std::int64_t> number_of(const FlatJson& json, std::string_view name) {
  const auto number = json.number(name);
  if (!number.has_value()) return json.text(name).has_value() ? std::nullopt : std::optional<std::int64_t>(0);
  return *number < 0 ? std::nullopt : number;
}

struct NumberField {
  std::string_view name;
  std::int64_t State::* field;
  std::int64_t most = stored_ms_max;
};
constexpr std::array number_fields = {
    NumberField{"created_ms", &State::created_ms},
    NumberField{"changed_ms", &State::changed_ms},
    NumberField{"deadline_ms", &State::deadline_ms},
    NumberField{"next_ms", &State::next_ms},
    NumberField{"branches", &State::branches, counted_max},
    NumberField{"audits", &State::audits, counted_max},
    NumberField{"needs_operator_since_ms", &State::needs_operator_since_ms},
    NumberField{"remembered_ms", &State::remembered_ms},
};

}  // namespace

std::string_view to_string(Mode mode) {
  return name_in(modes, mode);
}
std::optional<Mode> parse_mode(std::string_view text) {
  return value_in(modes, text);
}
std::string_view to_string(Operation operation) {
  return name_in(operations, operation);
}
std::optional<Operation> parse_operation(std::string_view text) {
  return value_in(operations, text);
}
std::string_view to_string(Outcome outcome) {
  return name_in(outcomes, outcome);
}
std::optional<Outcome> parse_outcome(std::string_view text) {
  return value_in(outcomes, text);
}
std::string_view to_string(Verdict verdict) {
  return name_in(verdicts, verdict);
}
std::optional<Verdict> parse_verdict(std::string_view text) {
  return value_in(verdicts, text);
}

std::string digest_of(std::string_view document) {
  // Two of FNV's, of 64 bits each; the second one sees the bytes turned over, and their number.
  constexpr std::uint64_t prime = 0x100000001b3;
  std::uint64_t one = 0xcbf29ce484222325;
  std::uint64_t other = one ^ (document.size() * 0x9e3779b97f4a7c15);
  for (const char letter : document) {
    const auto byte = static_cast<unsigned char>(letter);
    one = (one ^ byte) * prime;
    other = (other ^ (other >> 29U) ^ static_cast<unsigned char>(~byte)) * prime;
  }
  return to_hexadecimal(one) + to_hexadecimal(other);
}

std::string printable(std::string_view text, std::size_t bytes_max) {
  std::string out(text.substr(0, bytes_max));
  if (is_utf8(out)) return out;
  for (char& letter : out) {
    if (static_cast<unsigned char>(letter) >= 0x80) letter = '?';
  }
  return out;
}

std::string encode(const State& state) {
  FlatJsonWriter line;
  line.text("mode", to_string(state.mode)).text("state", to_string(state.verdict));
  for (const NumberField& field : number_fields) {
    if (state.*field.field != 0) line.number(field.name, state.*field.field);
  }
  if (!state.needs_operator.empty()) line.text("needs_operator", state.needs_operator);
  if (!state.reason.empty()) line.text("reason", state.reason);
  if (!state.result.empty()) line.text("result", state.result);
  if (!state.definition.empty()) line.text("definition", state.definition);
  if (!state.user.empty()) line.text("user", state.user);
  std::string text = line.str();
  text += '\n';
  for (const CallState& call : state.calls) append_call(text, call);
  return text + state.journal;
}

Result<State> parse_state(std::string_view text) {
  const Result<FlatJson> json = FlatJson::parse(take_line(text));
  if (!json.ok()) return damaged("first line");
  State state;
  const auto mode = parse_mode(json->text("mode").value_or(""));
  if (!mode.has_value()) return damaged("\"mode\"");
  const auto verdict = parse_verdict(json->text("state").value_or(""));
  if (!verdict.has_value()) return damaged("\"state\"");
  state.mode = *mode;
  state.verdict = *verdict;
  for (const NumberField& field : number_fields) {
    const auto number = number_of(*json, field.name);
    const bool is_never = field.field == &State::next_ms && number == never_ms;
    if (!number.has_value() || (*number > field.most && !is_never))
      return damaged(std::string(field.name).c_str());
    state.*field.field = *number;
  }
  state.needs_operator = json->text("needs_operator").value_or("");
  state.reason = json->text("reason").value_or("");
  state.result = json->text("result").value_or("");
  state.definition = json->text("definition").value_or("");
  state.user = json->text("user").value_or("");
  while (text.starts_with("call ")) {
    Words words(take_line(text));
    words.word();
    auto call = parse_call(words);
    if (!call.has_value()) return damaged("call");
    state.calls.push_back(*std::move(call));
  }
  state.journal = text;
  return state;
}

void append_to_journal(std::string& journal, const JournalLine& line) {
  const Entry& entry = line.entry;
  journal += "at";
  for (const std::int64_t number : {line.at_ms, line.attempts, line.took_ms}) {
    journal += ' ';
    append_number(journal, number);
  }
  journal += ' ';
  if (entry.kind == Entry::Kind::decision) {
    journal += entry.commit ? "decision commit" : "decision abort";
  } else if (entry.kind == Entry::Kind::outcome) {
    journal.append(to_string(entry.outcome)).append(" ").append(to_string(entry.operation)) += ' ';
    append_escaped(journal, entry.branch, true);
    journal += ' ';
    append_number(journal, entry.status);
    journal += ' ';
    append_escaped(journal, entry.output, false);
  } else {
    journal += name_in(plain_kinds, entry.kind);
  }
  journal += '\n';
}

Result<std::vector<JournalLine>> parse_journal(std::string_view journal) {
  std::vector<JournalLine> lines;
  while (!journal.empty()) {
    Words words(take_line(journal));
    if (words.word() != "at") return damaged("journal");
    auto line = parse_journal_line(words);
    if (!line.has_value()) return damaged("journal");
    lines.push_back(*std::move(line));
  }
  return lines;
}

}  // namespace lockstep::service::transaction
