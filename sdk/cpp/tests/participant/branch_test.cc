// What is taken for a branch's call, and what is refused before anything happens.
#include <map>
#include <optional>
#include <string>

#include <gtest/gtest.h>
#include <lockstep/participant/branch.h>

namespace {

using lockstep::BadBranch;
using lockstep::BranchContext;
using lockstep::BranchMode;
using lockstep::BranchOperation;

using Headers = std::map<std::string, std::string>;

Headers good() {
  return {{"Lockstep-Transaction", "g1"},  {"Lockstep-Branch", "b1"}, {"Lockstep-Operation", "try"},
          {"Lockstep-Mode", "tcc"},        {"Lockstep-Attempt", "3"}, {"Lockstep-Token", "17"},
          {"Idempotency-Key", "g1/b1/try"}};
}

BranchContext parse(const Headers& headers) {
  return BranchContext::from_headers([&](std::string_view name) -> std::optional<std::string> {
    const auto found = headers.find(std::string(name));
    if (found == headers.end()) return std::nullopt;
    return found->second;
  });
}

TEST(Branch, IsReadFromItsHeaders) {
  const BranchContext context = parse(good());
  EXPECT_EQ(context.transaction(), "g1");
  EXPECT_EQ(context.branch(), "b1");
  EXPECT_EQ(context.mode(), BranchMode::tcc);
  EXPECT_EQ(context.operation(), BranchOperation::attempt);
  EXPECT_EQ(context.attempt(), 3);
  EXPECT_EQ(context.token(), 17);
  EXPECT_EQ(context.idempotency_key(), "g1/b1/try");
}

TEST(Branch, NeedsNoIdempotencyKey) {
  Headers headers = good();
  headers.erase("Idempotency-Key");
  EXPECT_EQ(parse(headers).idempotency_key(), "g1/b1/try");
}

struct Bad {
  std::string header;
  std::optional<std::string> value;  // nothing: the header is missing
  std::string says;
};

class BadHeader : public testing::TestWithParam<Bad> {};

TEST_P(BadHeader, IsRefusedWithItsName) {
  Headers headers = good();
  headers.erase("Idempotency-Key");
  if (GetParam().value) {
    headers[GetParam().header] = *GetParam().value;
  } else {
    headers.erase(GetParam().header);
  }
  try {
    parse(headers);
    FAIL() << "it was taken";
  } catch (const BadBranch& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with(GetParam().header + ": ")) << error.what();
    EXPECT_NE(std::string(error.what()).find(GetParam().says), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadHeader,
    testing::Values(
        Bad{"Lockstep-Transaction", std::nullopt, "missing"}, Bad{"Lockstep-Transaction", "", "not 0"},
        Bad{"Lockstep-Transaction", std::string(129, 'x'), "not 129"},
        Bad{"Lockstep-Transaction", "a/b", "no '/'"}, Bad{"Lockstep-Transaction", "a b", "printable"},
        Bad{"Lockstep-Transaction", "a\x7f", "printable"}, Bad{"Lockstep-Branch", std::nullopt, "missing"},
        Bad{"Lockstep-Branch", "", "not 0"}, Bad{"Lockstep-Branch", std::string(129, 'x'), "not 129"},
        Bad{"Lockstep-Branch", "\xc3\xa4", "printable"}, Bad{"Lockstep-Operation", "TRY", "try"},
        Bad{"Lockstep-Operation", "attempt", "try"}, Bad{"Lockstep-Operation", "action", "in mode tcc"},
        Bad{"Lockstep-Mode", "TCC", "saga"}, Bad{"Lockstep-Mode", std::nullopt, "missing"},
        Bad{"Lockstep-Attempt", "0", "from 1"}, Bad{"Lockstep-Attempt", "1x", "whole number"},
        Bad{"Lockstep-Attempt", "99999999999999999999", "whole number"},
        Bad{"Lockstep-Attempt", std::nullopt, "missing"}, Bad{"Lockstep-Token", "-1", "from 0"},
        Bad{"Lockstep-Token", "", "whole number"}, Bad{"Idempotency-Key", "g1/b1/cancel", "g1/b1/try"}));

TEST(Branch, OfANotificationIsDelivered) {
  EXPECT_NO_THROW(BranchContext("g", "b", BranchMode::notification, BranchOperation::deliver));
  EXPECT_NO_THROW(BranchContext("g", "b", BranchMode::message, BranchOperation::deliver));
  EXPECT_THROW(BranchContext("g", "b", BranchMode::notification, BranchOperation::check), BadBranch);
}

}  // namespace
