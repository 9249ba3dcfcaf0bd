#include "server/settings.h"

#include <cstdio>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/text_values.h"

namespace lockstep::server {
namespace {

using testing::HasSubstr;

struct Layers {
  std::string file;                                // content of the file; empty: none
  std::map<std::string, std::string> environment;  // by variable
  std::map<std::string, std::string> flags;        // by name without dashes
};

std::string file_with(const std::string& text) {
  const std::string path = testing::TempDir() + "lockstep.toml";
  std::ofstream(path) << text;
  return path;
}

Result<Resolved> resolved(const Layers& layers) {
  std::vector<GivenSettings> given;
  if (!layers.file.empty()) {
    LS_ASSIGN_OR_RETURN(given.emplace_back(), read_settings_file(file_with(layers.file)));
  }
  given.push_back(read_environment([&](const std::string& name) {
    const auto found = layers.environment.find(name);
    return found == layers.environment.end() ? nullptr : found->second.c_str();
  }));
  GivenSettings& flags = given.emplace_back();
  for (const auto& [name, text] : layers.flags) flags[name] = {text, "--" + name};
  return resolve(given);
}

std::string why_refused(const Layers& layers) {
  const Result<Resolved> result = resolved(layers);
  return result.ok() ? "accepted" : std::string(result.status().message());
}

TEST(Settings, LaterLayersWinAndSayWhereTheyAre) {
  const Result<Resolved> result =
      resolved({.file = "name = \"file\"\nrequest_timeout = \"3s\"\nlog_level = \"error\"\n",
                .environment = {{"LOCKSTEP_NAME", "variable"}, {"LOCKSTEP_LOG_LEVEL", "debug"}},
                .flags = {{"name", "flag"}}});
  ASSERT_TRUE(result.ok()) << result.status().to_string();
  EXPECT_EQ(result->options.name, "flag");
  EXPECT_EQ(result->origins.at("name"), "--name");
  EXPECT_EQ(result->options.log_level, LogLevel::debug);
  EXPECT_EQ(result->origins.at("log-level"), "LOCKSTEP_LOG_LEVEL");
  EXPECT_EQ(result->options.request_timeout, 3s);
  EXPECT_THAT(result->origins.at("request-timeout"), HasSubstr("lockstep.toml:2:"));
  EXPECT_FALSE(result->origins.contains("listen"));
}

TEST(Settings, WhatTheFileSaysWrongIsNamedWithItsPlace) {
  EXPECT_THAT(why_refused({.file = "\ndata_dri = \"x\"\n"}),
              HasSubstr("lockstep.toml:2:1: unknown key 'data_dri': did you mean data_dir?"));
  EXPECT_THAT(why_refused({.file = "xyzzy = 1\n"}),
              HasSubstr("unknown key 'xyzzy': `lockstepd config show`"));
  EXPECT_THAT(why_refused({.file = "request_timeout = \"3 apples\"\n"}),
              HasSubstr("lockstep.toml:1:19: '3 apples' is not a duration"));
  EXPECT_THAT(why_refused({.file = "name = \"a\nb\"\n"}), HasSubstr("lockstep.toml:1:"));
  EXPECT_THAT(why_refused({.file = "name = 1.5\n"}), HasSubstr("name: expected a text"));
  EXPECT_THAT(read_settings_file("/nonexistent/lockstep.toml").status().message(), HasSubstr("No such file"));
}

TEST(Settings, WhatDoesNotFitTogetherIsRefusedWithAWayOut) {
  const std::vector<std::pair<std::map<std::string, std::string>, std::string>> cases = {
      {{{"listen", "0.0.0.0:2379"}}, "has no TLS. Make certificates with `lockstepd init`"},
      {{{"listen", "0.0.0.0:2379"}, {"tls-certificate", "a"}, {"tls-key", "b"}}, "asks nobody who they are"},
      {{{"tls-certificate", "a"}}, "belong together"},
      {{{"peer-listen", "10.0.0.1:2380"}}, "--peer-tls-certificate"},
      {{{"initial-cluster", "n1=127.0.0.1:1"}}, "does not name this member, 'default'"},
      {{{"initial-cluster", "default=127.0.0.1:1"}, {"join", "127.0.0.1:2"}}, "give one of them"},
      {{{"initial-cluster", "default=127.0.0.1:1,default=127.0.0.1:2"}}, "names 'default' twice"},
      {{{"initial-cluster", "default=127.0.0.1:1,b=127.0.0.1:1"}}, "has the address 127.0.0.1:1 twice"},
      {{{"join", "127.0.0.1:2"}}, "--join needs --peer-listen"},
      {{{"election-timeout", "200ms"}}, "at least three times --heartbeat-interval 100ms"},
      {{{"http-hosts", "a,,b"}}, "--http-hosts: a name is empty"},
      {{{"listen", "nowhere"}}, "--listen: 'nowhere' is not an address"},
      {{{"log-level", "loud"}}, "'loud' is none of debug, info, warning, error"},
      {{{"auto-compaction-mode", "always"}}, "none of periodic, revision"},
      {{{"auto-compaction-mode", "revision"}}, "'1h' is no number of revisions"},
      {{{"auto-compaction-retention", "soon"}}, "--auto-compaction-retention soon"},
      {{{"callouts-allow", "10.0.0.1/8"}}, "--callouts-allow: '10.0.0.1/8' has bits set"},
      {{{"quota", "2 GiB"}}, "'2 GiB' is not a size"},
      {{{"store", "127.0.0.1:1"}}, "is not like etcd://host:port"},
      {{{"store", "etcd://"}}, "no address stands behind etcd://"},
      {{{"store", "etcd://127.0.0.1:1"}, {"join", "127.0.0.1:2"}, {"peer-listen", "127.0.0.1:3"}},
       "--store serves on a cluster that exists"},
      {{{"store", "etcd://127.0.0.1:1"}, {"root-password-file", "f"}}, "is for a cluster of one's own"},
      {{{"store", "etcd://127.0.0.1:1"}, {"store-user", "u"}}, "belong together: give both"},
      {{{"store-user", "u"}, {"store-password-file", "f"}}, "belong to --store"},
      {{{"store", "etcd://127.0.0.1:1"}, {"listen", "0.0.0.0:1"}, {"tls-certificate", "a"}, {"tls-key", "b"}},
       "Give --tls-client-ca"},
  };
  for (const auto& [flags, why] : cases) EXPECT_THAT(why_refused({.flags = flags}), HasSubstr(why));
}

TEST(Settings, ATableHoldsTheKeysThatBeginWithItsName) {
  const Result<Resolved> result =
      resolved({.file = "name = \"n\"\n[callouts]\nallow = [\"*.example.com\", \"10.0.0.0/8\"]\n"
                        "allow_loopback = true\n"});
  ASSERT_TRUE(result.ok()) << result.status().to_string();
  EXPECT_EQ(result->options.callouts_allow, (std::vector<std::string>{"*.example.com", "10.0.0.0/8"}));
  EXPECT_EQ(result->options.callouts_allow_loopback, true);
  EXPECT_THAT(result->origins.at("callouts-allow"), HasSubstr("lockstep.toml:3:"));
  EXPECT_THAT(why_refused({.file = "[callouts]\nalow = []\n"}), HasSubstr("did you mean callouts_allow?"));
  EXPECT_THAT(why_refused({.file = "[xyzzy]\na = 1\n"}), HasSubstr("unknown key 'xyzzy'"));
  EXPECT_THAT(why_refused({.file = "[callouts]\nallow = [\"10.0.0.1/8\"]\n"}),
              HasSubstr("lockstep.toml:2:9: '10.0.0.1/8' has bits set behind its length"));
}

TEST(Settings, ThisMachineIsCalledWhereItIsADevelopersOrSaidSo) {
  const auto shown = [](const Layers& layers) {
    return find_setting("callouts-allow-loopback")->show(resolved(layers)->options);
  };
  EXPECT_EQ(shown({}), "false");
  EXPECT_EQ(shown({.flags = {{"dev", "true"}}}), "true");
  EXPECT_EQ(shown({.flags = {{"dev", "true"}, {"callouts-allow-loopback", "false"}}}), "false");
}

TEST(Settings, AMemberOfAClusterListensWhereTheOthersExpectIt) {
  const Result<Resolved> result =
      resolved({.flags = {{"name", "n2"}, {"initial-cluster", "n1=127.0.0.1:11,n2=http://127.0.0.1:12"}}});
  ASSERT_TRUE(result.ok()) << result.status().to_string();
  EXPECT_EQ(result->options.peer_listen, "127.0.0.1:12");
  EXPECT_EQ(result->options.peer_advertise, "127.0.0.1:12");
  EXPECT_EQ(result->options.advertise, "127.0.0.1:2379");
}

TEST(Settings, WhatIsShownCanBeReadBack) {
  for (const Setting& setting : settings()) {
    if (setting.metavar.empty()) continue;
    ServerOptions options;
    const std::string before = setting.show(options);
    EXPECT_TRUE(setting.set(options, before).ok()) << setting.name << " " << before;
    EXPECT_EQ(setting.show(options), before) << setting.name;
  }
}

TEST(TextValues, LoopbackIsToldApart) {
  EXPECT_TRUE(is_loopback("127.0.0.9:1"));
  EXPECT_TRUE(is_loopback("[::1]:1"));
  EXPECT_FALSE(is_loopback("0.0.0.0:1"));
}

TEST(Settings, ServicesAreATableOrAList) {
  using Services = std::map<std::string, std::string, std::less<>>;
  const Services wanted = {{"orders", "http://orders:8080"}, {"pay", "https://pay.example.com/api"}};
  const Result<Resolved> file = resolved(
      {.file = "[services]\norders = \"http://orders:8080\"\npay = \"https://pay.example.com/api\"\n"});
  ASSERT_TRUE(file.ok()) << file.status().to_string();
  EXPECT_EQ(file->options.services, wanted);
  const Result<Resolved> flag =
      resolved({.flags = {{"services", "orders=http://orders:8080,pay=https://pay.example.com/api"}}});
  ASSERT_TRUE(flag.ok()) << flag.status().to_string();
  EXPECT_EQ(flag->options.services, wanted);
  EXPECT_THAT(why_refused({.flags = {{"services", "orders"}}}),
              HasSubstr("'orders' is not like name=http://host:port"));
  EXPECT_THAT(why_refused({.flags = {{"services", "orders=ftp://a"}}}),
              HasSubstr("no http:// or https:// address"));
  EXPECT_THAT(why_refused({.flags = {{"services", "a=http://a,a=http://b"}}}),
              HasSubstr("'a' is named twice"));
  EXPECT_THAT(why_refused({.file = "[services]\norders = 7\n"}), HasSubstr("orders: expected a text"));
}

}  // namespace
}  // namespace lockstep::server
