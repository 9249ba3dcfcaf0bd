// Quotas of processor time, as the control groups of both versions say them.
#include "platform/processor_quota.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "platform/test_support.h"

namespace lockstep::platform {
namespace {

using namespace std::chrono_literals;

class ProcessorQuota : public testing::Test {
 protected:
  TemporaryDirectory root;

  void file(const std::string& path, const std::string& text) {
    const std::filesystem::path whole = root.path() + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
  }
  std::optional<double> quota() { return processor_quota(root.path()); }
};

TEST_F(ProcessorQuota, ThereIsNoneWhereNothingSaysSo) {
  EXPECT_EQ(quota(), std::nullopt);
  file("/proc/self/cgroup", "0::/\n");
  EXPECT_EQ(quota(), std::nullopt);
  file("/sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), std::nullopt);
}

TEST_F(ProcessorQuota, OfAContainer) {
  file("/proc/self/cgroup", "0::/\n");
  file("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(quota(), 1.5);
}

TEST_F(ProcessorQuota, OfAContainerThatIsToldTheHostsPath) {
  file("/proc/self/cgroup", "0::/system.slice/docker-1234.scope\n");
  file("/sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(quota(), 0.5);
}

TEST_F(ProcessorQuota, TheLeastOfAGroupAndThoseAboveIt) {
  file("/proc/self/cgroup", "0::/system.slice/lockstepd.service\n");
  file("/sys/fs/cgroup/system.slice/cpu.max", "100000 100000\n");
  file("/sys/fs/cgroup/system.slice/lockstepd.service/cpu.max", "400000 100000\n");
  EXPECT_EQ(quota(), 1.0);
}

TEST_F(ProcessorQuota, OfTheFirstVersion) {
  file("/proc/self/cgroup", "5:memory:/m\n3:cpu,cpuacct:/pod/one\n1:name=systemd:/x\n");
  file("/sys/fs/cgroup/cpu,cpuacct/pod/one/cpu.cfs_quota_us", "-1\n");
  file("/sys/fs/cgroup/cpu,cpuacct/pod/one/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), std::nullopt);
  file("/sys/fs/cgroup/cpu,cpuacct/pod/one/cpu.cfs_quota_us", "25000\n");
  EXPECT_EQ(quota(), 0.25);
}

TEST_F(ProcessorQuota, WhatCannotBeReadIsNone) {
  file("/proc/self/cgroup", "0\n\n0::\n:::\n0::/a\n");
  for (const char* text : {"", "100000", "100000 0", "100000 x", "x 100000", "1e5 100000", "-5 100000"}) {
    file("/sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(quota(), std::nullopt) << text;
  }
}

TEST(DefaultLookTime, IsNothingWhereAQuotaWouldBeUsedUpByIt) {
  EXPECT_EQ(default_look_time(std::nullopt), 100us);
  EXPECT_EQ(default_look_time(2.0), 100us);
  EXPECT_EQ(default_look_time(1.9), 0us);
}

}  // namespace
}  // namespace lockstep::platform
