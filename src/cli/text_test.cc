#include "cli/text.h"

#include <gtest/gtest.h>

#include "base/prng.h"
#include "cli/histogram.h"
#include "cli/wire_format.h"

namespace lockstep::cli {
namespace {

TEST(Text, EscapedBytesAreReadableAndComeBack) {
  EXPECT_EQ(escape("plain/key-1"), "plain/key-1");
  EXPECT_EQ(escape("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(escape(std::string("\0\x7f\xff\n\t\\", 6)), R"(\x00\x7f\xff\n\t\\)");
  EXPECT_EQ(escape("\xc2\x9b"), R"(\xc2\x9b)") << "a control character that terminals obey";
  EXPECT_EQ(escape("\xed\xa0\x80"), R"(\xed\xa0\x80)") << "half of a surrogate pair";
  EXPECT_EQ(escape("\xc0\xaf"), R"(\xc0\xaf)") << "not the shortest form";
  Prng prng(1);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(prng.below(20), '\0');
    for (char& c : bytes) c = static_cast<char>(prng.below(256));
    const std::string text = escape(bytes);
    EXPECT_EQ(*unescape(text), bytes) << text;
    EXPECT_EQ(escape(text) == text, text.find('\\') == std::string::npos) << "nothing is left to escape";
  }
  for (const char* bad : {"\\", "\\x", "\\x1", "\\xg0", "\\q"}) EXPECT_FALSE(unescape(bad).ok()) << bad;
}

TEST(Text, IdsAreHexadecimal) {
  EXPECT_EQ(*parse_hex_id("0x1F"), 31U);
  EXPECT_FALSE(parse_hex_id("g").ok());
}

TEST(Histogram, QuantilesAreWithinASixtyFourth) {
  Histogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), 0ns);
  for (int i = 1; i <= 100'000; ++i) histogram.add(std::chrono::microseconds(i));
  const auto near = [](Duration value, Duration wanted) {
    return value >= wanted && value <= wanted + wanted / 50;
  };
  EXPECT_TRUE(near(histogram.quantile(0.5), 50ms)) << histogram.quantile(0.5).count();
  EXPECT_TRUE(near(histogram.quantile(0.99), 99ms)) << histogram.quantile(0.99).count();
  EXPECT_EQ(histogram.max(), 100ms);
  EXPECT_EQ(histogram.quantile(1), 100ms);
  histogram.add(100h);
  EXPECT_EQ(histogram.max(), 100h);
}

TEST(WireFormat, WhatIsWrittenIsRead) {
  std::string bytes;
  WireWriter writer(bytes);
  writer.number(1, 300);
  writer.bytes(200, "text");
  writer.number(3, ~std::uint64_t{0});
  WireReader reader(bytes);
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.field(), 1);
  EXPECT_EQ(reader.number(), 300U);
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.field(), 200);
  EXPECT_EQ(reader.bytes(), "text");
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.number(), ~std::uint64_t{0});
  EXPECT_FALSE(reader.next());
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    WireReader part(std::string_view(bytes).substr(0, cut));
    int fields = 0;
    while (part.next()) ++fields;
    EXPECT_LT(fields, 3) << cut;
  }
}

}  // namespace
}  // namespace lockstep::cli
