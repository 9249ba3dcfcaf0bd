// Cron expressions: what they name, what they refuse, and what clocks that change do to them.
#include "service/timer/cron.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace lockstep::service {
namespace {

using namespace std::chrono;

// "2026-03-29 01:30" as UTC.
Seconds at(const std::string& text) {
  const auto number = [&](std::size_t from, std::size_t length) {
    return std::stoi(text.substr(from, length));
  };
  const sys_days day = year(number(0, 4)) / number(5, 2) / number(8, 2);
  return day.time_since_epoch() + hours(number(11, 2)) + minutes(number(14, 2));
}
std::string show(Seconds moment) {
  const auto day = floor<days>(moment);
  const year_month_day date{sys_days(day)};
  const auto two = [](unsigned number) {
    return std::string(number < 10 ? "0" : "") + std::to_string(number);
  };
  const auto rest = static_cast<unsigned>((moment - day).count());
  std::string text = std::to_string(static_cast<int>(date.year())) + "-" +
                     two(static_cast<unsigned>(date.month())) + "-" + two(static_cast<unsigned>(date.day())) +
                     " " + two(rest / 3600) + ":" + two(rest / 60 % 60);
  return rest % 60 == 0 ? text : text + ":" + two(rest % 60);
}
std::string runs(const std::string& expression, const std::string& zone, const std::string& from, int count) {
  const Result<Cron> cron = Cron::parse(expression);
  if (!cron.ok()) return cron.status().to_string();
  const Result<Zone> found = Zone::find(zone);
  if (!found.ok()) return found.status().to_string();
  std::string text;
  Seconds last = at(from);
  for (int i = 0; i < count; ++i) {
    const std::optional<Seconds> next = cron->next(*found, last);
    if (!next.has_value()) return text + "never";
    text += (i > 0 ? ", " : "") + show(*next);
    last = *next;
  }
  return text;
}

struct Case {
  std::string expression, zone, from;
  int count;
  std::string expected;
};

TEST(Cron, NamesMoments) {
  const std::vector<Case> cases = {
      {"*/15 * * * *", "UTC", "2026-01-01 00:00", 3, "2026-01-01 00:15, 2026-01-01 00:30, 2026-01-01 00:45"},
      {"0 12 * * *", "UTC", "2026-01-01 12:00", 2, "2026-01-02 12:00, 2026-01-03 12:00"},
      {"20 0 0 1 1 *", "UTC", "2026-01-01 00:00", 2, "2026-01-01 00:00:20, 2027-01-01 00:00:20"},
      {"0 0 29 2 *", "UTC", "2026-01-01 00:00", 2, "2028-02-29 00:00, 2032-02-29 00:00"},
      {"0 0 29 2 *", "UTC", "2096-03-01 00:00", 1, "2104-02-29 00:00"},
      {"30 9 * * mon-fri", "UTC", "2026-01-02 10:00", 2, "2026-01-05 09:30, 2026-01-06 09:30"},
      {"0 0 13 * 5", "UTC", "2026-02-01 00:00", 3, "2026-02-06 00:00, 2026-02-13 00:00, 2026-02-20 00:00"},
      {"0 0 */10 * 5", "UTC", "2026-01-01 00:00", 1, "2026-05-01 00:00"},
      {"0 0 * * 7", "UTC", "2026-01-01 00:00", 1, "2026-01-04 00:00"},
      {"0 0 1 JAN,jul *", "UTC", "2026-01-01 00:00", 2, "2026-07-01 00:00, 2027-01-01 00:00"},
      {"7/20 0 * * *", "UTC", "2026-01-01 00:00", 3, "2026-01-01 00:07, 2026-01-01 00:27, 2026-01-01 00:47"},
      {"10-30/10 5 * * *", "UTC", "2026-01-01 00:00", 3,
       "2026-01-01 05:10, 2026-01-01 05:20, 2026-01-01 05:30"},
      {"@weekly", "UTC", "2026-01-01 00:00", 1, "2026-01-04 00:00"},
      {"@hourly", "UTC", "2026-01-01 00:59", 1, "2026-01-01 01:00"},
      {"0 9 * * *", "Asia/Kolkata", "2026-01-01 00:00", 1, "2026-01-01 03:30"},
      {"0 0 30 2 *", "UTC", "2026-01-01 00:00", 1, "never"},
      {"  0   0\t1 1 *  ", "UTC", "2026-01-01 00:00", 1, "2027-01-01 00:00"},
      {"* * * * *", "UTC", "1969-12-31 23:58", 2, "1969-12-31 23:59, 1970-01-01 00:00"},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(runs(one.expression, one.zone, one.from, one.count), one.expected) << one.expression;
  }
}

// Berlin, 2026: forward on March 29 from 02:00 to 03:00, back on October 25 from 03:00 to 02:00.
TEST(Cron, AnHourThatIsLeftOutOrComesTwice) {
  const std::vector<Case> cases = {
      {"30 2 * * *", "Europe/Berlin", "2026-03-28 00:00", 3,
       "2026-03-28 01:30, 2026-03-29 01:00, 2026-03-30 00:30"},
      {"*/20 2 * * *", "Europe/Berlin", "2026-03-28 12:00", 2, "2026-03-29 01:00, 2026-03-30 00:00"},
      {"0 3 * * *", "Europe/Berlin", "2026-03-28 12:00", 2, "2026-03-29 01:00, 2026-03-30 01:00"},
      {"30 * * * *", "Europe/Berlin", "2026-03-29 00:00", 2, "2026-03-29 00:30, 2026-03-29 01:30"},
      {"30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", 2, "2026-10-25 00:30, 2026-10-26 01:30"},
      {"30 3 * * *", "Europe/Berlin", "2026-10-24 12:00", 2, "2026-10-25 02:30, 2026-10-26 02:30"},
      {"30 * * * *", "Europe/Berlin", "2026-10-25 00:00", 3,
       "2026-10-25 00:30, 2026-10-25 01:30, 2026-10-25 02:30"},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(runs(one.expression, one.zone, one.from, one.count), one.expected) << one.expression;
  }
}

TEST(Cron, ADayThatAZoneLeavesOutRunsWhenItEnds) {
  EXPECT_EQ(runs("0 12 * * *", "Pacific/Apia", "2011-12-29 23:00", 2), "2011-12-30 10:00, 2011-12-30 22:00");
}

TEST(Cron, NonsenseIsRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "cron: expected five fields, or six with seconds, not 0"},
      {"* * * *", "cron: expected five fields, or six with seconds, not 4"},
      {"* * * * * * *", "cron: expected five fields, or six with seconds, not 7"},
      {"60 * * * *", "cron: minute \"60\": expected a number from 0 to 59"},
      {"* 24 * * *", "cron: hour \"24\": expected a number from 0 to 23"},
      {"* * 0 * *", "cron: day \"0\": expected a number from 1 to 31"},
      {"* * * 13 *", "cron: month \"13\": expected a number from 1 to 12"},
      {"* * * * 8", "cron: weekday \"8\": expected a number from 0 to 7"},
      {"* * * * FRIDAY", "cron: weekday \"FRIDAY\": expected a number from 0 to 7"},
      {"*/0 * * * *", "cron: minute \"0\": expected a number from 1 to 59"},
      {"*/ * * * *", "cron: minute \"\": expected a number from 1 to 59"},
      {"5-1 * * * *", "cron: minute \"5-1\": the range runs backwards"},
      {"1, * * * *", "cron: minute \"\": expected a number from 0 to 59"},
      {"-1 * * * *", "cron: minute \"\": expected a number from 0 to 59"},
      {"1.5 * * * *", "cron: minute \"1.5\": expected a number from 0 to 59"},
      {"** * * * *", "cron: minute \"**\": expected a number from 0 to 59"},
      {"? * * * *", "cron: minute \"?\": expected a number from 0 to 59"},
      {"@never", "cron: expected five fields, or six with seconds, not 1"},
      {"60 * * * * *", "cron: second \"60\": expected a number from 0 to 59"},
      {std::string("* * * * \0", 9), "cron: the expression is not printable ASCII"},
      {std::string(257, '*'), "cron: the expression is longer than 256 bytes"},
  };
  for (const auto& [expression, error] : cases) {
    EXPECT_EQ(Cron::parse(expression).status(), Status(Code::invalid_argument, error)) << expression;
  }
}

TEST(Cron, ZonesAreKnownByName) {
  for (const std::string& bad : {std::string("Mars/Base"), std::string("../../etc/passwd"),
                                 std::string(65, 'x'), std::string("Europe/Berlin\0", 14)}) {
    EXPECT_EQ(Zone::find(bad).status().code(), Code::invalid_argument) << bad;
  }
  EXPECT_TRUE(Zone::find("America/New_York").ok());
  EXPECT_TRUE(Zone::find("").ok());
}

}  // namespace
}  // namespace lockstep::service
