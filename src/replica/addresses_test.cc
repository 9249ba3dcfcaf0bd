#include "replica/addresses.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace lockstep::replica {
namespace {

TEST(Addresses, MergeKeepsTheNewest) {
  const std::string context = encode_addresses({{NodeId(2), "b:1"}, {NodeId(1), "a:1"}});
  raft::Configuration configuration;
  configuration.context = context;
  const Result<std::vector<Member>> merged =
      decode_addresses(merge_addresses(configuration, {{NodeId(2), "b:2"}, {NodeId(3), "c:1"}}));
  ASSERT_TRUE(merged.ok());
  EXPECT_EQ(*merged, (std::vector<Member>{{NodeId(1), "a:1"}, {NodeId(2), "b:2"}, {NodeId(3), "c:1"}}));
  for (std::size_t length = 0; length < context.size(); ++length) {
    EXPECT_FALSE(decode_addresses(std::string_view(context).substr(0, length)).ok()) << length;
  }
}

TEST(Addresses, ThoseWhoLeftGiveWayToThoseWhoCome) {
  raft::Configuration configuration;
  configuration.voters = {NodeId(1)};
  configuration.context = encode_addresses({{NodeId(1), "a:1"}});
  for (std::uint64_t id = 2; id < 200; ++id) {
    configuration.learners = {NodeId(id)};
    configuration.context = merge_addresses(configuration, {{NodeId(id), "b:" + std::to_string(id)}});
    const Result<std::vector<Member>> members = decode_addresses(configuration.context);
    ASSERT_TRUE(members.ok()) << id << ": " << members.status().to_string();
    EXPECT_EQ(members->front().address, "a:1") << id;
    EXPECT_EQ(members->back().id, NodeId(id));
  }
}

}  // namespace
}  // namespace lockstep::replica
