#include "service/timer/cron.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <utility>
#include <vector>

namespace lockstep::service {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

constexpr Seconds day_length = days(1);
constexpr Seconds horizon = days(3653);  // ten years: more than between two 29ths of February

constexpr std::array<std::string_view, 12> month_names = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN",
                                                          "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};
constexpr std::array<std::string_view, 7> weekday_names = {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"};

struct Macro {
  std::string_view name;
  std::string_view expression;
};
constexpr std::array<Macro, 7> macros = {{{"@yearly", "0 0 1 1 *"},
                                          {"@annually", "0 0 1 1 *"},
                                          {"@monthly", "0 0 1 * *"},
                                          {"@weekly", "0 0 * * 0"},
                                          {"@daily", "0 0 * * *"},
                                          {"@midnight", "0 0 * * *"},
                                          {"@hourly", "0 * * * *"}}};

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && separators.find(text[i]) == std::string_view::npos) continue;
    parts.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  return parts;
}

bool same_letters(std::string_view text, std::string_view name) {
  return std::ranges::equal(text, name,
                            [](char a, char b) { return (a >= 'a' && a <= 'z' ? a - 32 : a) == b; });
}

struct Field {
  std::string_view name;
  int smallest = 0;
  int largest = 0;
  std::span<const std::string_view> names;  // of smallest, and so on
};

}  // namespace

class CronParser {
 public:
  // Sets bits of `values`; true if the field begins with a star.
  template <std::size_t size>
  static Result<bool> parse(const Field& field, std::string_view text, std::bitset<size>& values) {
    for (const std::string_view part : split(text, ",")) {
      const std::size_t slash = part.find('/');
      const bool stepped = slash != std::string_view::npos;
      const std::string_view range = part.substr(0, slash);
      int step = 1;
      if (stepped) {
        LS_ASSIGN_OR_RETURN(step, number(field, part.substr(slash + 1), 1, field.largest));
      }
      int first = field.smallest;
      int last = field.largest;
      if (range != "*") {
        const std::size_t dash = range.find('-');
        LS_ASSIGN_OR_RETURN(first, value(field, range.substr(0, dash)));
        last = stepped ? field.largest : first;
        if (dash != std::string_view::npos) {
          LS_ASSIGN_OR_RETURN(last, value(field, range.substr(dash + 1)));
        }
        if (last < first) return wrong(field, part, "the range runs backwards");
      }
      for (int at = first; at <= last; at += step) values.set(static_cast<std::size_t>(at));
    }
    return !text.empty() && text.front() == '*';
  }

  static Result<Cron> parse(std::string_view expression);

 private:
  static Status wrong(const Field& field, std::string_view text, const std::string& why) {
    return {Code::invalid_argument,
            "cron: " + std::string(field.name) + " \"" + std::string(text) + "\": " + why};
  }
  static Result<int> number(const Field& field, std::string_view text, int smallest, int largest) {
    int parsed = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
    const bool whole = error == std::errc() && end == text.data() + text.size() && !text.empty();
    if (!whole || parsed < smallest || parsed > largest) {
      return wrong(field, text,
                   "expected a number from " + std::to_string(smallest) + " to " + std::to_string(largest));
    }
    return parsed;
  }
  static Result<int> value(const Field& field, std::string_view text) {
    for (std::size_t i = 0; i < field.names.size(); ++i) {
      if (same_letters(text, field.names[i])) return field.smallest + static_cast<int>(i);
    }
    return number(field, text, field.smallest, field.largest);
  }
};

