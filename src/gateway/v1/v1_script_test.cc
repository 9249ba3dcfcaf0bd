// Replays the golden scripts in testdata/, one test each. With --rewrite the files get what happens now:
// review the difference, it is the specification. The language is described in testing/script.h.
//
// A script is blocks of commands, "----", what they print, and an empty line. Lines with "#" are comments.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/v1/testing/script.h"

namespace lockstep::gateway::v1::testing {
namespace {

bool rewrite = false;
const std::filesystem::path folder = "src/gateway/v1/testdata";

std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// The script as it should be.
std::string replay(const std::string& text) {
  Script script;
  std::string result;
  std::string printed;
  std::istringstream lines(text);
  bool in_output = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) {
      in_output = false;
      result += "\n";
    } else if (line == "----") {
      in_output = true;
      result += "----\n" + std::exchange(printed, "");
    } else if (!in_output) {
      result += line + "\n";
      if (line[0] != '#') printed += script.run(line);
    }
  }
  return result + printed;
}

class V1Script : public ::testing::TestWithParam<std::string> {};

TEST_P(V1Script, Agrees) {
  const std::filesystem::path path = folder / (GetParam() + ".txt");
  const std::string expected = read(path);
  const std::string actual = replay(expected);
  if (rewrite && actual != expected) {
    std::ofstream(path) << actual;
    return;
  }
  EXPECT_EQ(actual, expected);
}

std::vector<std::string> scripts() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().stem());
  std::ranges::sort(names);
  return names;
}

INSTANTIATE_TEST_SUITE_P(V1, V1Script, ::testing::ValuesIn(scripts()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lockstep::gateway::v1::testing

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  lockstep::gateway::v1::testing::rewrite = argc > 1 && std::string(argv[1]) == "--rewrite";
  return RUN_ALL_TESTS();
}
