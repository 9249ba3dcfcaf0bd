#include "cli/settings.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/contexts.h"

namespace lockstep::cli {
namespace {

using testing::HasSubstr;

std::string file_with(const std::string& text) {
  const std::string path = testing::TempDir() + "lockstep-contexts.toml";
  std::ofstream(path) << text;
  return path;
}

TEST(Settings, FlagsWinOverVariablesOverTheContext) {
  const Result<Contexts> contexts =
      read_contexts(file_with("current = \"prod\"\n[contexts.prod]\nendpoints = [\"a:1\", \"b:2\"]\ntimeout "
                              "= \"9s\"\nuser = \"file\"\n"));
  ASSERT_TRUE(contexts.ok()) << contexts.status().to_string();
  const std::vector<GivenSettings> layers = {
      *context_settings(*contexts, ""),
      read_environment([](const std::string& name) -> const char* {
        if (name == "LOCKSTEP_USER") return "variable";
        if (name == "LOCKSTEP_OUTPUT") return "yaml";
        return nullptr;
      }),
      {{"output", {"json", "--output"}}},
  };
  const Result<Resolved> resolved = resolve(layers);
  ASSERT_TRUE(resolved.ok()) << resolved.status().to_string();
  EXPECT_EQ(resolved->settings.endpoints, (std::vector<std::string>{"a:1", "b:2"}));
  EXPECT_EQ(resolved->settings.timeout, 9s);
  EXPECT_EQ(resolved->settings.user, "variable");
  EXPECT_EQ(resolved->settings.output, Format::json);
  EXPECT_THAT(resolved->origins.at("timeout"), HasSubstr("lockstep-contexts.toml:4:11"));
  EXPECT_EQ(resolved->origins.at("user"), "LOCKSTEP_USER");
  EXPECT_EQ(resolved->origins.at("output"), "--output");
  EXPECT_FALSE(resolved->origins.contains("cacert"));
}

TEST(Settings, WhatIsWrongIsNamedWithItsPlace) {
  const std::vector<std::pair<std::string, std::string>> files = {
      {"curent = \"a\"", ":1:1: unknown key 'curent'"},
      {"[contexts.a]\nendpoint = \"x:1\"", ":2:1: unknown key 'endpoint': did you mean endpoints?"},
      {"[contexts.a]\npassword = \"secret\"", "unknown key 'password'"},
      {"[contexts.a]\nuser = 7", ":2:8: expected a text"},
      {"contexts = 3", "unknown key 'contexts'"},
      {"a = [", ":1:"},
  };
  for (const auto& [text, why] : files)
    EXPECT_THAT(std::string(read_contexts(file_with(text)).status().message()), HasSubstr(why)) << text;
  const auto refused = [](GivenSettings given) {
    return std::string(resolve(std::vector{std::move(given)}).status().message());
  };
  EXPECT_THAT(refused({{"timeout", {"5", "--timeout"}}}), HasSubstr("--timeout: '5' is not a duration"));
  EXPECT_THAT(refused({{"output", {"xml", "-o"}}}), HasSubstr("none of table, json, yaml, ndjson, raw"));
  EXPECT_THAT(refused({{"cert", {"a", "--cert"}}}), HasSubstr("belong together"));
  EXPECT_THAT(refused({{"password-file", {"a", "x"}}}), HasSubstr("without --user"));
}

TEST(Contexts, AreWrittenAndReadBack) {
  const std::string path = testing::TempDir() + "lockstep-made/config.toml";
  Contexts contexts;
  contexts.current = "prod";
  contexts.by_name["prod"]["endpoints"] = {"a:1,b:2", ""};
  contexts.by_name["a \"strange\" name"]["user"] = {"me", ""};
  ASSERT_TRUE(write_contexts(path, contexts).ok());
  const Result<Contexts> read = read_contexts(path);
  ASSERT_TRUE(read.ok()) << read.status().to_string();
  EXPECT_EQ(read->current, "prod");
  EXPECT_EQ(context_settings(*read, "prod")->at("endpoints").text, "a:1,b:2");
  EXPECT_EQ(context_settings(*read, "a \"strange\" name")->at("user").text, "me");
  EXPECT_THAT(std::string(context_settings(*read, "prdo").status().message()),
              HasSubstr("did you mean 'prod'?"));
  EXPECT_TRUE(read_contexts(testing::TempDir() + "missing/config.toml")->by_name.empty());
}

TEST(Settings, WhatIsShownCanBeReadBack) {
  for (const Setting& setting : settings()) {
    ClientSettings made;
    const std::string before = setting.show(made);
    EXPECT_TRUE(setting.set(made, before).ok() || before.empty()) << setting.name;
    EXPECT_EQ(setting.show(made), before) << setting.name;
  }
}

}  // namespace
}  // namespace lockstep::cli