Result<Cron> CronParser::parse(std::string_view expression) {
  std::vector<std::string_view> fields = split(expression, " \t");
  std::erase(fields, std::string_view());
  Cron cron;
  if (fields.size() == 5) {
    cron.seconds_.set(0);
  } else if (fields.size() == 6) {
    const Result<bool> seconds = parse({"second", 0, 59, {}}, fields[0], cron.seconds_);
    if (!seconds.ok()) return seconds.status();
    fields.erase(fields.begin());
  } else {
    return Status(Code::invalid_argument,
                  "cron: expected five fields, or six with seconds, not " + std::to_string(fields.size()));
  }
  LS_ASSIGN_OR_RETURN(const bool minutes_starred, parse({"minute", 0, 59, {}}, fields[0], cron.minutes_));
  static_cast<void>(minutes_starred);
  LS_ASSIGN_OR_RETURN(cron.every_hour_, parse({"hour", 0, 23, {}}, fields[1], cron.hours_));
  LS_ASSIGN_OR_RETURN(cron.day_starred_, parse({"day", 1, 31, {}}, fields[2], cron.days_));
  const Result<bool> months = parse({"month", 1, 12, month_names}, fields[3], cron.months_);
  if (!months.ok()) return months.status();
  std::bitset<8> weekdays;
  LS_ASSIGN_OR_RETURN(cron.weekday_starred_, parse({"weekday", 0, 7, weekday_names}, fields[4], weekdays));
  for (std::size_t day = 0; day <= 7; ++day) {
    if (weekdays.test(day)) cron.weekdays_.set(day % 7);
  }
  return cron;
}

Result<Cron> Cron::parse(std::string_view expression) {
  if (expression.size() > cron_bytes_max) {
    return Status(Code::invalid_argument, "cron: the expression is longer than 256 bytes");
  }
  if (!std::ranges::all_of(expression, [](char c) { return (c >= ' ' && c <= '~') || c == '\t'; })) {
    return Status(Code::invalid_argument, "cron: the expression is not printable ASCII");
  }
  for (const Macro& macro : macros) {
    if (expression == macro.name) return CronParser::parse(macro.expression);
  }
  return CronParser::parse(expression);
}

bool Cron::day_matches(sys_days day) const {
  const std::chrono::year_month_day date(day);
  if (!months_.test(static_cast<unsigned>(date.month()))) return false;
  const bool by_day = days_.test(static_cast<unsigned>(date.day()));
  const bool by_weekday = weekdays_.test(std::chrono::weekday(day).c_encoding());
  return day_starred_ || weekday_starred_ ? by_day && by_weekday : by_day || by_weekday;
}

std::optional<Seconds> Cron::match(Seconds local, Seconds end) const {
  while (local < end) {
    const days day = std::chrono::floor<days>(local);
    if (!day_matches(sys_days(day))) {
      local = day + day_length;
      continue;
    }
    const auto of_day = static_cast<std::size_t>((local - day).count());
    const std::size_t hour = of_day / 3600;
    const std::size_t minute = of_day / 60 % 60;
    if (!hours_.test(hour)) {
      local = day + Seconds((hour + 1) * 3600);
    } else if (!minutes_.test(minute)) {
      local = day + Seconds((of_day / 60 + 1) * 60);
    } else if (!seconds_.test(of_day % 60)) {
      local += Seconds(1);
    } else {
      return local;
    }
  }
  return std::nullopt;
}

std::optional<Seconds> Cron::next(const Zone& zone, Seconds after) const {
  const Seconds limit = after + horizon;
  Seconds from = after + Seconds(1);
  while (from < limit) {
    const ZoneSegment segment = zone.segment(from);
    const Seconds end = std::min(segment.end, limit);
    const bool changed = segment.begin > Seconds::min() / 2;  // the clocks were changed where it begins
    const Seconds before = changed ? zone.segment(segment.begin - Seconds(1)).offset : segment.offset;
    Seconds local = from + segment.offset;
    if (!every_hour_ && before < segment.offset && from == segment.begin) {
      if (match(segment.begin + before, segment.begin + segment.offset).has_value()) return segment.begin;
    }
    // What these clocks show for the second time.
    if (!every_hour_ && before > segment.offset) local = std::max(local, segment.begin + before);
    if (const auto found = match(local, end + segment.offset)) return *found - segment.offset;
    from = end;
  }
  return std::nullopt;
}

}  // namespace lockstep::service
