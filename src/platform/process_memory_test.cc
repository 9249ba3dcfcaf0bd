#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "platform/process.h"

namespace lockstep::platform {
namespace {

long resident_of_files_kib() {
  std::ifstream status("/proc/self/status");
  std::string name;
  for (long value = 0; status >> name;) {
    if (name == "RssFile:" && status >> value) return value;
  }
  return -1;
}

TEST(ProcessMemory, PagesOfStartUpAreGivenBackAndComeBackWhenNeeded) {
  const long before = resident_of_files_kib();
  ASSERT_GT(before, 0);
  release_start_up_pages();
  const long after = resident_of_files_kib();  // what this very function needs is back already
  EXPECT_LT(after, before);
  // Constants and code that were given back read as before.
  EXPECT_EQ(std::to_string(before + 1), std::to_string(1 + before));
}

}  // namespace
}  // namespace lockstep::platform
