// gRPC's encodings, by table.
#include "rpc/grpc_wire.h"

#include <gtest/gtest.h>

namespace lockstep::rpc {
namespace {

TEST(GrpcWireTest, TimeoutsAreRead) {
  const struct {
    std::string_view text;
    std::optional<Duration> timeout;
  } cases[] = {
      {"1n", 1ns},
      {"2u", 2us},
      {"3m", 3ms},
      {"4S", 4s},
      {"5M", 5min},
      {"6H", 6h},
      {"99999999S", 99'999'999s},
      {"0m", 0ms},
      {"", std::nullopt},
      {"1", std::nullopt},
      {"S", std::nullopt},
      {"1s", std::nullopt},
      {"-1S", std::nullopt},
      {"1.5S", std::nullopt},
      {"123456789n", std::nullopt},
      {" 1S", std::nullopt},
  };
  for (const auto& one : cases) EXPECT_EQ(parse_timeout(one.text), one.timeout) << one.text;
  EXPECT_GT(parse_timeout("99999999H"), 1'000'000h) << "the longest is cut, not overflown";
}

TEST(GrpcWireTest, TimeoutsAreWrittenAsExactlyAsTheyFit) {
  EXPECT_EQ(format_timeout(5s), "5000000u");
  EXPECT_EQ(format_timeout(1ns), "1n");
  EXPECT_EQ(format_timeout(-5s), "1n");
  EXPECT_EQ(format_timeout(99'999'999ns), "99999999n");
  EXPECT_EQ(format_timeout(100'000'001ns), "100001u") << "rounded up";
  EXPECT_EQ(format_timeout(1000h), "3600000S");
}

TEST(GrpcWireTest, FramesAreSeenWhole) {
  std::string bytes;
  append_message(bytes, "hello");
  append_message(bytes, "");
  const FrameLook first = look_at_frame(bytes, 5);
  EXPECT_EQ(first.verdict, FrameVerdict::message);
  EXPECT_EQ(first.message, "hello");
  EXPECT_EQ(first.size, 10);
  EXPECT_EQ(look_at_frame(std::string_view(bytes).substr(10), 5).size, 5);
  for (std::size_t size = 0; size < 10; ++size)
    EXPECT_EQ(look_at_frame(std::string_view(bytes).substr(0, size), 5).verdict, FrameVerdict::more);
  EXPECT_EQ(look_at_frame(bytes, 4).verdict, FrameVerdict::too_large);
}

TEST(GrpcWireTest, Base64) {
  const struct {
    std::string_view bytes;
    std::string_view padded;
    std::string_view unpadded;
  } cases[] = {{"", "", ""},
               {"f", "Zg==", "Zg"},
               {"fo", "Zm8=", "Zm8"},
               {"foo", "Zm9v", "Zm9v"},
               {"\xff\xfe\xfd", "//79", "//79"}};
  for (const auto& one : cases) {
    EXPECT_EQ(base64_encode(one.bytes), one.padded);
    for (const std::string_view text : {one.padded, one.unpadded}) {
      std::string decoded;
      EXPECT_TRUE(append_base64_decoded(decoded, text));
      EXPECT_EQ(decoded, one.bytes);
    }
  }
  for (const std::string_view bad : {"Z", "Zg=", "Zm9v=", "Z!==", "====", "Zg==Zg=="}) {
    std::string decoded;
    EXPECT_FALSE(append_base64_decoded(decoded, bad)) << bad;
  }
}

TEST(GrpcWireTest, PercentEscapes) {
  EXPECT_EQ(percent_encode("50 % café\n", 100), "50 %25 caf%C3%A9%0A");
  EXPECT_EQ(percent_decode("50 %25 caf%C3%A9%0A"), "50 % café\n");
  EXPECT_EQ(percent_decode("%zz%4"), "%zz%4") << "what is no escape stays";
  EXPECT_EQ(percent_encode("ab%", 4), "ab") << "an escape is not cut";
}

TEST(GrpcWireTest, ContentTypes) {
  for (const std::string_view good :
       {"application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"})
    EXPECT_TRUE(is_grpc_content_type(good)) << good;
  for (const std::string_view bad : {"", "application/grpc-web", "application/grpcx", "application/json"})
    EXPECT_FALSE(is_grpc_content_type(bad)) << bad;
}

}  // namespace
}  // namespace lockstep::rpc
