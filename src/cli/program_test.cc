// The command tree: every command explains itself, mistakes get suggestions, shells get completion.
#include <cstdio>
#include <fstream>
#include <sstream>

#include <CLI/CLI.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/snapshot_file.h"
#include "store/snapshot.h"

namespace lockstep::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

void visit(const CLI::App& command, const std::function<void(const CLI::App&)>& how) {
  how(command);
  for (const CLI::App* subcommand : command.get_subcommands([](const CLI::App*) { return true; }))
    visit(*subcommand, how);
}

TEST(Commands, EachHasHelpAndExamples) {
  CLI::App root("", "lockstep");
  Commands commands(root);
  add_all_commands(commands);
  int count = 0;
  visit(root, [&](const CLI::App& command) {
    if (command.get_parent() == nullptr) return;
    EXPECT_FALSE(command.get_description().empty()) << command.get_name();
    if (!command.get_subcommands([](const CLI::App*) { return true; }).empty()) return;
    EXPECT_THAT(command.get_footer(), AllOf(HasSubstr("Examples:"), HasSubstr("lockstep ")))
        << command.get_name();
    for (const CLI::Option* option : command.get_options())
      EXPECT_FALSE(option->get_description().empty()) << command.get_name() << " " << option->get_name();
    ++count;
  });
  EXPECT_GE(count, 50);
}

TEST(Commands, TheDocumentSaysWhatTheyAre) {
  constexpr const char* document = "docs/cli.md";
  const std::string page = command_reference();
  for (const char* part : {"### lockstep snapshot restore", "`--bump-revision`", "## Exit status",
                           "```\nlockstep kv get greeting"})
    EXPECT_THAT(page, HasSubstr(part));
  if (std::getenv("LOCKSTEP_REWRITE") != nullptr) std::ofstream(document, std::ios::binary) << page;
  std::stringstream text;
  text << std::ifstream(document, std::ios::binary).rdbuf();
  EXPECT_TRUE(text.str() == page) << document
                                  << " is not what the program says: rewrite it with LOCKSTEP_REWRITE=1";
}

// Runs the program; its output comes through pipes.
struct Ran {
  explicit Ran(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {"lockstep"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    exit = run(static_cast<int>(argv.size()), argv.data());
    out = testing::internal::GetCapturedStdout();
    error = testing::internal::GetCapturedStderr();
  }
  int exit = 0;
  std::string out;
  std::string error;
};

class Program : public testing::Test {
 protected:
  Program() { setenv("LOCKSTEP_CLIENT_CONFIG", path.c_str(), 1); }
  ~Program() override { std::remove(path.c_str()); }
  std::string path = testing::TempDir() + "lockstep-program-test.toml";
};

TEST_F(Program, MistakesAreUsageErrorsWithSuggestions) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"kv", "gte", "a"}, "did you mean get instead of gte?"},
      {{"kz", "get", "a"}, "did you mean kv instead of kz?"},
      {{"kv", "get", "a", "--prefx"}, "did you mean --prefix instead of --prefx?"},
      {{"kv", "get", "a", "--tiemout=1s"}, "did you mean --timeout instead of --tiemout?"},
      {{"kv", "get"}, "lockstep kv get --help tells more"},
      {{}, "lockstep --help tells more"},
      {{"kv", "get", "a", "--timeout", "5"}, "--timeout: '5' is not a duration"},
      {{"kv", "get", "a", "-o", "xml"}, "none of table, json"},
      {{"--context", "nowhere", "version"}, "no context 'nowhere'"},
  };
  for (const auto& [arguments, why] : cases) {
    const Ran ran(arguments);
    EXPECT_EQ(ran.exit, 2) << testing::PrintToString(arguments);
    EXPECT_THAT(ran.error, HasSubstr(why));
    EXPECT_EQ(ran.out, "");
  }
}

TEST_F(Program, HelpGoesToStandardOutputAndDocumentsExitCodes) {
  const Ran ran({"--help"});
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.error, "");
  for (const char* text :
       {"Examples:", "Exit status:", "7  it exists already", "--endpoints", "LOCKSTEP_ENDPOINTS"})
    EXPECT_THAT(ran.out, HasSubstr(text));
}

