#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/prng.h"
#include "base/status.h"
#include "base/task.h"
#include "base/task_scope.h"
#include "base/time.h"

namespace lockstep {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return Status(Code::invalid_argument, "odd");
  return number / 2;
}

Result<int> quarter(int number) {
  LS_ASSIGN_OR_RETURN(const int once, half(number));
  return half(once);
}

TEST(Status, OkIsEmptyAndErrorsKeepTheirText) {
  EXPECT_TRUE(Status().ok());
  EXPECT_EQ(Status().to_string(), "ok");
  const Status error(Code::not_found, "no such lease");
  EXPECT_EQ(error.to_string(), "not_found: no such lease");
  const Status copy = error;  // NOLINT(performance-unnecessary-copy-initialization): the copy is the test
  EXPECT_EQ(copy, error);
}

TEST(Result, CarriesValueOrError) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).status(), Status(Code::invalid_argument, "odd"));
  EXPECT_DEATH(static_cast<void>(quarter(6).value()), "assertion failed");
}

TEST(Codec, EveryFieldReturnsAsItWas) {
  std::string bytes;
  Encoder encoder(&bytes);
  encoder.u8(7);
  encoder.u32(0xdeadbeef);
  encoder.u64(~0ull);
  encoder.boolean(true);
  for (const std::uint64_t value : {0ull, 127ull, 128ull, 1ull << 63, ~0ull}) encoder.varint(value);
  encoder.signed_varint(-3);
  encoder.id(Term(300));
  encoder.id(Revision(-1));
  encoder.bytes("key");

  Decoder decoder(bytes);
  EXPECT_EQ(decoder.u8(), 7);
  EXPECT_EQ(decoder.u32(), 0xdeadbeef);
  EXPECT_EQ(decoder.u64(), ~0ull);
  EXPECT_TRUE(decoder.boolean());
  for (const std::uint64_t value : {0ull, 127ull, 128ull, 1ull << 63, ~0ull})
    EXPECT_EQ(decoder.varint(), value);
  EXPECT_EQ(decoder.signed_varint(), -3);
  EXPECT_EQ(decoder.id<Term>(), Term(300));
  EXPECT_EQ(decoder.id<Revision>(), Revision(-1));
  EXPECT_EQ(decoder.bytes(), "key");
  EXPECT_TRUE(decoder.done());
}

TEST(Codec, EveryTruncationFailsAndStaysFailed) {
  std::string bytes;
  Encoder encoder(&bytes);
  encoder.u32(1);
  encoder.varint(1u << 20);
  encoder.bytes("value");
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    Decoder decoder(std::string_view(bytes).substr(0, length));
    decoder.u32();
    decoder.varint();
    decoder.bytes();
    EXPECT_FALSE(decoder.ok()) << length;
    decoder.u8();
    EXPECT_FALSE(decoder.ok()) << length;
  }
}

TEST(Codec, RefusesLongAndOverflowingVarints) {
  Decoder padded(std::string_view("\x80\x00", 2));
  padded.varint();
  EXPECT_FALSE(padded.ok());
  Decoder overflowing("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
  overflowing.varint();
  EXPECT_FALSE(overflowing.ok());
  Decoder lying("\xff\xff\xff\xff\x0f short");
  lying.bytes();
  EXPECT_FALSE(lying.ok());
}

TEST(Crc32c, MatchesTheStandardsVectors) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);              // the check value of the catalogue
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);    // RFC 3720 B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);  // RFC 3720 B.4
  EXPECT_EQ(crc32c_extend(crc32c("12345"), "6789"), 0xe3069283u);
}

TEST(Prng, SameSeedSameNumbersAndBoundsHold) {
  Prng a(42);
  Prng b(42);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t value = a.between(3, 9);
    EXPECT_EQ(value, b.between(3, 9));
    EXPECT_GE(value, 3u);
    EXPECT_LE(value, 9u);
  }
}

TEST(SharedBytes, SlicesOutliveTheirOrigin) {
  SharedBytes part;
  {
    const SharedBytes whole(std::string("0123456789"));
    part = whole.slice(3, 4);
  }
  EXPECT_EQ(part.view(), "3456");
}

Task<int> answer() {
  co_return 42;
}

Task<int> sum_of_answers(int count) {
  int total = 0;
  for (int i = 0; i < count; ++i) total += co_await answer();
  co_return total;
}

Task<void> store_sum(int count, int* out) {
  *out = co_await sum_of_answers(count);
}

TEST(Task, AMillionSynchronousCompletionsNeedOneStackFrame) {
  int sum = 0;
  store_sum(1'000'000, &sum).detach();
  EXPECT_EQ(sum, 42'000'000);
}

Task<void> wait_for(std::vector<std::move_only_function<void(int)>>* waiting, int* out) {
  *out = co_await from_callback<int>([&](auto done) { waiting->emplace_back(std::move(done)); });
}

TEST(Task, ResumesWhenTheCallbackComesLater) {
  std::vector<std::move_only_function<void(int)>> waiting;
  int got = 0;
  wait_for(&waiting, &got).detach();
  EXPECT_EQ(got, 0);
  ASSERT_EQ(waiting.size(), 1u);
  waiting.front()(7);
  EXPECT_EQ(got, 7);
}

TEST(TaskScope, EndsWithItsOwnerWhateverStillWaits) {
  std::vector<std::move_only_function<void(int)>> waiting;
  int first = 0;
  int second = 0;
  {
    TaskScope scope;
    scope.spawn(wait_for(&waiting, &first));
    scope.spawn(wait_for(&waiting, &second));
    EXPECT_EQ(scope.size(), 2);
    ASSERT_EQ(waiting.size(), 2);
    waiting[0](7);
    EXPECT_EQ(scope.size(), 1) << "one that ended is forgotten";
  }
  EXPECT_EQ(first, 7);
  EXPECT_EQ(second, 0) << "what was left did not go on";
}

}  // namespace
}  // namespace lockstep
