#include "server/node.h"

#include <cstdlib>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep::server {
namespace {

class EmptyDirectory {
 public:
  EmptyDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lockstep-node-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~EmptyDirectory() { std::filesystem::remove_all(path_); }
  EmptyDirectory(const EmptyDirectory&) = delete;
  EmptyDirectory& operator=(const EmptyDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Others may have been added since, and this directory may have been lost: founding again would make two
// clusters of one.
TEST(Node, FoundsNoClusterThatOthersCouldJoinUnlessItIsToldTo) {
  const EmptyDirectory directory;
  ServerOptions options;
  options.name = "n1";
  options.data_directory = directory.path();
  options.peer_listen = "127.0.0.1:0";
  options.peer_advertise = "127.0.0.1:23080";
  Logger logger(LogLevel::error, LogFormat::text);
  const Result<std::unique_ptr<Node>> node = Node::open(options, logger);
  ASSERT_FALSE(node.ok());
  EXPECT_EQ(node.status().code(), Code::failed_precondition);
  EXPECT_THAT(std::string(node.status().message()),
              testing::HasSubstr("--initial-cluster n1=127.0.0.1:23080"));
}

// It began to join and never got there: without the flag it is nobody's founder.
TEST(Node, AMemberThatDidNotFinishJoiningIsToldSoAgain) {
  const EmptyDirectory directory;
  ServerOptions options;
  options.name = "n3";
  options.data_directory = directory.path();
  options.listen = "127.0.0.1:0";
  options.peer_listen = "127.0.0.1:0";
  options.peer_advertise = "127.0.0.1:23083";
  options.join = {"127.0.0.1:1"};
  Logger logger(LogLevel::error, LogFormat::text);
  {
    const Result<std::unique_ptr<Node>> joining = Node::open(options, logger);
    ASSERT_TRUE(joining.ok()) << joining.status().to_string();
  }
  options.join.clear();
  const Result<std::unique_ptr<Node>> node = Node::open(options, logger);
  ASSERT_FALSE(node.ok());
  EXPECT_THAT(std::string(node.status().message()), testing::HasSubstr("--join"));
}

}  // namespace
}  // namespace lockstep::server
