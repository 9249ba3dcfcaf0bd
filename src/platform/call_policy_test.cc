// Which addresses may be called: what lies inside is never reached by a name from outside.
#include "platform/call_policy.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace lockstep::platform {
namespace {

CallPolicy policy(const std::vector<std::string>& allow = {}, bool loopback = false) {
  return CallPolicy::create(allow, loopback).value();
}

bool allows(const CallPolicy& by, const std::string& host, const std::string& address) {
  return by.judge(host, parse_ip_address(address).value()).ok();
}

TEST(CallPolicy, SomeAddressesAreNeverCalledHoweverTheyAreWritten) {
  const CallPolicy open = policy({}, true);
  for (const std::string never : {"169.254.169.254",
                                  "169.254.0.1",
                                  "224.0.0.1",
                                  "239.255.255.255",
                                  "0.0.0.0",
                                  "0.1.2.3",
                                  "240.0.0.1",
                                  "255.255.255.255",
                                  "::",
                                  "fe80::1",
                                  "febf::1",
                                  "ff02::1",
                                  "::ffff:169.254.169.254",
                                  "::ffff:0.0.0.0",
                                  "::169.254.169.254",
                                  "64:ff9b::169.254.169.254",
                                  "64:ff9b::224.0.0.1",
                                  "::ffff:0:169.254.169.254",
                                  "2002:a9fe:a9fe::1",
                                  "2002:a9fe:a9fe:1:2:3:4:5",
                                  "2002::1",
                                  "64:ff9b:1::169.254.169.254",
                                  "64:ff9b:1:ffff::169.254.169.254",
                                  "64:ff9b:1:a9fe:a9:fe00::",
                                  "64:ff9b:1:a9fe:a9:fe00:5db8:d822",
                                  "64:ff9b:1:a9:fe:a9fe::",
                                  "64:ff9b:1:0:a9:fea9:fe00:0",
                                  "64:ff9b:1::",
                                  "64:ff9b:1::1"}) {
    EXPECT_EQ(open.judge("a.example", parse_ip_address(never).value()).code(), Code::permission_denied)
        << never;
    EXPECT_FALSE(policy({"0.0.0.0/0", "::/0", "a.example"}, true).judge_host(never).ok()) << never;
  }
  for (const std::string fine :
       {"10.0.0.1", "192.168.1.1", "93.184.216.34", "2001:db8::1", "fd00::1", "64:ff9b::10.0.0.1",
        "64:ff9b:1::10.0.0.1", "64:ff9b:2::1", "64:ff9b:1:a00:0:100::", "2002:5db8:d822::1",
        "::ffff:0:10.0.0.1", "2003::a9fe:a9fe", "170.254.0.1", "169.253.0.1", "fec0::1"})
    EXPECT_TRUE(allows(open, "a.example", fine)) << fine;
}

TEST(CallPolicy, ThisMachineIsCalledOnlyIfSaidSo) {
  for (const std::string self : {"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1",
                                 "64:ff9b:1::127.0.0.1", "2002:7f00:1::", "::ffff:0:127.0.0.1"}) {
    EXPECT_FALSE(allows(policy(), "localhost", self)) << self;
    EXPECT_FALSE(allows(policy({"127.0.0.0/8", "localhost"}), "localhost", self)) << self;
    EXPECT_TRUE(allows(policy({}, true), "localhost", self)) << self;
  }
  EXPECT_FALSE(allows(policy({"10.0.0.0/8"}, true), "localhost", "127.0.0.1"));
}

TEST(CallPolicy, MetadataOfCloudsIsCalledOnlyByAnEntryOfItsOwn) {
  for (const std::string metadata : {"100.100.100.200", "168.63.129.16", "fd00:ec2::254",
                                     "::ffff:100.100.100.200", "64:ff9b::168.63.129.16"}) {
    EXPECT_FALSE(allows(policy({}, true), "a.example", metadata)) << metadata;
    EXPECT_FALSE(allows(policy({"0.0.0.0/0", "::/0", "100.64.0.0/10", "a.example"}), "a.example", metadata))
        << metadata;
    EXPECT_TRUE(allows(policy({"100.100.100.200", "168.63.129.16", "fd00:ec2::254"}), "a.example", metadata))
        << metadata;
  }
  EXPECT_TRUE(allows(policy(), "a.example", "100.100.100.201"));
}

TEST(CallPolicy, OwnPortsAreNotCalled) {
  const auto judged = [](const std::vector<std::string>& allow, const std::string& address,
                         std::uint16_t port) {
    const CallPolicy own = CallPolicy::create(allow, true, {2379, 2380}).value();
    return own.judge("a.example", parse_ip_address(address).value(), port).ok();
  };
  for (const std::uint16_t port : {2379, 2380}) {
    EXPECT_FALSE(judged({}, "127.0.0.1", port));
    EXPECT_FALSE(judged({}, "::1", port));
    EXPECT_FALSE(judged({"127.0.0.0/8"}, "127.0.0.1", port));
    EXPECT_TRUE(judged({"127.0.0.1"}, "127.0.0.1", port)) << "whoever names it means it";
    EXPECT_TRUE(judged({}, "192.0.2.1", port)) << "another machine's";
  }
  EXPECT_TRUE(judged({}, "127.0.0.1", 8080));
  EXPECT_TRUE(judged({}, "::1", 0)) << "not known yet";
}

TEST(CallPolicy, AListNamesHostsAndAddresses) {
  const CallPolicy listed =
      policy({"hooks.example.com", "*.internal", "10.1.0.0/16", "192.168.0.7", "2001:db8::/33"});
  EXPECT_TRUE(allows(listed, "hooks.example.com", "93.184.216.34"));
  EXPECT_TRUE(allows(listed, "HOOKS.example.com.", "93.184.216.34"));
  EXPECT_FALSE(allows(listed, "xhooks.example.com", "93.184.216.34"));
  EXPECT_FALSE(allows(listed, "hooks.example.com.evil", "93.184.216.34"));
  EXPECT_TRUE(allows(listed, "a.b.internal", "93.184.216.34"));
  EXPECT_FALSE(allows(listed, "internal", "93.184.216.34"));
  EXPECT_TRUE(allows(listed, "x.example", "10.1.255.255"));
  EXPECT_FALSE(allows(listed, "x.example", "10.2.0.0"));
  EXPECT_TRUE(allows(listed, "x.example", "::ffff:10.1.2.3"));
  EXPECT_TRUE(allows(listed, "x.example", "2002:a01:203::1"));
  EXPECT_TRUE(allows(listed, "x.example", "64:ff9b:1::10.1.2.3"));
  EXPECT_FALSE(allows(listed, "x.example", "64:ff9b:1::10.2.2.3"));
  EXPECT_FALSE(allows(listed, "x.example", "64:ff9b:1:a02:2:300:a01:203"));
  EXPECT_TRUE(allows(listed, "x.example", "::ffff:0:10.1.2.3"));
  EXPECT_FALSE(allows(listed, "x.example", "2002:a02:203::1"));
  EXPECT_TRUE(allows(listed, "x.example", "192.168.0.7"));
  EXPECT_FALSE(allows(listed, "x.example", "192.168.0.8"));
  EXPECT_TRUE(allows(listed, "x.example", "2001:db8:7fff::1"));
  EXPECT_FALSE(allows(listed, "x.example", "2001:db8:8000::1"));
  EXPECT_FALSE(allows(listed, "hooks.example.com", "169.254.169.254"))
      << "a listed name does not lead inside";
}

TEST(CallPolicy, WhatIsNoHostAndNoAddressIsNamed) {
  for (const auto& [entry, why] :
       std::vector<std::pair<std::string, std::string>>{{"", "neither a host"},
                                                        {"*", "neither a host"},
                                                        {"*.", "neither a host"},
                                                        {"a b", "neither a host"},
                                                        {"http://a", "no address before '/'"},
                                                        {"10.0.0.0/33", "0 to 32"},
                                                        {"10.0.0.0/", "0 to 32"},
                                                        {"10.0.0.0/8x", "0 to 32"},
                                                        {"::/129", "0 to 128"},
                                                        {"10.0.0.1/8", "10.0.0.0/8 is meant?"},
                                                        {"a..b", "neither a host"}}) {
    const Status refused = CallPolicy::create({entry}, false).status();
    EXPECT_EQ(refused.code(), Code::invalid_argument) << entry;
    EXPECT_TRUE(refused.message().contains(why)) << refused.message();
  }
}

TEST(CallPolicy, BeforeANameIsResolvedOnlyWhatIsCertainIsRefused) {
  EXPECT_TRUE(policy().judge_host("anything.example").ok());
  EXPECT_FALSE(policy({"a.example"}).judge_host("b.example").ok());
  EXPECT_TRUE(policy({"a.example", "10.0.0.0/8"}).judge_host("b.example").ok()) << "it may lie in the range";
  EXPECT_FALSE(policy().judge_host("127.0.0.1").ok());
}

}  // namespace
}  // namespace lockstep::platform