TEST_F(Program, ContextsAreMadeUsedAndDeleted) {
  EXPECT_EQ(Ran({"config", "set", "prod", "endpoints=10.0.0.1:2379", "timeout=9s"}).exit, 0);
  EXPECT_EQ(Ran({"config", "set", "test", "endpoints=10.0.0.2:2379"}).exit, 0);
  EXPECT_THAT(Ran({"config", "show", "--origin"}).out, HasSubstr("10.0.0.1:2379"));
  EXPECT_EQ(Ran({"config", "use", "test"}).exit, 0);
  EXPECT_THAT(Ran({"config", "show", "-o", "raw"}).out, HasSubstr("endpoints\t10.0.0.2:2379"));
  EXPECT_THAT(Ran({"config", "show", "--context", "prod", "-o", "raw"}).out, HasSubstr("timeout\t9s"));
  EXPECT_EQ(Ran({"config", "list", "-o", "raw"}).out, "prod\ntest\n");
  EXPECT_EQ(Ran({"config", "use", "nowhere"}).exit, 3);
  EXPECT_EQ(Ran({"config", "set", "test", "endpoints=nowhere"}).exit, 4);
  EXPECT_EQ(Ran({"config", "delete", "test"}).exit, 0);
  EXPECT_EQ(Ran({"config", "list", "-o", "raw"}).out, "prod\n");
}

TEST_F(Program, WhoCannotBeReachedIsNamedAndTheExitSaysSo) {
  const Ran ran({"--endpoints", "127.0.0.1:1", "kv", "get", "a"});
  EXPECT_EQ(ran.exit, 5);
  EXPECT_THAT(ran.error, HasSubstr("127.0.0.1:1: connection lost: cannot connect: Connection refused"));
  EXPECT_EQ(ran.out, "");
}

TEST_F(Program, DestructiveCommandsAskAndOffATerminalRefuse) {
  const Ran ran({"auth", "disable"});
  EXPECT_EQ(ran.exit, 4);
  EXPECT_THAT(ran.error, HasSubstr("say --yes"));
}

TEST_F(Program, SagasAreLookedAtWithoutAServer) {
  const std::string file = testing::TempDir() + "lockstep-saga-test.json";
  const auto write = [&](const char* text) { std::ofstream(file, std::ios::binary) << text; };
  write(R"({"name": "trip", "steps": [
    {"name": "air", "action": "http://air/book", "compensate": "http://air/cancel"},
    {"name": "inn", "action": "http://inn/book"}]})");
  const Ran lint({"saga", "lint", file});
  EXPECT_EQ(lint.exit, 0);
  EXPECT_THAT(lint.out,
              AllOf(HasSubstr("note: /steps/1: has no compensate"), HasSubstr("trip can be run: 2 steps\n")));
  EXPECT_THAT(Ran({"saga", "lint", file, "-o", "json"}).out, HasSubstr("\"runnable\": true"));
  EXPECT_EQ(Ran({"saga", "lint", file, "--strict"}).exit, 0) << "notes are no warnings";
  const Ran simulated({"saga", "simulate", file});
  EXPECT_EQ(simulated.exit, 0);
  EXPECT_THAT(simulated.out,
              HasSubstr("4. inn is refused: aborted\n    air  |====    <<<<|\n    inn  |    xxxx    |\n"));
  EXPECT_THAT(Ran({"saga", "simulate", file, "-o", "raw"}).out,
              HasSubstr("4\tinn is refused\taborted\t3\tair\tcompensate\tdone\thttp://air/cancel\n"));
  EXPECT_THAT(Ran({"saga", "simulate", file, "--answer", "tea=1"}).error, HasSubstr("no task 'tea'"));
  write(R"({"steps": [{"name": "a", "action": "http://a"}, {"action": "http://b", "after": ["aa"]}]})");
  const Ran refused({"saga", "lint", file});
  EXPECT_EQ(refused.exit, 4);
  EXPECT_THAT(refused.out, HasSubstr("error: /steps/1/after/0: there is no step 'aa'; did you mean a?\n"));
  EXPECT_THAT(refused.error, HasSubstr("would be refused"));
  EXPECT_EQ(Ran({"saga", "simulate", file}).exit, 4);
  std::remove(file.c_str());
  EXPECT_EQ(Ran({"saga", "lint", file}).exit, 3);
}

