// Replays the golden interaction scripts (script.h). With --rewrite the files get what happens now: review
// the difference line by line, it is the specification.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "raft/script.h"

namespace lockstep::raft {
namespace {

bool rewrite = false;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::vector<std::filesystem::path> scripts() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator("src/raft/testdata")) {
    if (entry.path().extension() == ".txt") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(RaftScripts, DoWhatTheySay) {
  const auto paths = scripts();
  ASSERT_FALSE(paths.empty()) << "run in the source folder";
  for (const auto& path : paths) {
    const std::string expected = read_file(path);
    const std::string actual = run_script(expected);
    if (rewrite && actual != expected) {
      std::ofstream(path) << actual;
      continue;
    }
    EXPECT_EQ(actual, expected) << path;
  }
}

}  // namespace
}  // namespace lockstep::raft

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  lockstep::raft::rewrite = argc > 1 && std::string(argv[1]) == "--rewrite";
  return RUN_ALL_TESTS();
}
