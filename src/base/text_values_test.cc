#include "base/text_values.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

using Texts = std::vector<std::string>;

TEST(TextValues, DurationsAndSizesHaveUnitsAndBounds) {
  EXPECT_EQ(*parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(*parse_duration("10m"), 10min);
  EXPECT_EQ(*parse_duration("0"), 0s);
  for (const char* bad : {"", "5", "-1s", "1 s", "nan s", "inf s", "1e30h", "s"})
    EXPECT_FALSE(parse_duration(bad).ok()) << bad;
  for (const Duration duration :
       {Duration(0s), Duration(90s), Duration(1500ms), Duration(7us), Duration(3ns)})
    EXPECT_EQ(*parse_duration(show_duration(duration)), duration);
  EXPECT_EQ(*parse_bytes("2GiB"), 2ULL << 30);
  EXPECT_EQ(*parse_bytes("17"), 17U);
  for (const char* bad : {"", "-1", "1TiBB", "1e40"}) EXPECT_FALSE(parse_bytes(bad).ok()) << bad;
  EXPECT_EQ(*parse_number("18446744073709551615"), ~std::uint64_t{0});
  for (const char* bad : {"", "-1", "1x", "18446744073709551616"})
    EXPECT_FALSE(parse_number(bad).ok()) << bad;
}

TEST(TextValues, AddressesAreHostsWithPorts) {
  EXPECT_EQ(*parse_address("https://[::1]:2379"), "[::1]:2379");
  EXPECT_EQ(*parse_addresses("http://a:1,[::1]:2"), (Texts{"a:1", "[::1]:2"}));
  EXPECT_EQ(*parse_addresses(""), Texts{});
  for (const char* bad : {"a", "a:", ":1", "a:1,", ",a:1", "a:65536", "a:b", "::1:2", "[]:1", "a b:1"})
    EXPECT_FALSE(parse_addresses(bad).ok()) << bad;
  const auto named = parse_named_addresses("n1=a:1,n2=http://b:2");
  ASSERT_TRUE(named.ok());
  EXPECT_EQ(*named, (std::vector<NamedAddress>{{"n1", "a:1"}, {"n2", "b:2"}}));
  for (const char* bad : {"n1", "=a:1", "n1=a", "n1=a:1,"})
    EXPECT_FALSE(parse_named_addresses(bad).ok()) << bad;
}

TEST(TextValues, ANearMissFindsItsName) {
  const Texts names = {"get", "put", "del", "watch", "prod"};
  EXPECT_EQ(nearest("gte", names), "get");
  EXPECT_EQ(nearest("wach", names), "watch");
  EXPECT_EQ(nearest("prdo", names), "prod");
  EXPECT_EQ(nearest("xyzzy", names), "");
}

}  // namespace
}  // namespace lockstep