TEST_F(Program, CompletionKnowsEveryCommand) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Ran ran({"completion", shell});
    EXPECT_EQ(ran.exit, 0);
    for (const char* word : {"grant-permission", "keep-alive", "hashkv", "--serializable", "--endpoints"})
      EXPECT_THAT(ran.out,
                  HasSubstr(std::string_view(word).substr(
                      std::string_view(shell) == "fish" && std::string_view(word).starts_with("--") ? 2 : 0)))
          << shell;
  }
}

TEST(ExitStatus, FollowsTheCodeAndEtcdsTexts) {
  const std::vector<std::pair<Status, Exit>> cases = {
      {{}, Exit::ok},
      {{Code::not_found, "x"}, Exit::not_found},
      {{Code::failed_precondition, "etcdserver: user name not found"}, Exit::not_found},
      {{Code::failed_precondition, "etcdserver: lease already exists"}, Exit::conflict},
      {{Code::failed_precondition, "etcdserver: not leader"}, Exit::refused},
      {{Code::permission_denied, "x"}, Exit::refused},
      {{Code::unavailable, "x"}, Exit::unavailable},
      {{Code::deadline_exceeded, "x"}, Exit::timeout},
      {{Code::unknown_outcome, "x"}, Exit::timeout},
      {{Code::internal, "x"}, Exit::failure},
  };
  for (const auto& [status, exit] : cases) EXPECT_EQ(exit_of(status), exit) << status.to_string();
}

// ---- saved snapshots

std::string saved(std::string bytes) {
  bytes.resize((bytes.size() + 511) / 512 * 512, '\0');
  Sha256 hash;
  hash.add(bytes);
  return bytes + hash.finish();
}

std::string snapshot_of(const std::string& rows) {
  std::string bytes(store::snapshot_format::magic);
  store::append_snapshot_frame(0, rows, &bytes);
  return bytes;
}

Status checked(const std::string& bytes, SnapshotStatus* into = nullptr) {
  const std::string path = testing::TempDir() + "lockstep-snapshot-test";
  std::ofstream(path, std::ios::binary) << bytes;
  const Result<SnapshotStatus> status = snapshot_status(path, [](std::uint64_t) {});
  if (status.ok() && into != nullptr) *into = *status;
  return status.status();
}

TEST(SnapshotFile, IsCheckedToItsLastByte) {
  // docs/formats/snapshot.md: one pinned row and the end.
  const std::string stream = snapshot_of(std::string("\x02\x01k\x01v\xff\x01", 7));
  SnapshotStatus status;
  ASSERT_TRUE(checked(saved(stream), &status).ok()) << checked(saved(stream)).to_string();
  EXPECT_EQ(status.file.format, SnapshotFormat::lockstep);
  EXPECT_EQ(status.rows_pinned, 1U);
  EXPECT_EQ(status.file.bytes, 512U + 32U);
  const std::string whole = saved(stream);
  EXPECT_THAT(std::string(checked(whole.substr(0, whole.size() - 1)).message()),
              HasSubstr("was cut short, or something was appended: it has 543 bytes"));
  EXPECT_THAT(std::string(checked(whole.substr(0, 512)).message()), HasSubstr("has no hash at its end"));
  for (const std::size_t at : {8U, 20U, 100U, 540U}) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_THAT(std::string(checked(changed).message()), HasSubstr("was changed")) << at;
  }
  EXPECT_EQ(checked(saved(stream.substr(0, stream.size() - 1))).code(), Code::corruption);
  EXPECT_EQ(checked(saved(stream + std::string(8, '\0') + "x")).code(), Code::corruption);
  EXPECT_THAT(std::string(checked("").message()), HasSubstr("is empty"));
  EXPECT_THAT(std::string(checked(saved("a holiday picture")).message()), HasSubstr("is no snapshot"));
  EXPECT_EQ(snapshot_status(testing::TempDir() + "missing", [](std::uint64_t) {}).status().code(),
            Code::not_found);
  ASSERT_TRUE(
      checked(saved(std::string(16, '\0') + "\xed\xda\x0c\xed and what else etcd saves"), &status).ok());
  EXPECT_EQ(status.file.format, SnapshotFormat::etcd);
}

}  // namespace
}  // namespace lockstep::cli
